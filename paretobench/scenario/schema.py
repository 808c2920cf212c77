"""The scenario: one file that says what to measure."""

from __future__ import annotations

from collections.abc import Iterable
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

from paretobench.core.metrics import METRICS, Direction
from paretobench.core.naming import suggestion
from paretobench.scenario.fields import StrictModel, Swept
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.traffic import Load, Milliseconds, Workload
from paretobench.scenario.variants import NAME_PATTERN, SWEPT_MODEL_KEYS, combinations, named

POLICIES = ("static",)


def _one_of(known: Iterable[str], what: str) -> AfterValidator:
    names = tuple(known)

    def check(name: str) -> str:
        if name not in names:
            hint = suggestion(name, names) or f", one of: {', '.join(names)}"
            raise PydanticCustomError(
                "unknown_name", "must be a known {what}{hint}", {"what": what, "hint": hint}
            )
        return name

    return AfterValidator(check)


def _metric(direction: Direction | None) -> AfterValidator:
    return _one_of(
        (m.name for m in METRICS.values() if direction in (None, m.better)),
        "metric" if direction is None else f"metric of which {direction} is better",
    )


MetricName = Annotated[str, _metric(None)]
Auto = Annotated[Literal["auto"], Tag("word")]


def _number_or_word(value: Any) -> str:
    return "word" if isinstance(value, str) else "number"


def _auto_or(number: Any) -> Any:
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
    preset: Annotated[str, _one_of(PRESETS, "preset")] | None = None
    path: str | None = None
    hub: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")] = "auto"
    seed: Annotated[int, Field(ge=0)] = 0
    threads: _auto_or(Annotated[int, Field(ge=1)]) = "auto"  # type: ignore[valid-type]
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


class DecodeTimes(StrictModel):
    """Time a step takes for the requests that decode in it."""

    base_ms: Milliseconds = 0.0
    per_sequence_ms: Milliseconds = 0.0
    per_kv_token_ms: Milliseconds = 0.0


class LatencyModel(StrictModel):
    """A step-time model in place of a model: `simulate` runs it in virtual time."""

    name: VariantName | None = None
    kind: Literal["latency_model"]
    prefill: PrefillTimes
    decode: DecodeTimes

    @model_validator(mode="after")
    def _takes_time(self) -> LatencyModel:
        times = (*self.prefill.model_dump().values(), *self.decode.model_dump().values())
        if not any(times):
            raise PydanticCustomError("no_time", "must have at least one time over 0")
        return self


S = TypeVar("S", Model, LatencyModel)
_OneOrNamed = Annotated[
    Annotated[S, Tag("one")]
    | Annotated[list[S], Field(min_length=1), AfterValidator(named), Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list) else "one"),
    BeforeValidator(combinations),
]


class Batching(StrictModel):
    """How requests are grouped; every list is swept."""

    policy: Swept[Annotated[str, _one_of(POLICIES, "policy")]] = Field(default=["static"])
    max_batch_size: Swept[Annotated[int, Field(ge=1, le=65536)]]
    max_waiting_time_ms: Swept[Milliseconds] = Field(default=[0.0])
    kv_budget_tokens: Swept[Annotated[int, Field(ge=2)] | None] = Field(default=[None])
    max_prefill_tokens_per_step: Swept[Annotated[int, Field(ge=1)] | None] = Field(default=[None])


class PerSlot(StrictModel):
    """A number of requests that grows with the batch size."""

    per_slot: Annotated[int, Field(ge=1)]
    minimum: Annotated[int, Field(ge=1)] = 1


class Measure(StrictModel):
    """How much to measure. A trial is a number of requests, run to completion."""

    requests: Annotated[
        Annotated[Annotated[int, Field(ge=1)], Tag("number")] | Annotated[PerSlot, Tag("per_slot")],
        Discriminator(lambda v: "per_slot" if isinstance(v, dict | PerSlot) else "number"),
    ] = PerSlot(per_slot=6, minimum=32)
    warmup: _auto_or(Annotated[int, Field(ge=0)]) = "auto"  # type: ignore[valid-type]
    repeats: Annotated[int, Field(ge=1)] = 1
    seed: Annotated[int, Field(ge=0)] = 0
    min_duration_s: Annotated[float, Field(ge=0)] = 0.0
    timeout_s: Annotated[float, Field(gt=0)] = 120.0


class Objectives(StrictModel):
    """The two axes of the frontier."""

    throughput: Annotated[str, _metric("higher")] = "output_tokens_per_s"
    latency: Annotated[str, _metric("lower")] = "p95_e2e_ms"


class OperatingPointGoal(StrictModel):
    """What an operating point maximises (or minimises), and what it must keep to."""

    maximize: MetricName | None = None
    minimize: MetricName | None = None
    subject_to: dict[MetricName, float] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_goal(self) -> OperatingPointGoal:
        if (self.maximize is None) == (self.minimize is None):
            raise PydanticCustomError("one_goal", "must give exactly one of maximize and minimize")
        for name in self.subject_to:
            if METRICS[name].better is None:
                raise PydanticCustomError(
                    "no_direction",
                    "subject_to.{name} cannot be a constraint: neither direction is better",
                    {"name": name},
                )
        return self


class Sla(StrictModel):
    """What one request must keep to, to count as good; each limit in milliseconds."""

    e2e_ms: Annotated[float, Field(gt=0)] | None = None
    ttft_ms: Annotated[float, Field(gt=0)] | None = None
    tpot_ms: Annotated[float, Field(gt=0)] | None = None


class Scenario(StrictModel):
    """A validated scenario. Exactly one of `model` and `runner` is given, or several of it."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    description: str = ""
    model: _OneOrNamed[Model] | None = None
    runner: _OneOrNamed[LatencyModel] | None = None
    workload: Workload
    batching: Batching
    load: Swept[Load]
    measure: Measure = Measure()
    objectives: Objectives = Objectives()
    operating_points: dict[str, OperatingPointGoal] = Field(default_factory=dict)
    sla: Sla = Sla()

    @model_validator(mode="after")
    def _one_system(self) -> Scenario:
        if (self.model is None) == (self.runner is None):
            raise PydanticCustomError("one_system", "must give exactly one of model and runner")
        return self

    @property
    def variants(self) -> list[tuple[str | None, Model | LatencyModel]]:
        """Return the systems to measure, each with its name; a single one may have none."""
        given = self.model if self.model is not None else self.runner
        assert given is not None
        systems = given if isinstance(given, list) else [given]
        return [(system.name, system) for system in systems]
