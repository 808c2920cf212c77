"""The simulator against results that are known exactly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from paretobench.core.step_times import StepTimes
from paretobench.core.values import Trace
from paretobench.core.workloads import ArrivalProcess, ClosedLoop, FixedLength, UniformLength

Simulate = Callable[..., Trace]


def mean_wait_s(trace: Trace) -> float:
    return float(np.mean([(r.admitted_s or 0) - r.arrival_s for r in trace.requests if r.measured]))


@pytest.mark.parametrize("load", [0.3, 0.5, 0.7])
def test_mean_wait_of_batch_size_one_is_that_of_m_d_1(simulate: Simulate, load: float) -> None:
    service_s = 0.01
    trace = simulate(
        ArrivalProcess(kind="poisson", requests_per_s=load / service_s),
        StepTimes(prefill_base_s=service_s),
        num_requests=60_000,
        num_warmup=2_000,
        seed=0,
    )
    # most of what a run strays by is the rate that was drawn: the wait expected is that rate's
    assert trace.window is not None
    drawn = 60_000 / trace.window.duration_s * service_s
    assert drawn == pytest.approx(load, rel=0.02)
    expected_s = drawn * service_s / (2 * (1 - drawn))
    assert mean_wait_s(trace) == pytest.approx(expected_s, rel=0.02)


@pytest.mark.parametrize("batch_size", [1, 4, 16, 64])
def test_saturated_throughput_is_batch_over_batch_time(simulate: Simulate, batch_size: int) -> None:
    times = StepTimes(
        prefill_base_s=0.005,
        prefill_per_sequence_s=0.0002,
        prefill_per_token_s=0.00001,
        decode_base_s=0.01,
        decode_per_sequence_s=0.0005,
        decode_per_kv_token_s=0.000001,
    )
    trace = simulate(
        ClosedLoop(concurrency=batch_size),
        times,
        max_batch_size=batch_size,
        num_requests=20 * batch_size,
        num_warmup=batch_size + 1,
        output=FixedLength(value=20),
    )
    # a row that has generated g tokens attends to 8 + g of them
    kv = sum(8 + generated for generated in range(1, 20))
    batch_s = (
        0.005
        + batch_size * (0.0002 + 8 * 0.00001)
        + 19 * (0.01 + 0.0005 * batch_size)
        + 0.000001 * batch_size * kv
    )
    assert trace.window is not None
    finished = sum(
        trace.window.start_s < (r.finished_s or 0) <= trace.window.end_s for r in trace.requests
    )
    assert finished / trace.window.duration_s == pytest.approx(batch_size / batch_s, rel=1e-6)


@pytest.mark.parametrize("max_waiting_time_s", [0.0, 0.1])
def test_littles_law_holds(simulate: Simulate, max_waiting_time_s: float) -> None:
    trace = simulate(
        ArrivalProcess(kind="poisson", requests_per_s=40.0),
        StepTimes(prefill_base_s=0.004, decode_base_s=0.01, decode_per_sequence_s=0.0005),
        max_batch_size=16,
        max_waiting_time_s=max_waiting_time_s,
        num_requests=30_000,
        num_warmup=1_000,
        output=UniformLength(low=4, high=12),
    )
    assert trace.window is not None
    start_s, end_s = trace.window.start_s, trace.window.end_s
    # the time-average number in the system, from arrivals and deliveries alone
    in_system_s = sum(
        max(min(r.finished_s or np.inf, end_s) - max(r.arrival_s, start_s), 0.0)
        for r in trace.requests
    )
    measured = [r for r in trace.requests if r.measured]
    sojourn_s = float(np.mean([(r.finished_s or np.inf) - r.arrival_s for r in measured]))
    rate = len(measured) / (end_s - start_s)
    assert in_system_s / (end_s - start_s) == pytest.approx(rate * sojourn_s, rel=0.01)
