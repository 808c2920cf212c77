"""What is asked of the system: request lengths and arrivals, with every value settled."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from paretobench.core.profiles import RateProfile


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedLength:
    """Every request has `value` tokens."""

    kind: Literal["fixed"] = "fixed"
    value: int

    def __str__(self) -> str:
        return f"{self.value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UniformLength:
    """A whole number of tokens, uniform between `low` and `high`, both included."""

    kind: Literal["uniform"] = "uniform"
    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.low}–{self.high}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LognormalLength:
    """Log-normal with coefficient of variation `cv`, clipped to `low`–`high`, mean kept."""

    kind: Literal["lognormal"] = "lognormal"
    mean: float
    cv: float
    low: int
    high: int

    def __str__(self) -> str:
        return f"lognormal mean {self.mean:g}, cv {self.cv:g}, {self.low}–{self.high}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceLength:
    """The lengths of a trace's rows in order, none above `cap`."""

    kind: Literal["trace"] = "trace"
    path: Path
    cap: int | None = None

    def __str__(self) -> str:
        cap = "" if self.cap is None else f" ≤ {self.cap}"
        return f"trace {self.path.name}{cap}"


LengthSpec: TypeAlias = FixedLength | UniformLength | LognormalLength | TraceLength


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSpec:
    """The shape of the requests. Only trials of one shape compete on a frontier."""

    prompt_tokens: LengthSpec
    output_tokens: LengthSpec

    def __str__(self) -> str:
        return f"prompt {self.prompt_tokens}, output {self.output_tokens}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestClass:
    """One kind of request in mixed traffic: `share` of all requests, 0 < share <= 1."""

    name: str
    share: float
    lengths: WorkloadSpec

    def __str__(self) -> str:
        return f"{self.name} {self.share:.3g} ({self.lengths})"


@dataclass(frozen=True, slots=True, kw_only=True)
class MixSpec:
    """Traffic of several classes; each request is of one of them, drawn by their shares."""

    classes: tuple[RequestClass, ...]

    def __str__(self) -> str:
        return "; ".join(map(str, self.classes))


TrafficSpec: TypeAlias = WorkloadSpec | MixSpec
DEFAULT_CLASS = "default"


def classes_of(workload: TrafficSpec) -> tuple[RequestClass, ...]:
    """Return the classes of a workload; one of its own where none are told apart."""
    if isinstance(workload, MixSpec):
        return workload.classes
    return (RequestClass(name=DEFAULT_CLASS, share=1.0, lengths=workload),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """`concurrency` clients, each with one request at a time and `think_time_s` between two.

    Client i starts at `i * start_interval_s`.
    """

    kind: Literal["closed_loop"] = "closed_loop"
    concurrency: int
    think_time_s: float = 0.0
    start_interval_s: float = 0.001

    def __str__(self) -> str:
        think = f", think {self.think_time_s * 1e3:g} ms" if self.think_time_s else ""
        return f"closed loop ×{self.concurrency}{think}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrivalProcess:
    """Open-loop arrivals at a rate of their own, given or as a share of the measured capacity.

    Those with a `profile` are Poisson at that rate times the profile's factor of the moment.
    """

    kind: Literal["constant", "poisson", "gamma", "steps", "sine", "burst"]
    requests_per_s: float | None = None  # None: fraction_of_capacity is not resolved yet
    fraction_of_capacity: float | None = None
    burstiness: float = 1.0  # gamma: shape of the gaps; 1 is Poisson, smaller is burstier
    profile: RateProfile | None = None  # steps, sine and burst have one

    @property
    def mean_requests_per_s(self) -> float | None:
        """The rate over whole cycles; None while the base rate is not settled."""
        if self.requests_per_s is None or self.profile is None:
            return self.requests_per_s
        return self.requests_per_s * self.profile.mean_factor

    def __str__(self) -> str:
        name = f"gamma {self.burstiness:g}" if self.kind == "gamma" else self.kind
        if self.profile is not None:
            name = f"{self.kind} {self.profile},"
        if self.fraction_of_capacity is not None:
            return f"{name} {self.fraction_of_capacity:.0%} of capacity"
        return f"{name} {self.requests_per_s:g}/s"


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceReplay:
    """The arrival times of a trace's rows from the first on, `speedup` times as fast."""

    kind: Literal["trace"] = "trace"
    path: Path
    speedup: float = 1.0

    def __str__(self) -> str:
        speedup = f" ×{self.speedup:g}" if self.speedup != 1 else ""
        return f"trace {self.path.name}{speedup}"


LoadSpec: TypeAlias = ClosedLoop | ArrivalProcess | TraceReplay


def needs_capacity(load: LoadSpec) -> bool:
    """Return whether the load's rate is a fraction of a capacity that is not settled yet."""
    return (
        isinstance(load, ArrivalProcess)
        and load.fraction_of_capacity is not None
        and load.requests_per_s is None
    )


def at_capacity(load: LoadSpec, capacity_requests_per_s: float | None) -> LoadSpec:
    """Return the load with its rate settled; only one that is not settled needs the capacity."""
    if not needs_capacity(load):
        return load
    assert isinstance(load, ArrivalProcess)
    assert load.fraction_of_capacity is not None
    assert capacity_requests_per_s is not None, "a pilot must measure the capacity first"
    return replace(load, requests_per_s=load.fraction_of_capacity * capacity_requests_per_s)
