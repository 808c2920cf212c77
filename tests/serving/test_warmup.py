"""When the measuring window begins: after a number of requests and five times the latency."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, Trace, Trial
from paretobench.core.workloads import (
    ArrivalProcess,
    ClosedLoop,
    FixedLength,
    LoadSpec,
    UniformLength,
    WorkloadSpec,
)
from paretobench.runners.latency_model import LatencyModelRunner
from paretobench.serving.clock import VirtualClock
from paretobench.targets.serve import serve_trial

TIMES = StepTimes(prefill_base_s=0.01, decode_base_s=0.01, decode_per_sequence_s=0.001)
LOADS = [
    ArrivalProcess(kind="poisson", requests_per_s=6.0),
    ClosedLoop(concurrency=6),
    ClosedLoop(concurrency=6, think_time_s=0.07),
]


class OneByOne(LatencyModelRunner):
    run_alike = None  # type: ignore[assignment]


def trial_of(load: LoadSpec, **changes: object) -> Trial:
    trial = Trial(
        batching=BatchingConfig(policy="continuous", max_batch_size=4, max_waiting_time_s=0.0),
        load=load,
        workload=WorkloadSpec(
            prompt_tokens=FixedLength(value=8), output_tokens=UniformLength(low=20, high=60)
        ),
        num_requests=30,
        num_warmup=3,
        warmup_e2e=5.0,
        min_duration_s=0.0,
        timeout_s=1e9,
        repeat=0,
        seed=3,
    )
    return replace(trial, **changes)  # type: ignore[arg-type]


def serve(trial: Trial, times: StepTimes = TIMES, *, skips: bool = True) -> Trace:
    clock = VirtualClock()
    runner = (LatencyModelRunner if skips else OneByOne)(times, clock.sleep)
    return serve_trial(trial, runner, clock)


def first_measured(trace: Trace) -> int:
    return next(r.request_id for r in trace.requests if r.measured)


@pytest.mark.parametrize("load", LOADS, ids=str)
@pytest.mark.parametrize("policy", ["continuous", "static"])
def test_the_window_begins_with_the_first_arrival_after_five_mean_latencies(
    load: LoadSpec, policy: str
) -> None:
    batching = BatchingConfig(policy=policy, max_batch_size=4, max_waiting_time_s=0.0)
    trace = serve(trial_of(load, batching=batching))

    def is_due(arrival_s: float) -> bool:
        # a closed loop's next request arrives at the moment of an answer that is known by then
        known = [
            r.finished_s - r.arrival_s
            for r in trace.requests
            if r.finished_s is not None
            and (r.finished_s < arrival_s or (r.finished_s == arrival_s and "closed" in load.kind))
        ]
        return bool(known) and arrival_s >= 5 * sum(known) / len(known)

    expected = next(
        r.request_id for r in trace.requests if r.request_id >= 3 and is_due(r.arrival_s)
    )
    assert first_measured(trace) == expected > 3
    assert trace.window is not None
    assert trace.window.start_s == trace.requests[expected].arrival_s
    assert sum(r.measured for r in trace.requests) == 30


@pytest.mark.parametrize("load", LOADS, ids=str)
@pytest.mark.parametrize("policy", ["continuous", "static"])
def test_skipped_steps_do_not_move_the_window(load: LoadSpec, policy: str) -> None:
    batching = BatchingConfig(policy=policy, max_batch_size=4, max_waiting_time_s=0.1)
    one = trial_of(load, batching=batching, min_duration_s=11.0)
    skipping, plain = serve(one), serve(one, skips=False)
    assert len(skipping.steps) < len(plain.steps)
    assert skipping.window == plain.window
    assert [replace(r, token_times_s=()) for r in skipping.requests if r.measured] == [
        replace(r, token_times_s=()) for r in plain.requests if r.measured
    ]


def test_the_number_of_requests_decides_where_it_takes_longer() -> None:
    trace = serve(trial_of(LOADS[0], num_warmup=200))
    assert first_measured(trace) == 200


@pytest.mark.parametrize("load", [ArrivalProcess(kind="poisson", requests_per_s=90.0)], ids=str)
def test_an_overloaded_system_does_not_warm_up_for_ever(load: LoadSpec) -> None:
    slow = StepTimes(prefill_base_s=1.0)
    trace = serve(trial_of(load, workload=WorkloadSpec(
        prompt_tokens=FixedLength(value=8), output_tokens=FixedLength(value=1))), slow)  # fmt: skip
    assert first_measured(trace) == 3 + 4 * 3 + 30


def test_a_window_that_begins_late_is_as_long_as_one_that_begins_early() -> None:
    trace = serve(trial_of(LOADS[0], min_duration_s=20.0))
    assert first_measured(trace) > 3
    assert trace.window is not None
    assert 20.0 <= trace.window.duration_s < 22.0
    measured = [r.request_id for r in trace.requests if r.measured]
    assert measured == list(range(measured[0], measured[0] + len(measured)))
