"""The batching section of a scenario: policies, controllers and arrangements of classes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from paretobench.scenario.fields import StrictModel, Swept, one_of
from paretobench.scenario.traffic import Milliseconds, Positive

POLICIES = ("static", "continuous", "adaptive")
ARRANGEMENTS = ("shared", "priority", "separate")
BatchSize = Annotated[int, Field(ge=1, le=65536)]


class _Controller(StrictModel):
    """What the controllers share; without `latency_sla_ms` the scenario's `sla.e2e_ms` counts."""

    latency_sla_ms: Positive | None = None
    initial_batch_size: BatchSize = 1
    recent: Annotated[int, Field(ge=1)] = 32


class Threshold(_Controller):
    """Steps of the limit on the mean of recent latencies."""

    kind: Literal["threshold"]
    step: Annotated[int, Field(ge=1)] = 4
    high: Positive = 1.2
    low: Positive = 0.5
    min_queue_depth: Annotated[int, Field(ge=0)] = 10

    @model_validator(mode="after")
    def _ordered(self) -> Threshold:
        if not self.low < self.high:
            raise PydanticCustomError(
                "low_over_high",
                "low must be < high, found low {low}, high {high}",
                {"low": self.low, "high": self.high},
            )
        return self


class Aimd(_Controller):
    """Additive increase, multiplicative decrease, on a percentile of recent latencies."""

    kind: Literal["aimd"]
    percentile: Annotated[float, Field(gt=0, le=100)] = 95.0
    increase: Annotated[int, Field(ge=1)] = 1
    decrease_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5


class ModelFit(_Controller):
    """The largest batch that keeps the oldest inside its SLA, by a fit to recent batches."""

    kind: Literal["model"]
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.1


ControllerSection = Annotated[Threshold | Aimd | ModelFit, Field(discriminator="kind")]


class Batching(StrictModel):
    """How requests are grouped; every list is swept.

    `arrangement`, `mix_classes`, `aging_ms` and `preemption` are for traffic of several classes.
    """

    policy: Swept[Annotated[str, one_of(POLICIES, "policy")]] = Field(default=["static"])
    max_batch_size: Swept[BatchSize]
    max_waiting_time_ms: Swept[Milliseconds] = Field(default=[0.0])
    kv_budget_tokens: Swept[Annotated[int, Field(ge=2)] | None] = Field(default=[None])
    max_prefill_tokens_per_step: Swept[Annotated[int, Field(ge=1)] | None] = Field(default=[None])
    controller: Swept[ControllerSection | None] = Field(default=[None])
    arrangement: Swept[Annotated[str, one_of(ARRANGEMENTS, "arrangement")]] = Field(
        default=["shared"]
    )
    mix_classes: Swept[bool] = Field(default=[False])
    aging_ms: Swept[Positive | None] = Field(default=[None])
    preemption: Swept[Literal["recompute", "keep_kv", "none"]] = Field(default=["recompute"])

    @model_validator(mode="after")
    def _adaptive_has_a_controller(self) -> Batching:
        if "adaptive" in self.policy and None in self.controller:
            raise PydanticCustomError(
                "no_controller",
                "policy adaptive needs a controller (threshold, aimd or model), found none",
            )
        if self.controller != [None] and "adaptive" not in self.policy:
            raise PydanticCustomError(
                "unused_controller",
                "controller is for policy adaptive, found policies {found}",
                {"found": ", ".join(self.policy)},
            )
        if "adaptive" in self.policy and "priority" in self.arrangement:
            raise PydanticCustomError(
                "adaptive_priority",
                "policy adaptive cannot serve arrangement priority: its limit is one queue's; "
                "give static or continuous, or arrangement shared or separate, found {found}",
                {"found": ", ".join(self.arrangement)},
            )
        return self


class ClassBatchingSection(StrictModel):
    """How a class is batched where it has a queue or an engine of its own."""

    max_batch_size: Swept[BatchSize]
    max_waiting_time_ms: Swept[Milliseconds] = Field(default=[0.0])
