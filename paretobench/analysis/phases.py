"""Figures by phase of a load whose rate varies: what the calm and what the rush felt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from paretobench.analysis.latencies import e2e_latency_s
from paretobench.analysis.percentiles import is_low, percentile
from paretobench.analysis.sla import ServiceLevels
from paretobench.core.columns import RequestColumns
from paretobench.core.profiles import Phase, RateProfile
from paretobench.core.units import to_ms
from paretobench.core.values import RequestRecord

_TAIL = 95.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFigures:
    """The requests that ARRIVED in one phase of the first measured cycle, whenever delivered.

    Rates are per second of the phase. `p95_e2e_ms` is None where nobody arrived, inf where requests
    failed; `p95_is_low`: fewer than 10 samples lie beyond it. `goodput_requests_per_s` is None
    without an SLA.
    """

    phase: Phase
    num_requests: int
    requests_per_s: float
    p95_e2e_ms: float | None
    p95_is_low: bool
    goodput_requests_per_s: float | None
    output_tokens_per_s: float


def figures_by_phase(
    records: Sequence[RequestRecord], profile: RateProfile, levels: ServiceLevels
) -> list[PhaseFigures]:
    """Return the figures of each phase in order, over the first whole cycle that was measured.

    That cycle begins with the first measured request. Where the warm-up ate into the first phase,
    the rest of that phase is the same stretch of the next cycle: every phase counts in full, once.
    """
    requests = RequestColumns.of(records)
    measured = requests.where(requests.measured)
    end_s = (measured.arrival_s.min() if len(measured) else 0.0) + profile.cycle_s
    measured = measured.where(measured.arrival_s < end_s)
    which = profile.phases_at(measured.arrival_s)
    return [
        _figures(phase, measured.where(which == number), levels)
        for number, phase in enumerate(profile.phases)
    ]


def _figures(phase: Phase, arrived: RequestColumns, levels: ServiceLevels) -> PhaseFigures:
    tail_s = percentile(e2e_latency_s(arrived), _TAIL)
    good = int(np.count_nonzero(levels.met(arrived))) / phase.duration_s
    return PhaseFigures(
        phase=phase,
        num_requests=len(arrived),
        requests_per_s=len(arrived) / phase.duration_s,
        p95_e2e_ms=None if tail_s is None else to_ms(tail_s),
        p95_is_low=is_low(len(arrived), _TAIL),
        goodput_requests_per_s=good if levels.any_set else None,
        output_tokens_per_s=arrived.token_times_s.total / phase.duration_s,
    )
