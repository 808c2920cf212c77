"""From a scenario's load sections to loads: the product of a section's lists."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from paretobench.core.profiles import BurstProfile, RateProfile, SineProfile, StepsProfile
from paretobench.core.units import to_s
from paretobench.core.values import BatchingConfig
from paretobench.core.workloads import ArrivalProcess, ClosedLoop, LoadSpec, TraceReplay
from paretobench.scenario.traffic import (
    BurstLoad,
    ClosedLoopLoad,
    ConstantLoad,
    GammaLoad,
    Load,
    PoissonLoad,
    SineLoad,
    StepsLoad,
    TraceLoad,
)

OpenLoad: TypeAlias = ConstantLoad | PoissonLoad | GammaLoad | StepsLoad | SineLoad | BurstLoad


def loads_of(load: Load, batching: BatchingConfig) -> Iterator[LoadSpec]:
    """Yield the loads of a section under one batching configuration, which says how many clients
    `match_batch` are. Rates given as a fraction of the capacity are not settled yet."""
    match load:
        case ClosedLoopLoad():
            for concurrency, think_ms in itertools.product(load.concurrency, load.think_time_ms):
                matched = concurrency == "match_batch"
                yield ClosedLoop(
                    concurrency=batching.max_batch_size if matched else int(concurrency),
                    think_time_s=to_s(think_ms),
                    start_interval_s=to_s(load.start_interval_ms),
                )
        case GammaLoad():
            for burstiness in load.burstiness:
                yield from _processes(load, burstiness=burstiness)
        case TraceLoad():
            for speedup in load.speedup:
                yield TraceReplay(path=Path(load.path), speedup=speedup)
        case _:
            for profile in _profiles(load):
                yield from _processes(load, profile=profile)


def _profiles(
    load: ConstantLoad | PoissonLoad | StepsLoad | SineLoad | BurstLoad,
) -> Iterator[RateProfile | None]:
    match load:
        case StepsLoad():
            yield StepsProfile(steps=tuple((p.duration_s, p.factor) for p in load.phases))
        case SineLoad():
            for amplitude, period_s in itertools.product(load.amplitude, load.period_s):
                yield SineProfile(amplitude=amplitude, period_s=period_s)
        case BurstLoad():
            for factor, burst_s, period_s in itertools.product(
                load.factor, load.burst_s, load.period_s
            ):
                yield BurstProfile(factor=factor, burst_s=burst_s, period_s=period_s)
        case _:
            yield None


def _processes(
    load: OpenLoad, *, burstiness: float = 1.0, profile: RateProfile | None = None
) -> Iterator[ArrivalProcess]:
    process = ArrivalProcess(kind=load.kind, burstiness=burstiness, profile=profile)
    for rate in load.requests_per_s or []:
        yield replace(process, requests_per_s=rate)
    for fraction in load.fraction_of_capacity or []:
        yield replace(process, fraction_of_capacity=fraction)
