"""Arrivals whose rate varies are Poisson at the rate of the moment, and repeat after a cycle."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from paretobench.core.profiles import BurstProfile, RateProfile, SineProfile, StepsProfile
from paretobench.core.values import BatchingConfig, Trial
from paretobench.core.workloads import ArrivalProcess, FixedLength, WorkloadSpec, at_capacity
from paretobench.workload.arrivals import arrival_times
from paretobench.workload.schedule import OpenSchedule, make_schedule

BASE = 50.0  # requests/s
CYCLES = 60
STEPS = StepsProfile(steps=((4.0, 0.3), (3.0, 0.0), (3.0, 1.2)))
SINE = SineProfile(amplitude=1.0, period_s=10.0)
BURST = BurstProfile(factor=3.0, burst_s=2.0, period_s=10.0)
PROFILES = pytest.mark.parametrize("profile", [STEPS, SINE, BURST], ids=["steps", "sine", "burst"])


def load_of(profile: RateProfile, **rate: float) -> ArrivalProcess:
    kinds: dict[type, Literal["steps", "sine", "burst"]] = {
        StepsProfile: "steps",
        SineProfile: "sine",
        BurstProfile: "burst",
    }
    return ArrivalProcess(kind=kinds[type(profile)], profile=profile, **rate)


def arrivals(profile: RateProfile, cycles: float = CYCLES, seed: int = 3) -> np.ndarray:
    times = arrival_times(load_of(profile, requests_per_s=BASE), np.random.default_rng(seed))
    end_s = cycles * profile.cycle_s
    return np.array(list(itertools.takewhile(lambda t: t < end_s, times)))


def expected(profile: RateProfile, start_s: float, end_s: float) -> float:
    """Return the integral of the factor, by sums fine enough for its jumps."""
    middles = start_s + (np.arange(20_000) + 0.5) * (end_s - start_s) / 20_000
    return float(np.mean([profile.rate_factor(t) for t in middles.tolist()]) * (end_s - start_s))


@PROFILES
def test_each_phase_has_the_count_of_a_poisson_law(profile: RateProfile) -> None:
    times = arrivals(profile) % profile.cycle_s
    for phase in profile.phases:
        mean = CYCLES * BASE * expected(profile, phase.start_s, phase.end_s)
        count = np.count_nonzero((times >= phase.start_s) & (times < phase.end_s))
        low, high = stats.poisson.interval(0.9999, mean) if mean else (0, 0)
        assert low <= count <= high, phase


@PROFILES
def test_arrivals_on_the_clock_of_their_own_rate_have_exponential_gaps(
    profile: RateProfile,
) -> None:
    """Time rescaling: with the integrated rate as the clock, the process is Poisson at rate 1."""
    grid = np.linspace(0.0, profile.cycle_s, 20_001)
    middles = (grid[1:] + grid[:-1]) / 2
    factors = np.array([profile.rate_factor(t) for t in middles.tolist()])
    integral = np.concatenate([[0.0], np.cumsum(factors * np.diff(grid))]) * BASE
    times = arrivals(profile)
    whole, part = np.divmod(times, profile.cycle_s)
    gaps = np.diff(whole * integral[-1] + np.interp(part, grid, integral))
    assert gaps.size > 10_000
    assert stats.kstest(gaps, stats.expon.cdf).pvalue > 0.001
    # and they do not depend on each other: no memory of when the last one came
    assert abs(np.corrcoef(gaps[1:], gaps[:-1])[0, 1]) < 4 / math.sqrt(gaps.size)


@PROFILES
def test_counts_of_a_cycle_have_the_stated_mean_and_its_variance(profile: RateProfile) -> None:
    counts = np.bincount((arrivals(profile, 200) / profile.cycle_s).astype(int))
    mean = BASE * profile.mean_factor * profile.cycle_s
    assert abs(counts.mean() - mean) < 4 * math.sqrt(mean / counts.size)
    assert counts.var() / mean == pytest.approx(1.0, abs=4 * math.sqrt(2 / counts.size))


def test_silence_is_silent() -> None:
    times = arrivals(STEPS) % STEPS.cycle_s
    assert not np.any((times >= 4.0) & (times < 7.0))


@PROFILES
def test_a_seed_is_one_sequence_of_rising_times(profile: RateProfile) -> None:
    times = arrivals(profile, 5)
    assert np.array_equal(times, arrivals(profile, 5))
    assert not np.array_equal(times[:100], arrivals(profile, 5, seed=4)[:100])
    assert np.all(np.diff(times) >= 0)


@PROFILES
@given(t_s=st.floats(0, 1e4))
def test_a_profile_repeats_and_keeps_inside_its_bounds(profile: RateProfile, t_s: float) -> None:
    later_s = t_s + 3 * profile.cycle_s
    if profile.phase_at(t_s) == profile.phase_at(later_s):  # but for rounding at an edge
        assert profile.rate_factor(later_s) == pytest.approx(profile.rate_factor(t_s), abs=1e-9)
    assert 0 <= profile.rate_factor(t_s) <= profile.max_factor
    phase = profile.phase_at(t_s)
    assert phase.start_s <= t_s % profile.cycle_s < phase.end_s


@PROFILES
def test_phases_fill_the_cycle_and_the_mean_is_the_integrals(profile: RateProfile) -> None:
    phases = profile.phases
    assert [p.start_s for p in phases] == [0.0, *(p.end_s for p in phases[:-1])]
    assert phases[-1].end_s == profile.cycle_s
    mean = expected(profile, 0.0, profile.cycle_s) / profile.cycle_s
    assert profile.mean_factor == pytest.approx(mean, abs=1e-3)


def test_a_burst_ends_the_period() -> None:
    assert [BURST.rate_factor(t) for t in (0.0, 7.9, 8.0, 9.9, 10.0)] == [1, 1, 3, 3, 1]
    assert [BURST.phase_at(t).label for t in (7.9, 8.0, 10.0)] == ["calm", "burst", "calm"]


@pytest.mark.parametrize(
    ("profile", "text"),
    [
        (
            StepsProfile(steps=((20.0, 0.3), (20.0, 1.2), (20.0, 0.3))),
            "steps 0.3→1.2→0.3 ×20 s, 70% of capacity",
        ),
        (
            StepsProfile(steps=((20.0, 0.3), (5.0, 1.2))),
            "steps 0.3 (20 s)→1.2 (5 s), 70% of capacity",
        ),
        (SineProfile(amplitude=0.8, period_s=30.0), "sine ±0.8 over 30 s, 70% of capacity"),
        (BURST, "burst ×3 for 2 of 10 s, 70% of capacity"),
    ],
)
def test_a_load_says_shortly_how_it_varies(profile: RateProfile, text: str) -> None:
    assert str(load_of(profile, fraction_of_capacity=0.7)) == text


def test_one_number_settles_the_rate() -> None:
    load = at_capacity(load_of(BURST, fraction_of_capacity=0.5), 40.0)
    assert isinstance(load, ArrivalProcess)
    assert load.requests_per_s == 20.0
    assert load.mean_requests_per_s == pytest.approx(20.0 * 1.4)


def trial_of(load: ArrivalProcess, **changes: object) -> Trial:
    length = FixedLength(value=4)
    trial = Trial(
        batching=BatchingConfig(policy="static", max_batch_size=4, max_waiting_time_s=0.0),
        load=load,
        workload=WorkloadSpec(prompt_tokens=length, output_tokens=length),
        num_requests=8,
        num_warmup=10,
        min_duration_s=10.0,
        timeout_s=60.0,
        repeat=0,
        seed=5,
    )
    return replace(trial, **changes)  # type: ignore[arg-type]


def window_s(trial: Trial) -> float:
    schedule = make_schedule(trial)
    assert isinstance(schedule, OpenSchedule)
    first, end = trial.num_warmup, trial.num_warmup + schedule.num_measured
    assert schedule.num_measured >= trial.num_requests
    return schedule.requests[end].arrival_s - schedule.requests[first].arrival_s


@PROFILES
@pytest.mark.parametrize(("cycles", "num_requests"), [(1, 8), (2, 1000), (3, 1500)])
def test_whole_cycles_are_measured(profile: RateProfile, cycles: int, num_requests: int) -> None:
    # 500 a cycle at a mean factor of 1; the window ends with the first arrival after it
    base = BASE / profile.mean_factor * 1.3
    found = window_s(trial_of(load_of(profile, requests_per_s=base), num_requests=num_requests))
    slack_s = 1.0 + (3.0 if profile is STEPS else 0.0)  # the silence
    assert cycles * 10.0 <= found < cycles * 10.0 + slack_s
