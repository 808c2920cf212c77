"""The workload and load sections of a scenario."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from paretobench.scenario.fields import StrictModel, Swept

Tokens = Annotated[int, Field(ge=1, le=10_000_000)]
Positive = Annotated[float, Field(gt=0)]
Milliseconds = Annotated[float, Field(ge=0)]


class FixedTokens(StrictModel):
    """Every request has the same number of tokens."""

    kind: Literal["fixed"]
    """The distribution."""
    value: Swept[Tokens]
    """The length."""


class UniformTokens(StrictModel):
    """Whole numbers from `low` to `high`, both included."""

    kind: Literal["uniform"]
    """The distribution."""
    low: Tokens
    """The shortest."""
    high: Tokens
    """The longest."""

    @model_validator(mode="after")
    def _ordered(self) -> UniformTokens:
        _require_order(self.low, self.high)
        return self


class LognormalTokens(StrictModel):
    """Log-normal lengths with the stated mean after clipping to `low`–`high`."""

    kind: Literal["lognormal"]
    """The distribution."""
    mean: Positive
    """The mean after clipping."""
    cv: Positive
    """Standard deviation over mean, before clipping."""
    low: Tokens
    """Shorter ones are clipped to this."""
    high: Tokens
    """Longer ones are clipped to this."""

    @model_validator(mode="after")
    def _ordered(self) -> LognormalTokens:
        _require_order(self.low, self.high)
        if not self.low < self.mean < self.high:
            raise PydanticCustomError(
                "mean_outside",
                "mean must lie between low and high, found mean {mean}, low {low}, high {high}",
                {"mean": self.mean, "low": self.low, "high": self.high},
            )
        return self


class TraceTokens(StrictModel):
    """The lengths of a trace's rows, in order; `cap` limits them."""

    kind: Literal["trace"]
    """The distribution."""
    path: str
    """A CSV with `TIMESTAMP,ContextTokens,GeneratedTokens`, relative to the file."""
    cap: Tokens | None = None
    """Longer ones are cut to this."""


Lengths = Annotated[
    FixedTokens | UniformTokens | LognormalTokens | TraceTokens, Field(discriminator="kind")
]


class Workload(StrictModel):
    """What one request looks like."""

    prompt_tokens: Lengths
    """Lengths of the prompts."""
    output_tokens: Lengths
    """Lengths of the answers; each request is served to its own."""


def _number_or_word(value: Any) -> str:
    return "word" if isinstance(value, str) else "number"


Concurrency = Annotated[
    Annotated[Literal["match_batch"], Tag("word")]
    | Annotated[Annotated[int, Field(ge=1)], Tag("number")],
    Discriminator(_number_or_word),
]


class ClosedLoopLoad(StrictModel):
    """Clients that wait for their answer before they ask again."""

    kind: Literal["closed_loop"]
    """The arrivals."""
    concurrency: Swept[Concurrency] = Field(default=["match_batch"])
    """How many clients; `match_batch`: one a batch slot."""
    think_time_ms: Swept[Milliseconds] = Field(default=[0.0])
    """How long a client waits between an answer and its next request."""
    start_interval_ms: Milliseconds = 1.0
    """Client i starts after i × this."""


class _OpenLoad(StrictModel):
    requests_per_s: Swept[Positive] | None = None
    """The rate, or base rate, of arrivals."""
    fraction_of_capacity: Swept[Positive] | None = None
    """The rate as a share of the throughput that a pilot measures first, in full batches of the
    largest size."""

    @model_validator(mode="after")
    def _one_rate(self) -> _OpenLoad:
        if (self.requests_per_s is None) == (self.fraction_of_capacity is None):
            raise PydanticCustomError(
                "one_rate", "must give exactly one of requests_per_s and fraction_of_capacity"
            )
        return self


class ConstantLoad(_OpenLoad):
    """Arrivals at equal gaps."""

    kind: Literal["constant"]
    """The arrivals."""


class PoissonLoad(_OpenLoad):
    """Arrivals independent of each other."""

    kind: Literal["poisson"]
    """The arrivals."""


class GammaLoad(_OpenLoad):
    """Gamma-distributed gaps of shape `burstiness`; 1 is Poisson, smaller is burstier."""

    kind: Literal["gamma"]
    """The arrivals."""
    burstiness: Swept[Positive]
    """Shape of the gaps; 1 is Poisson, smaller is burstier."""


Seconds = Annotated[float, Field(gt=0, le=86_400)]


class StepsPhase(StrictModel):
    """So many seconds at `factor` times the base rate; 0 is silence."""

    duration_s: Seconds
    """How long the phase lasts."""
    factor: Annotated[float, Field(ge=0, le=1000)]
    """Times the base rate; 0 is silence."""


class StepsLoad(_OpenLoad):
    """Poisson arrivals whose rate goes through `phases` and begins again."""

    kind: Literal["steps"]
    """The arrivals."""
    phases: Annotated[list[StepsPhase], Field(json_schema_extra={"minItems": 2})]
    """At least two, in turn."""

    @model_validator(mode="after")
    def _has_phases(self) -> StepsLoad:
        if len(self.phases) < 2:
            raise PydanticCustomError(
                "few_phases",
                "must have at least 2 phases, found {number} (a steady rate is kind: poisson)",
                {"number": len(self.phases)},
            )
        if not any(phase.factor for phase in self.phases):
            raise PydanticCustomError(
                "silence", "must have a phase with a factor over 0, found 0 in every phase"
            )
        return self


class SineLoad(_OpenLoad):
    """Poisson arrivals at the base rate times 1 + amplitude · sin(2π t / period)."""

    kind: Literal["sine"]
    """The arrivals."""
    amplitude: Swept[Annotated[float, Field(gt=0, le=1)]]
    """How far the rate swings, as a share of the base rate."""
    period_s: Swept[Seconds]
    """How long one swing takes."""


class BurstLoad(_OpenLoad):
    """Poisson arrivals, `factor` times as many in the last `burst_s` of every period."""

    kind: Literal["burst"]
    """The arrivals."""
    factor: Swept[Annotated[float, Field(gt=1, le=1000)]]
    """Times the base rate, during a burst."""
    burst_s: Swept[Seconds]
    """How long a burst lasts, at the end of each period."""
    period_s: Swept[Seconds]
    """How long calm and burst take together."""

    @model_validator(mode="after")
    def _has_calm(self) -> BurstLoad:
        longest, shortest = max(self.burst_s), min(self.period_s)
        if longest >= shortest:
            raise PydanticCustomError(
                "no_calm",
                "burst_s must be < period_s, found burst_s {burst}, period_s {period}",
                {"burst": longest, "period": shortest},
            )
        return self


class TraceLoad(StrictModel):
    """The arrivals of a trace file, `speedup` times as fast."""

    kind: Literal["trace"]
    """The arrivals."""
    path: str
    """A CSV with `TIMESTAMP,ContextTokens,GeneratedTokens`, relative to the file."""
    speedup: Swept[Positive] = Field(default=[1.0])
    """How many times as fast as recorded."""


Load = Annotated[
    ClosedLoopLoad
    | ConstantLoad
    | PoissonLoad
    | GammaLoad
    | StepsLoad
    | SineLoad
    | BurstLoad
    | TraceLoad,
    Field(discriminator="kind"),
]


def _require_order(low: int, high: int) -> None:
    if low > high:
        raise PydanticCustomError(
            "low_over_high",
            "low must be ≤ high, found low {low}, high {high}",
            {"low": low, "high": high},
        )
