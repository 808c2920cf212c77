"""Arrival processes have the distribution of their name, and a seed means one schedule."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from paretobench.core.values import BatchingConfig, Request, Trial
from paretobench.core.workloads import (
    ArrivalProcess,
    ClosedLoop,
    FixedLength,
    LoadSpec,
    TraceReplay,
    UniformLength,
    WorkloadSpec,
)
from paretobench.workload.arrivals import arrival_times
from paretobench.workload.prompts import PromptPool
from paretobench.workload.schedule import ClosedSchedule, OpenSchedule, make_schedule

WORKLOAD = WorkloadSpec(
    prompt_tokens=FixedLength(value=32), output_tokens=UniformLength(low=8, high=32)
)


def trial_of(load: LoadSpec, **changes: object) -> Trial:
    trial = Trial(
        batching=BatchingConfig(policy="static", max_batch_size=4, max_waiting_time_s=0.0),
        load=load,
        workload=WORKLOAD,
        num_requests=40,
        num_warmup=10,
        min_duration_s=0.0,
        timeout_s=60.0,
        repeat=0,
        seed=5,
    )
    return replace(trial, **changes)  # type: ignore[arg-type]


def gaps(kind: Literal["constant", "poisson", "gamma"], burstiness: float = 1.0) -> np.ndarray:
    load = ArrivalProcess(kind=kind, requests_per_s=20.0, burstiness=burstiness)
    times = arrival_times(load, np.random.default_rng(3))
    return np.diff([0.0, *itertools.islice(times, 50_000)])


def test_constant_arrivals_have_equal_gaps() -> None:
    assert gaps("constant") == pytest.approx(0.05, rel=1e-6)


@pytest.mark.parametrize("burstiness", [0.25, 1.0, 4.0])
def test_gamma_arrivals_have_the_gaps_of_a_gamma_distribution(burstiness: float) -> None:
    found = gaps("gamma", burstiness)
    standard_error = 0.05 / np.sqrt(burstiness * found.size)
    assert abs(found.mean() - 0.05) < 4 * standard_error
    assert found.var() == pytest.approx(0.05**2 / burstiness, rel=0.06)
    expected = stats.gamma(a=burstiness, scale=0.05 / burstiness)
    assert stats.kstest(found, expected.cdf).pvalue > 0.001


def test_poisson_arrivals_have_exponential_gaps_without_a_cap() -> None:
    found = gaps("poisson")
    assert abs(found.mean() - 0.05) < 4 * 0.05 / np.sqrt(found.size)
    assert found.var() == pytest.approx(0.05**2, rel=0.05)
    assert stats.kstest(found, stats.expon(scale=0.05).cdf).pvalue > 0.001
    assert found.max() > 8 * found.mean()  # capped gaps would run the process too hot


def test_poisson_counts_have_the_variance_of_their_mean() -> None:
    counts = np.bincount(np.cumsum(gaps("poisson")).astype(int))[:-1]
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.12)


def test_a_trace_is_replayed_at_its_speedup_and_begins_again(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:00:00,1,1\n"
        "2023-11-16 18:00:10,1,1\n2023-11-16 18:00:20,1,1\n"
    )
    times = arrival_times(TraceReplay(path=path, speedup=2.0), np.random.default_rng(0))
    assert list(itertools.islice(times, 5)) == [0.0, 5.0, 10.0, 15.0, 20.0]


@given(seed=st.integers(0, 2**32 - 1), rate=st.floats(0.1, 1000))
@settings(max_examples=30, deadline=None)
def test_a_seed_is_one_schedule_in_order_of_arrival(seed: int, rate: float) -> None:
    trial = trial_of(ArrivalProcess(kind="poisson", requests_per_s=rate), seed=seed)
    schedule, again = make_schedule(trial), make_schedule(trial)
    assert isinstance(schedule, OpenSchedule)
    assert schedule == again
    arrivals = [request.arrival_s for request in schedule.requests]
    assert arrivals == sorted(arrivals)
    assert [r.request_id for r in schedule.requests] == list(range(len(arrivals)))
    assert (schedule.num_warmup, schedule.num_measured) == (10, 40)
    assert len(arrivals) > 50  # the load goes on while the measured ones are served


def test_another_seed_is_another_schedule() -> None:
    load = ArrivalProcess(kind="poisson", requests_per_s=10.0)
    assert make_schedule(trial_of(load)) != make_schedule(trial_of(load, seed=6))


def test_min_duration_lengthens_an_open_schedule() -> None:
    load = ArrivalProcess(kind="constant", requests_per_s=10.0)
    schedule = make_schedule(trial_of(load, min_duration_s=30.0))
    assert isinstance(schedule, OpenSchedule)
    assert schedule.num_measured == 300


def test_a_closed_loop_draws_classes_and_lengths_only() -> None:
    schedule = make_schedule(trial_of(ClosedLoop(concurrency=4)))
    assert isinstance(schedule, ClosedSchedule)
    outputs = [output for _, _, output in itertools.islice(schedule.shapes, 2000)]
    assert (min(outputs), max(outputs)) == (8, 32)


def request(request_id: int, prompt_tokens: int = 32) -> Request:
    return Request(
        request_id=request_id, arrival_s=0.0, prompt_tokens=prompt_tokens, output_tokens=1
    )


def test_prompts_differ_within_and_between_trials() -> None:
    pool = PromptPool(vocab_size=16384, seed=1, max_prompt_tokens=32)
    other = PromptPool(vocab_size=16384, seed=2, max_prompt_tokens=32)
    prompts = {tuple(pool(request(i))[:4]) for i in range(3000)}
    prompts |= {tuple(other(request(i))[:4]) for i in range(3000)}
    assert len(prompts) == 6000


def test_a_prompt_has_its_length_and_known_tokens_wherever_it_is_cut() -> None:
    pool = PromptPool(vocab_size=100, seed=1, max_prompt_tokens=5000)
    for request_id in (0, 1, 131, 132, 133, 10**6, 10**9):
        prompt = pool(request(request_id, prompt_tokens=5000))
        assert prompt.shape == (5000,)
        assert prompt.min() >= 0
        assert prompt.max() < 100
