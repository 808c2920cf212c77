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

from paretobench.scenario.fields import StrictModel, one_of
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
        one = properties[key]
        properties[key] = {"anyOf": [one, {"type": "array", "items": one, "minItems": 1}]}


class Model(StrictModel):
    """The model to run: a preset with random weights, a checkpoint folder, or a hub id.

    `name` is what a scenario of several calls this one.
    """

    model_config = ConfigDict(json_schema_extra=_allow_lists)

    name: VariantName | None = None
    preset: Annotated[str, one_of(PRESETS, "preset")] | None = None
    path: str | None = None
    hub: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    seed: Annotated[int, Field(ge=0)] = 0
    threads: auto_or(Annotated[int, Field(ge=1)]) = "auto"  # type: ignore[valid-type]
    omp_wait_policy: Literal["bounded_spin", "passive", "active"] = "bounded_spin"
    backend: Literal["auto", "fused", "transformers"] = "auto"
    attention: Literal["auto", "triton", "sdpa"] = "auto"
    cuda_graphs: AutoOrBool = "auto"
    compile: AutoOrBool = "auto"
    quantization: Literal["int8", "fp8"] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Model:
        if [self.preset, self.path, self.hub].count(None) != 2:
            raise PydanticCustomError("one_source", "must give exactly one of preset, path and hub")
        return self


class PrefillTimes(StrictModel):
    """Time a step takes for the prompts that join it."""

    base_ms: Milliseconds = 0.0
    per_sequence_ms: Milliseconds = 0.0
    per_token_ms: Milliseconds = 0.0


def _row_count(key: Any) -> Any:
    # JSON, such as a manifest's, has its keys as text
    return int(key) if isinstance(key, str) and key.isdecimal() else key


RowCount = Annotated[int, Field(ge=1), BeforeValidator(_row_count)]


class DecodeTimes(StrictModel):
    """Time a step takes for the requests that decode in it.

    `by_batch_size` gives it at some batch sizes, linear between, in place of base and per_sequence.
    """

    base_ms: Milliseconds = 0.0
    per_sequence_ms: Milliseconds = 0.0
    per_kv_token_ms: Milliseconds = 0.0
    by_batch_size: Annotated[dict[RowCount, Milliseconds], Field(min_length=1)] | None = None

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
    kind: Literal["latency_model"]
    prefill: PrefillTimes
    decode: DecodeTimes
    mixed_saving_ms: Milliseconds = 0.0

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
