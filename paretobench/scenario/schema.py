"""The scenario: one file that says what to measure."""

from __future__ import annotations

from collections.abc import Iterator
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

from paretobench.core.metrics import METRICS, Direction, metric_of, qualified, split_name
from paretobench.core.naming import suggestion
from paretobench.scenario.batching import Batching
from paretobench.scenario.classes import ClassName, TrafficClass, check_classes
from paretobench.scenario.fields import StrictModel, Swept, one_of
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.traffic import Load, Milliseconds, Workload
from paretobench.scenario.variants import NAME_PATTERN, SWEPT_MODEL_KEYS, combinations, named


def _metric(direction: Direction | None) -> AfterValidator:
    """Return a validator of metric names, those of one class (`chat.p95_e2e_ms`) among them."""
    known = one_of(
        (m.name for m in METRICS.values() if direction in (None, m.better)),
        "metric" if direction is None else f"metric of which {direction} is better",
    )

    def check(name: str) -> str:
        known.func(split_name(name)[1])  # type: ignore[call-arg]
        return name

    return AfterValidator(check)


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
    preset: Annotated[str, one_of(PRESETS, "preset")] | None = None
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
_OneOrNamed = Annotated[
    Annotated[S, Tag("one")]
    | Annotated[list[S], Field(min_length=1), AfterValidator(named), Tag("several")],
    Discriminator(lambda value: "several" if isinstance(value, list) else "one"),
    BeforeValidator(combinations),
]


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
            if metric_of(name).better is None:
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


_OF_AN_SLA = ("sla_attainment", "goodput_requests_per_s")


class Scenario(StrictModel):
    """A validated scenario. Exactly one of `model` and `runner` is given, or several of it, and
    exactly one of `workload` and `classes`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    description: str = ""
    model: _OneOrNamed[Model] | None = None
    runner: _OneOrNamed[LatencyModel] | None = None
    workload: Workload | None = None
    classes: dict[ClassName, TrafficClass] = Field(default_factory=dict)
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

    @model_validator(mode="after")
    def _one_traffic(self) -> Scenario:
        if (self.workload is None) == (not self.classes):
            raise PydanticCustomError(
                "one_traffic", "must give exactly one of workload and classes"
            )
        if not self.classes and self.batching.arrangement != ["shared"]:
            raise PydanticCustomError(
                "no_classes",
                "batching.arrangement {name} needs classes, found none",
                {"name": next(a for a in self.batching.arrangement if a != "shared")},
            )
        if self.classes:
            check_classes(self.classes, self.batching)
            if self.sla != Sla():
                raise PydanticCustomError(
                    "sla_of_classes",
                    "sla is for traffic of one class; give each class its latency_sla_ms, "
                    "ttft_sla_ms or tpot_sla_ms",
                )
        return self

    @model_validator(mode="after")
    def _controllers_have_a_target(self) -> Scenario:
        for section in self.batching.controller:
            if section is None:
                continue
            if section.latency_sla_ms is None and self.sla.e2e_ms is None:
                raise PydanticCustomError(
                    "no_target",
                    "batching.controller {kind} needs latency_sla_ms, or the scenario sla.e2e_ms",
                    {"kind": section.kind},
                )
        return self

    @model_validator(mode="after")
    def _figures_are_of_known_classes(self) -> Scenario:
        for where, name in self._named_figures():
            of_class, metric = split_name(name)
            if of_class is None:
                has_sla = self.sla != Sla() or any(c.has_sla for c in self.classes.values())
            elif of_class not in self.classes:
                hint = suggestion(of_class, self.classes) or (
                    f"; known: {', '.join(self.classes)}" if self.classes else "; there are none"
                )
                raise PydanticCustomError(
                    "unknown_class",
                    "{where}: {name} must be of a known class{hint}",
                    {"where": where, "name": name, "hint": hint},
                )
            else:
                has_sla = self.classes[of_class].has_sla
            if metric in _OF_AN_SLA and not has_sla:
                lacking = "the scenario" if of_class is None else f"class {of_class}"
                raise PydanticCustomError(
                    "no_sla",
                    "{where}: {name} needs an SLA, and {lacking} has none",
                    {"where": where, "name": name, "lacking": lacking},
                )
        return self

    def _named_figures(self) -> Iterator[tuple[str, str]]:
        """Yield `(key, figure)` of every figure that the scenario names."""
        yield "objectives.throughput", self.objectives.throughput
        yield "objectives.latency", self.objectives.latency
        for point, goal in self.operating_points.items():
            for name in (goal.maximize, goal.minimize, *goal.subject_to):
                if name is not None:
                    yield f"operating_points.{point}", name

    @model_validator(mode="after")
    def _axes_of_mixed_traffic(self) -> Scenario:
        """Where priorities differ and no axis is named: the highest class's latency against the
        lowest one's throughput."""
        ranked = sorted(self.classes, key=lambda name: self.classes[name].rank)
        if "objectives" in self.model_fields_set or not ranked:
            return self
        low, high = ranked[0], ranked[-1]
        if self.classes[low].rank == self.classes[high].rank:
            return self
        axes = Objectives(
            throughput=qualified(low, "output_tokens_per_s"),
            latency=qualified(high, "p95_e2e_ms"),
        )
        return self.model_copy(update={"objectives": axes})

    @property
    def variants(self) -> list[tuple[str | None, Model | LatencyModel]]:
        """Return the systems to measure, each with its name; a single one may have none."""
        given = self.model if self.model is not None else self.runner
        assert given is not None
        systems = given if isinstance(given, list) else [given]
        return [(system.name, system) for system in systems]
