"""When requests come: the gaps of open-loop arrival processes, and a trace's own times."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from paretobench.core.profiles import RateProfile
from paretobench.core.workloads import ArrivalProcess, TraceReplay
from paretobench.workload.trace_files import read_trace_file

_BLOCK = 1024  # gaps drawn at a time; part of what a seed means


def arrival_times(load: ArrivalProcess | TraceReplay, rng: np.random.Generator) -> Iterator[float]:
    """Yield arrival times in seconds, never falling, without end.

    No gap is capped or floored: a process has the rate and the variance of its name. A trace that
    ends begins again, its mean gap after its last row.
    """
    if isinstance(load, TraceReplay):
        return _replay(load)
    if load.profile is not None:
        return _varying(load, load.profile, rng)
    return _process(load, rng)


def _process(load: ArrivalProcess, rng: np.random.Generator) -> Iterator[float]:
    assert load.requests_per_s is not None, "the rate must be settled before a schedule is drawn"
    mean_gap_s = 1.0 / load.requests_per_s
    now_s = 0.0
    while True:
        match load.kind:
            case "constant":
                gaps = np.full(_BLOCK, mean_gap_s)
            case "poisson":
                gaps = rng.exponential(mean_gap_s, _BLOCK)
            case "gamma":  # shape k, scale mean/k: the mean stays, the cv is 1/√k
                gaps = rng.gamma(load.burstiness, mean_gap_s / load.burstiness, _BLOCK)
            case "steps" | "sine" | "burst":
                raise AssertionError(f"a {load.kind} load has a profile")
        times = now_s + np.cumsum(gaps)
        yield from times.tolist()
        now_s = float(times[-1])


def _varying(
    load: ArrivalProcess, profile: RateProfile, rng: np.random.Generator
) -> Iterator[float]:
    """Yield Poisson arrivals at a rate that varies, by thinning (Lewis and Shedler, 1979): of a
    Poisson process at the highest rate each arrival stays with probability rate / highest rate."""
    assert load.requests_per_s is not None, "the rate must be settled before a schedule is drawn"
    highest = profile.max_factor
    mean_gap_s = 1.0 / (load.requests_per_s * highest)
    now_s = 0.0
    while True:
        times = now_s + np.cumsum(rng.exponential(mean_gap_s, _BLOCK))
        factors = np.fromiter(map(profile.rate_factor, times.tolist()), float, _BLOCK)
        yield from times[rng.random(_BLOCK) * highest < factors].tolist()
        now_s = float(times[-1])


def _replay(load: TraceReplay) -> Iterator[float]:
    arrival_s = read_trace_file(load.path).arrival_s / load.speedup
    mean_gap_s = float(arrival_s[-1]) / max(arrival_s.size - 1, 1)
    period_s = float(arrival_s[-1]) + (mean_gap_s or 1.0)
    start_s = 0.0
    while True:
        yield from (start_s + arrival_s).tolist()
        start_s += period_s
