"""The batching section of a scenario: policies, controllers and arrangements of classes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from paretobench.scenario.fields import StrictModel, Swept, listed, one_of
from paretobench.scenario.traffic import Milliseconds, Positive

POLICIES = ("static", "continuous", "adaptive")
ARRANGEMENTS = ("shared", "priority", "separate")
BatchSize = Annotated[int, Field(ge=1, le=65536)]


class _Controller(StrictModel):
    """What the controllers share; without `latency_sla_ms` the scenario's `sla.e2e_ms` counts."""

    latency_sla_ms: Positive | None = None
    """The E2E latency that the controller aims at; without it `sla.e2e_ms`."""
    initial_batch_size: BatchSize = 1
    """The limit that it begins with."""
    recent: Annotated[int, Field(ge=1)] = 32
    """How many recent requests it looks at; for `model`, how many recent batches."""


class Threshold(_Controller):
    """Steps of the limit on the mean of recent latencies."""

    kind: Literal["threshold"]
    """The rule."""
    step: Annotated[int, Field(ge=1)] = 4
    """By how much the limit moves."""
    high: Positive = 1.2
    """Mean latency over `high` × SLA: the limit falls."""
    low: Positive = 0.5
    """Mean latency under `low` × SLA, with enough waiting: the limit rises."""
    min_queue_depth: Annotated[int, Field(ge=0)] = 10
    """The limit rises only where more requests than this wait."""

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
    """The rule."""
    percentile: Annotated[float, Field(gt=0, le=100)] = 95.0
    """The percentile of recent latencies that is held against the SLA."""
    increase: Annotated[int, Field(ge=1)] = 1
    """Added to the limit while the SLA is kept and anyone waits."""
    decrease_factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The limit is multiplied by it where the SLA is missed, and rounded down."""


class ModelFit(_Controller):
    """The largest batch that keeps the oldest inside its SLA, by a fit to recent batches."""

    kind: Literal["model"]
    """The rule."""
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """The share of the SLA that is kept in reserve."""


ControllerSection = Annotated[Threshold | Aimd | ModelFit, Field(discriminator="kind")]


class Batching(StrictModel):
    """How requests are grouped; every list is swept.

    `arrangement`, `mix_classes`, `aging_ms` and `preemption` are for traffic of several classes.
    """

    policy: Swept[Annotated[str, one_of(POLICIES, "policy"), listed(POLICIES)]] = Field(
        default=["static"]
    )
    """`static`: a batch runs until its longest request is done. `continuous`: requests join and
    leave at any step. `adaptive`: static batches whose limit a controller moves."""
    max_batch_size: Swept[BatchSize]
    """The most requests that run at once."""
    max_waiting_time_ms: Swept[Milliseconds] = Field(default=[0.0])
    """The longest that a request is held so that a batch can fill; 0: take what waits, never
    hold."""
    kv_budget_tokens: Swept[Annotated[int, Field(ge=2)] | None] = Field(default=[None])
    """The most tokens of prompt + output that may run at once; without it the device's free
    memory decides."""
    max_prefill_tokens_per_step: Swept[Annotated[int, Field(ge=1)] | None] = Field(default=[None])
    """The most prompt tokens that one step computes; longer prompts come in chunks."""
    controller: Swept[ControllerSection | None] = Field(default=[None])
    """What moves the limit of policy `adaptive`."""
    arrangement: Swept[
        Annotated[str, one_of(ARRANGEMENTS, "arrangement"), listed(ARRANGEMENTS)]
    ] = Field(default=["shared"])
    """`shared`: one queue. `priority`: one engine, a queue a class. `separate`: an engine a
    class."""
    mix_classes: Swept[bool] = Field(default=[False])
    """Whether a batch may hold requests of several classes."""
    aging_ms: Swept[Positive | None] = Field(default=[None])
    """A request that has waited this long counts as one class higher, twice as long as two."""
    preemption: Swept[Literal["recompute", "keep_kv", "none"]] = Field(default=["recompute"])
    """Under `priority` and `continuous`, a request that finds no slot takes that of a lower class,
    whose cache is computed again later (`recompute`) or set aside and put back (`keep_kv`)."""

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
    """The most requests of the class that run at once."""
    max_waiting_time_ms: Swept[Milliseconds] = Field(default=[0.0])
    """The longest that a request of the class is held so that a batch can fill."""
