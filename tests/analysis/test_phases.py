"""Figures by phase on records small enough to do by hand."""

from __future__ import annotations

import math

import pytest

from paretobench.analysis.phases import figures_by_phase
from paretobench.analysis.sla import ServiceLevels, SlaLimits
from paretobench.core.profiles import BurstProfile, StepsProfile
from paretobench.core.values import RequestRecord

BURST = BurstProfile(factor=3.0, burst_s=2.0, period_s=10.0)
NO_SLA = ServiceLevels()
TWO_SECONDS = ServiceLevels(default=SlaLimits(e2e_s=2.0))


def record(
    arrival_s: float, e2e_s: float | None = 1.0, *, measured: bool = True, tokens: int = 2
) -> RequestRecord:
    end_s = None if e2e_s is None else arrival_s + e2e_s
    return RequestRecord(
        request_id=0,
        class_name="default",
        arrival_s=arrival_s,
        prompt_tokens=8,
        output_tokens=tokens,
        measured=measured,
        admitted_s=end_s,
        first_token_s=end_s,
        finished_s=end_s,
        status="unfinished" if end_s is None else "finished",
        error=None,
        token_times_s=() if end_s is None else (end_s,) * tokens,
    )


def test_a_request_counts_in_the_phase_in_which_it_arrived() -> None:
    records = [record(1.0), record(7.9, 5.0), record(8.0), record(9.0, tokens=6)]
    calm, burst = figures_by_phase(records, BURST, TWO_SECONDS)
    assert (calm.phase.label, calm.num_requests, burst.num_requests) == ("calm", 2, 2)
    assert calm.requests_per_s == 2 / 8.0
    assert calm.goodput_requests_per_s == 1 / 8.0  # the one delivered in the burst was too slow
    assert burst.goodput_requests_per_s == 2 / 2.0
    assert burst.output_tokens_per_s == (2 + 6) / 2.0
    assert calm.p95_e2e_ms == pytest.approx(1000 + 0.95 * 4000)


def test_an_unfinished_request_is_infinite_in_the_tail_and_a_miss() -> None:
    _, burst = figures_by_phase([record(8.0), record(9.0, None)], BURST, TWO_SECONDS)
    assert burst.p95_e2e_ms == math.inf
    assert burst.goodput_requests_per_s == 1 / 2.0
    assert burst.output_tokens_per_s == 2 / 2.0


def test_warm_up_and_later_cycles_are_left_out() -> None:
    warmup = record(0.5, 9.0, measured=False)
    calm, burst = figures_by_phase(
        [warmup, record(1.0), record(10.5), record(11.0, 9.0), record(18.5)], BURST, NO_SLA
    )
    # from 1.0 on: 10.5 is the stretch that the warm-up took, 11.0 begins the next cycle
    assert (calm.num_requests, burst.num_requests) == (2, 0)
    assert calm.p95_e2e_ms == pytest.approx(1000)


def test_what_is_not_there_is_missing_not_zero() -> None:
    calm, burst = figures_by_phase([record(1.0)], BURST, NO_SLA)
    assert burst.p95_e2e_ms is None
    assert calm.goodput_requests_per_s is None
    assert [f.num_requests for f in figures_by_phase([], BURST, NO_SLA)] == [0, 0]


def test_a_tail_of_few_requests_is_marked() -> None:
    records = [record(i * 7.9 / 200) for i in range(200)]
    calm, burst = figures_by_phase([*records, record(9.0)], BURST, NO_SLA)
    assert (calm.p95_is_low, burst.p95_is_low) == (False, True)


def test_phases_of_one_factor_stay_apart() -> None:
    steps = StepsProfile(steps=((5.0, 0.3), (5.0, 1.2), (5.0, 0.3)))
    found = figures_by_phase([record(1.0), record(11.0), record(12.0)], steps, NO_SLA)
    assert [(f.phase.label, f.num_requests) for f in found] == [
        ("×0.3", 1),
        ("×1.2", 0),
        ("×0.3", 2),
    ]
