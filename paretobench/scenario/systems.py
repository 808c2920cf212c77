"""The systems that a scenario may measure: models, and step-time models in place of one."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from paretobench.scenario.fields import StrictModel, listed, one_of
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.traffic import Milliseconds
from paretobench.scenario.variants import NAME_PATTERN, SWEPT_MODEL_KEYS, combinations, named

Auto = Annotated[Literal["auto"], Tag("word")]


def _number_or_word(value: Any) -> str:
    return "word" if isinstance(value, str) else "number"


def auto_or(number: Any) -> Any:
    """Return the type of `number`s or the word auto."""
    return Annotated[Auto | Annotated[number, Tag("number")], Discriminator(_number_or_word)]


AutoOrBool: TypeAlias = Literal["auto", True, False]
VariantName = Annotated[str, Field(pattern=NAME_PATTERN, max_length=40)]


def _allow_lists(schema: dict[str, Any]) -> None:
    properties = schema["properties"]
    for key in SWEPT_MODEL_KEYS:
        one = dict(properties[key])
        told = {k: one.pop(k) for k in ("title", "description", "default") if k in one}
        several = {"type": "array", "items": one, "minItems": 1}
        properties[key] = {"anyOf": [one, several], **told}


class Model(StrictModel):
    """The model to run: a preset with random weights, a checkpoint folder, or a hub id.

    `name` is what a scenario of several calls this one.
    """

    model_config = ConfigDict(json_schema_extra=_allow_lists)

    name: VariantName | None = None
    """What a scenario of several calls this one; without it, what sets it apart."""
    preset: Annotated[str, one_of(PRESETS, "preset"), listed(PRESETS)] | None = None
    """A shape with random weights; speed does not depend on the weights' values."""
    path: str | None = None
    """A checkpoint folder (safetensors only), relative to the file."""
    hub: str | None = None
    """A hub id. Code that comes with a model is never run."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Precision; `auto` is bfloat16 on a GPU, float32 on a CPU."""
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    """Where it runs; `auto` takes the GPU if there is one."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of a preset's weights."""
    threads: auto_or(Annotated[int, Field(ge=1)]) = "auto"  # type: ignore[valid-type]
    """CPU threads of the worker; `auto`: all that it may use."""
    omp_wait_policy: Literal["bounded_spin", "passive", "active"] = "bounded_spin"
    """How the worker's OpenMP team waits between two operations."""
    backend: Literal["auto", "fused", "transformers"] = "auto"
    """`fused`: this project's decoder, for the Llama and Qwen3 families. `transformers`: any
    causal LM of transformers. `auto`: fused where it can."""
    attention: Literal["auto", "triton", "sdpa"] = "auto"
    """Kernels of decode rows; `auto`: Triton on a GPU, C++ on a CPU, `sdpa` where neither runs."""
    cuda_graphs: AutoOrBool = "auto"
    """Whether decode steps are replayed from recorded graphs; `auto`: on a GPU with the fused
    decoder."""
    compile: AutoOrBool = "auto"
    """Whether the small operations between matrix products are compiled; `auto`: where it works."""
    quantization: Literal["int8", "fp8"] | None = None
    """Weights of the decoder's layers in this precision; fused decoder. On a CPU `int8` alone."""

    @model_validator(mode="after")
    def _one_source(self) -> Model:
        if [self.preset, self.path, self.hub].count(None) != 2:
            raise PydanticCustomError("one_source", "must give exactly one of preset, path and hub")
        return self


class PrefillTimes(StrictModel):
    """Time a step takes for the prompts that join it."""

    base_ms: Milliseconds = 0.0
    """Of any step that computes prompts."""
    per_sequence_ms: Milliseconds = 0.0
    """For each prompt worked on."""
    per_token_ms: Milliseconds = 0.0
    """For each of their tokens."""


def _row_count(key: Any) -> Any:
    # JSON, such as a manifest's, has its keys as text
    return int(key) if isinstance(key, str) and key.isdecimal() else key


RowCount = Annotated[int, Field(ge=1), BeforeValidator(_row_count)]


class DecodeTimes(StrictModel):
    """Time a step takes for the requests that decode in it.

    `by_batch_size` gives it at some batch sizes, linear between, in place of base and per_sequence.
    """

    base_ms: Milliseconds = 0.0
    """Of any step that decodes."""
    per_sequence_ms: Milliseconds = 0.0
    """For each row."""
    per_kv_token_ms: Milliseconds = 0.0
    """For each token in the rows' caches."""
    by_batch_size: Annotated[dict[RowCount, Milliseconds], Field(min_length=1)] | None = None
    """Time by number of rows, linear between; in place of `base_ms` and `per_sequence_ms`."""

    @model_validator(mode="after")
    def _one_form(self) -> DecodeTimes:
        if self.by_batch_size is not None and (self.base_ms or self.per_sequence_ms):
            raise PydanticCustomError(
                "one_form",
                "must give by_batch_size, or base_ms and per_sequence_ms, found both",
            )
        return self


class LatencyModel(StrictModel):
    """A step-time model in place of a model: `simulate` runs it in virtual time.

    A step that both prefills and decodes takes `mixed_saving_ms` less than the sum of the two.
    """

    name: VariantName | None = None
    """What a scenario of several calls this one."""
    kind: Literal["latency_model"]
    """The runner."""
    prefill: PrefillTimes
    """What computing prompts takes."""
    decode: DecodeTimes
    """What decoding takes."""
    mixed_saving_ms: Milliseconds = 0.0
    """By how much a step that does both is shorter than the sum of the two."""

    @model_validator(mode="after")
    def _takes_time(self) -> LatencyModel:
        decode = self.decode.model_dump()
        by_batch_size = decode.pop("by_batch_size") or {}
        times = (*self.prefill.model_dump().values(), *decode.values(), *by_batch_size.values())
        if not any(times):
            raise PydanticCustomError("no_time", "must have at least one time over 0")
        return self


S = TypeVar("S", Model, LatencyModel)
OneOrNamed = Annotated[
    Annotated[S, Tag("one")]
    | Annotated[list[S], Field(min_length=1), AfterValidator(named), Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list) else "one"),
    BeforeValidator(combinations),
]
