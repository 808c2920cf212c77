"""The scenario: one file that says what to measure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from paretobench.core.metrics import METRICS, Direction, metric_of, qualified, split_name
from paretobench.core.naming import suggestion
from paretobench.scenario.batching import Batching
from paretobench.scenario.classes import ClassName, TrafficClass, check_classes
from paretobench.scenario.fields import StrictModel, Swept, one_of
from paretobench.scenario.systems import LatencyModel, Model, OneOrNamed
from paretobench.scenario.traffic import Load, Workload


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
HalfWidth = Annotated[float, Field(gt=0, lt=1)]
_FEWEST_RUNS = 2  # that an interval over runs can come from


class PerSlot(StrictModel):
    """A number of requests that grows with the batch size."""

    per_slot: Annotated[int, Field(ge=1)]
    """Requests for each batch slot."""
    minimum: Annotated[int, Field(ge=1)] = 1
    """At least so many."""


class Precision(StrictModel):
    """How narrow 95% intervals must be: half their width as a share of the figure.

    `throughput` is that of the objective; the others name a latency figure without its unit.
    """

    throughput: HalfWidth | None = None
    """Of the objective's throughput."""
    mean_e2e: HalfWidth | None = None
    """Of mean E2E latency."""
    p50_e2e: HalfWidth | None = None
    """Of p50 E2E latency."""
    p95_e2e: HalfWidth | None = None
    """Of p95 E2E latency."""
    p99_e2e: HalfWidth | None = None
    """Of p99 E2E latency."""
    mean_ttft: HalfWidth | None = None
    """Of mean TTFT."""
    p95_ttft: HalfWidth | None = None
    """Of p95 TTFT."""
    mean_tpot: HalfWidth | None = None
    """Of mean TPOT."""
    p95_tpot: HalfWidth | None = None
    """Of p95 TPOT."""


class Measure(StrictModel):
    """How much to measure. A trial is a number of requests, run to completion.

    Warm-up `auto` drops the larger of 10%, 200 requests and 5 × the mean E2E latency; `quick` drops
    10%, at least a batch, and the report says so. With `precision`, configurations are repeated
    until it is met, `max_repeats` are measured or `budget_s` have passed. `confirm` measures those
    on the frontier again, with fresh seeds, and publishes those figures.
    """

    requests: Annotated[
        Annotated[Annotated[int, Field(ge=1)], Tag("number")] | Annotated[PerSlot, Tag("per_slot")],
        Discriminator(lambda v: "per_slot" if isinstance(v, dict | PerSlot) else "number"),
    ] = PerSlot(per_slot=6, minimum=32)
    """Requests measured in a trial, each served to its end."""
    warmup: Annotated[
        Annotated[Literal["auto", "quick"], Tag("word")]
        | Annotated[Annotated[int, Field(ge=0)], Tag("number")],
        Discriminator(lambda v: "word" if isinstance(v, str) else "number"),
    ] = "auto"
    """What is served before the window: `auto` by rule, `quick` 10% and a full batch, or a
    number of requests."""
    repeats: Annotated[int, Field(ge=1)] = 1
    """How often every configuration is measured, with other arrivals and lengths each time."""
    precision: Precision | None = None
    """How narrow the intervals must be; configurations are repeated until theirs are."""
    max_repeats: Annotated[int, Field(ge=1)] = 10
    """Ends that: at most so many repeats."""
    budget_s: Annotated[float, Field(gt=0)] | None = None
    """Ends that: no further repeat begins after so many seconds of measuring."""
    confirm: bool = True
    """Whether what stands on the frontier is measured again with fresh seeds, and those figures
    published."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of schedules, prompts and the order of trials."""
    min_duration_s: Annotated[float, Field(ge=0)] = 0.0
    """Arrivals go on at least so long."""
    timeout_s: Annotated[float, Field(gt=0)] = 120.0
    """Ends a trial that does not get done."""

    @model_validator(mode="after")
    def _precision_can_be_met(self) -> Measure:
        if self.precision is None:
            return self
        if all(width is None for _, width in self.precision):
            raise PydanticCustomError(
                "no_precision",
                "must name a figure in precision, such as throughput: 0.03, found none",
            )
        fewest = max(self.repeats, _FEWEST_RUNS)
        if self.max_repeats < fewest:
            raise PydanticCustomError(
                "few_repeats",
                "must have max_repeats ≥ {fewest} (repeats, and at least two for an interval "
                "over runs), found {found}",
                {"fewest": fewest, "found": self.max_repeats},
            )
        return self


class Objectives(StrictModel):
    """The two axes of the frontier. The reference point of the hypervolume is throughput 0 and
    `latency_cap`, in the unit of the latency (ms)."""

    throughput: Annotated[str, _metric("higher")] = "output_tokens_per_s"
    """The metric of the frontier's one axis; of one class: `chat.output_tokens_per_s`."""
    latency: Annotated[str, _metric("lower")] = "p95_e2e_ms"
    """The metric of the other axis."""
    latency_cap: Annotated[float, Field(gt=0)] = 10_000.0
    """With throughput 0 the reference point of the hypervolume, in the unit of the latency."""


class OperatingPointGoal(StrictModel):
    """What an operating point maximises (or minimises), and what it must keep to."""

    maximize: MetricName | None = None
    """The metric to maximise."""
    minimize: MetricName | None = None
    """The metric to minimise."""
    subject_to: dict[MetricName, float] = Field(default_factory=dict)
    """Limits by metric, in the metric's unit: at most where lower is better, at least where
    higher is."""

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
    """E2E latency of one request."""
    ttft_ms: Annotated[float, Field(gt=0)] | None = None
    """Time to its first token."""
    tpot_ms: Annotated[float, Field(gt=0)] | None = None
    """Time per output token after the first."""


_OF_AN_SLA = ("sla_attainment", "goodput_requests_per_s")


class Scenario(StrictModel):
    """What to measure. Exactly one of `model` and `runner` is given, or several of it, and
    exactly one of `workload` and `classes`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
    """Names the run folder, `results/<name>`."""
    description: str = ""
    """One sentence for the report."""
    model: OneOrNamed[Model] | None = None
    """The model to run, or several: a curve each."""
    runner: OneOrNamed[LatencyModel] | None = None
    """In place of `model`: a step-time model, for `simulate`."""
    workload: Workload | None = None
    """What requests look like."""
    classes: dict[ClassName, TrafficClass] = Field(default_factory=dict)
    """In place of `workload`: kinds of requests by name, for mixed traffic."""
    batching: Batching
    """How requests are grouped."""
    load: Swept[Load]
    """How requests arrive."""
    measure: Measure = Measure()
    """How much to measure."""
    objectives: Objectives = Objectives()
    """The two axes of the frontier."""
    operating_points: dict[str, OperatingPointGoal] = Field(default_factory=dict)
    """By name, what each use wants and must keep to."""
    sla: Sla = Sla()
    """What one request must keep to, to count as good."""

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
