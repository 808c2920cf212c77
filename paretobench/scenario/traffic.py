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
    value: Swept[Tokens]


class UniformTokens(StrictModel):
    """Whole numbers from `low` to `high`, both included."""

    kind: Literal["uniform"]
    low: Tokens
    high: Tokens

    @model_validator(mode="after")
    def _ordered(self) -> UniformTokens:
        _require_order(self.low, self.high)
        return self


class LognormalTokens(StrictModel):
    """Log-normal lengths with the stated mean after clipping to `low`–`high`."""

    kind: Literal["lognormal"]
    mean: Positive
    cv: Positive
    low: Tokens
    high: Tokens

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
    path: str
    cap: Tokens | None = None


Lengths = Annotated[
    FixedTokens | UniformTokens | LognormalTokens | TraceTokens, Field(discriminator="kind")
]


class Workload(StrictModel):
    """What one request looks like."""

    prompt_tokens: Lengths
    output_tokens: Lengths


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
    concurrency: Swept[Concurrency] = Field(default=["match_batch"])
    think_time_ms: Swept[Milliseconds] = Field(default=[0.0])
    start_interval_ms: Milliseconds = 1.0


class _OpenLoad(StrictModel):
    requests_per_s: Swept[Positive] | None = None
    fraction_of_capacity: Swept[Positive] | None = None

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


class PoissonLoad(_OpenLoad):
    """Arrivals independent of each other."""

    kind: Literal["poisson"]


class GammaLoad(_OpenLoad):
    """Gamma-distributed gaps of shape `burstiness`; 1 is Poisson, smaller is burstier."""

    kind: Literal["gamma"]
    burstiness: Swept[Positive]


Seconds = Annotated[float, Field(gt=0, le=86_400)]


class StepsPhase(StrictModel):
    """So many seconds at `factor` times the base rate; 0 is silence."""

    duration_s: Seconds
    factor: Annotated[float, Field(ge=0, le=1000)]


class StepsLoad(_OpenLoad):
    """Poisson arrivals whose rate goes through `phases` and begins again."""

    kind: Literal["steps"]
    phases: Annotated[list[StepsPhase], Field(json_schema_extra={"minItems": 2})]

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
    amplitude: Swept[Annotated[float, Field(gt=0, le=1)]]
    period_s: Swept[Seconds]


class BurstLoad(_OpenLoad):
    """Poisson arrivals, `factor` times as many in the last `burst_s` of every period."""

    kind: Literal["burst"]
    factor: Swept[Annotated[float, Field(gt=1, le=1000)]]
    burst_s: Swept[Seconds]
    period_s: Swept[Seconds]

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
    path: str
    speedup: Swept[Positive] = Field(default=[1.0])


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
