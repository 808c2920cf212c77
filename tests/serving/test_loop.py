"""The loop: nobody lost, no batch too large, no wait too long, and every step on record."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paretobench.core.errors import DeviceOutOfMemoryError
from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, Request, Trace, Trial, Window
from paretobench.core.workloads import ArrivalProcess, ClosedLoop, FixedLength, UniformLength
from paretobench.runners.base import StepResult
from paretobench.runners.null import NullRunner
from paretobench.serving.clock import VirtualClock
from paretobench.serving.loop import ServingLoop
from paretobench.serving.policies import make_policy
from paretobench.serving.sources import OpenLoopSource
from paretobench.targets.serve import serve_trial
from paretobench.workload.schedule import OpenSchedule

Simulate = Callable[..., Trace]
TIMES = StepTimes(
    prefill_base_s=0.004,
    prefill_per_token_s=0.0001,
    decode_base_s=0.01,
    decode_per_sequence_s=0.0005,
)


@given(
    rate=st.floats(0.5, 200),
    max_batch_size=st.integers(1, 9),
    wait_s=st.sampled_from([0.0, 0.01, 0.3, 5.0]),
    seed=st.integers(0, 1000),
)
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_measured_request_is_served_once_in_batches_within_the_limits(
    simulate: Simulate, rate: float, max_batch_size: int, wait_s: float, seed: int
) -> None:
    trace = simulate(
        ArrivalProcess(kind="poisson", requests_per_s=rate),
        TIMES,
        max_batch_size=max_batch_size,
        max_waiting_time_s=wait_s,
        num_requests=30,
        num_warmup=5,
        output=UniformLength(low=1, high=6),
        seed=seed,
    )
    measured = [r for r in trace.requests if r.measured]
    assert trace.outcome == "completed"
    assert [r.request_id for r in measured] == list(range(5, 35))
    assert all(r.status == "finished" for r in measured)
    assert all(len(r.token_times_s) == r.output_tokens for r in measured)
    assert max(step.batch_size for step in trace.steps) <= max_batch_size
    for step in trace.steps:  # static batching: whoever joins finds nobody running
        assert step.joined in (0, step.batch_size)
        assert (step.close_reason is not None) == (step.joined > 0)
        assert (step.close_reason == "full") <= (step.joined == max_batch_size)
    _assert_idle_never_holds_past_the_limit(trace, max_batch_size, wait_s)
    _assert_order_and_delivery(trace)


def _assert_idle_never_holds_past_the_limit(
    trace: Trace, max_batch_size: int, wait_s: float
) -> None:
    ends = [0.0]
    for step in trace.steps:
        if step.joined:
            joiners = [r for r in trace.requests if r.admitted_s == step.start_s]
            if joiners:
                oldest_s = min(r.arrival_s for r in joiners)
                assert step.start_s <= max(oldest_s + wait_s, ends[-1]) + 1e-9
        ends.append(step.start_s + step.duration_s)


def _assert_order_and_delivery(trace: Trace) -> None:
    served = [r for r in trace.requests if r.admitted_s is not None]
    by_arrival = sorted(served, key=lambda r: (r.arrival_s, r.request_id))
    admissions = [r.admitted_s or 0.0 for r in by_arrival]
    assert admissions == sorted(admissions)  # first come, first served
    for record in served:
        if record.finished_s is not None:
            batch = [r.finished_s for r in served if r.admitted_s == record.admitted_s]
            assert set(batch) == {record.finished_s}  # delivered whole
            assert record.finished_s >= record.token_times_s[-1]


def test_a_lone_request_is_released_at_max_waiting_time(simulate: Simulate) -> None:
    trace = simulate(
        ArrivalProcess(kind="constant", requests_per_s=1.0),
        TIMES,
        max_batch_size=16,
        max_waiting_time_s=0.05,
        output=FixedLength(value=20),
    )
    service_s = 0.004 + 8 * 0.0001 + 19 * 0.0105
    for record in trace.requests:
        if record.measured:
            assert (record.admitted_s or 0) - record.arrival_s == pytest.approx(0.05)
            assert (record.finished_s or 0) - record.arrival_s == pytest.approx(0.05 + service_s)


def test_a_closed_loop_that_matches_the_batch_runs_full_batches_back_to_back(
    simulate: Simulate,
) -> None:
    trace = simulate(
        ClosedLoop(concurrency=8),
        TIMES,
        max_batch_size=8,
        num_warmup=9,
        output=UniformLength(low=2, high=9),
    )
    assert trace.window is not None
    inside = [s for s in trace.steps if trace.window.start_s <= s.start_s < trace.window.end_s]
    assert {step.batch_size for step in inside} == {8}
    assert {step.close_reason for step in inside} == {"full", None}
    busy_s = sum(step.duration_s for step in inside)
    assert busy_s == pytest.approx(trace.window.duration_s)


def test_a_client_asks_again_its_think_time_after_its_last_token(simulate: Simulate) -> None:
    trace = simulate(
        ClosedLoop(concurrency=1, think_time_s=0.25), TIMES, output=FixedLength(value=3)
    )
    served = [r for r in trace.requests if r.finished_s is not None]
    for earlier, later in itertools.pairwise(served):
        assert later.arrival_s == (earlier.finished_s or 0) + 0.25


def test_the_starts_of_clients_are_staggered(simulate: Simulate) -> None:
    load = ClosedLoop(concurrency=4, start_interval_s=0.02)
    trace = simulate(load, TIMES, max_batch_size=4, output=FixedLength(value=9))
    assert trace.requests[1].arrival_s == 0.02


def test_min_duration_keeps_a_closed_loop_measuring(simulate: Simulate) -> None:
    trace = simulate(ClosedLoop(concurrency=1), TIMES, num_requests=2, min_duration_s=5.0)
    assert trace.window is not None
    assert 5.0 <= trace.window.duration_s < 5.1


def test_finished_rows_are_padding_until_the_longest_is_done(simulate: Simulate) -> None:
    trace = simulate(
        ClosedLoop(concurrency=2, start_interval_s=0.0),
        TIMES,
        max_batch_size=2,
        num_warmup=0,
        num_requests=40,
        output=UniformLength(low=1, high=30),
    )
    for record in trace.requests:
        if record.status == "finished":
            batch = [r for r in trace.requests if r.admitted_s == record.admitted_s]
            longest = max(r.output_tokens for r in batch)
            steps = [
                s
                for s in trace.steps
                if (record.admitted_s or 0) <= s.start_s < (record.finished_s or 0)
            ]
            assert sum(s.num_steps for s in steps) == longest
            assert sum(s.padded_tokens for s in steps) == sum(
                longest - r.output_tokens for r in batch
            )


def test_kv_tokens_count_prompts_and_what_was_generated(simulate: Simulate) -> None:
    trace = simulate(ClosedLoop(concurrency=1), TIMES, num_warmup=0, output=FixedLength(value=4))
    # the prompt's 8, then three decode steps alike: 9 + 10 + 11
    found = [(step.num_steps, step.kv_tokens) for step in trace.steps[:3]]
    assert found == [(1, 8), (3, 9 + 10 + 11), (1, 8)]


def test_a_timeout_keeps_what_was_measured_and_marks_the_rest_unfinished(
    simulate: Simulate,
) -> None:
    trace = simulate(ClosedLoop(concurrency=1), TIMES, num_warmup=0, timeout_s=0.1)
    assert trace.outcome == "timed_out"
    assert trace.reason is not None
    assert "timed out after 0.1 s" in trace.reason
    statuses = {record.status for record in trace.requests if record.measured}
    assert statuses == {"finished", "unfinished"}


def loop_of(requests: list[Request], runner: NullRunner, **limits: int) -> Trace:
    schedule = OpenSchedule(
        requests=tuple(requests),
        num_warmup=0,
        num_measured=len(requests) - 1,
        window=Window(start_s=requests[0].arrival_s, end_s=requests[-1].arrival_s),
    )
    runner.start_trial(
        max_batch_size=4,
        max_request_tokens=20,
        prompts=lambda _: None,  # type: ignore[arg-type,return-value]
        **limits,
    )
    return ServingLoop(
        source=OpenLoopSource(schedule),
        policy=make_policy(
            BatchingConfig(policy="static", max_batch_size=4, max_waiting_time_s=0.0)
        ),
        runner=runner,
        clock=VirtualClock(),
        timeout_s=100.0,
    ).run()


def request(request_id: int, prompt_tokens: int = 4) -> Request:
    return Request(
        request_id=request_id,
        arrival_s=float(request_id),
        prompt_tokens=prompt_tokens,
        output_tokens=3,
    )


def test_a_request_that_can_never_fit_is_rejected_with_the_reason() -> None:
    trace = loop_of(
        [request(0), request(1, prompt_tokens=18), request(2), request(3)], NullRunner()
    )
    rejected = trace.requests[1]
    assert (rejected.status, rejected.admitted_s) == ("rejected", None)
    assert rejected.error == "needs 21 tokens of cache, found room for 20"
    assert [r.status for r in trace.requests if r.measured] == ["finished", "rejected", "finished"]


class _RunsOut(NullRunner):
    def step(self, join: object) -> StepResult:
        if self.capacity().free_slots < 4:
            raise DeviceOutOfMemoryError("no room for a batch of 1")
        return super().step(join)  # type: ignore[arg-type]


def at_once(*prompt_tokens: int) -> list[Request]:
    """Requests that all come at 0, and one at the end that closes the window."""
    requests = [replace(request(i, p), arrival_s=0.0) for i, p in enumerate(prompt_tokens)]
    return [*requests, replace(request(len(requests)), arrival_s=50.0)]


def test_requests_that_must_wait_for_memory_wait_in_order_and_are_counted() -> None:
    trace = loop_of(at_once(4, 4, 9, 4), NullRunner(), kv_budget_tokens=20)
    measured = [r for r in trace.requests if r.measured]
    assert [r.status for r in measured] == ["finished"] * 4
    assert [r.kv_blocked_s is not None for r in measured] == [False, False, True, True]
    # 7 + 7 tokens, then 12 + 7: the last was small enough for the first batch, but not its turn
    assert [step.batch_size for step in trace.steps if step.joined] == [2, 2]


def test_no_moment_holds_more_tokens_than_the_kv_budget() -> None:
    trace = loop_of(at_once(*[4 + i % 7 for i in range(30)]), NullRunner(), kv_budget_tokens=25)
    assert max(step.kv_tokens for step in trace.steps) <= 25
    assert all(r.status == "finished" for r in trace.requests if r.measured)


def test_a_request_over_the_kv_budget_is_rejected_with_the_reason() -> None:
    trace = loop_of(at_once(4, 9, 4), NullRunner(), kv_budget_tokens=11)
    assert [r.status for r in trace.requests if r.measured] == ["finished", "rejected", "finished"]
    assert trace.requests[1].error == "needs 12 tokens of cache, found room for 11"


def test_a_step_computes_no_more_of_prompts_than_its_limit() -> None:
    trace = loop_of(at_once(9, 4, 4, 4), NullRunner(), max_prefill_tokens_per_step=5)
    first = trace.steps[:6]
    assert [step.prompt_tokens for step in first] == [5, 5, 5, 5, 1, 0]
    assert [step.decode_rows for step in first] == [0, 0, 1, 2, 3, 4]
    assert [step.phase for step in first] == ["prefill"] * 2 + ["mixed"] * 3 + ["decode"]
    assert all(r.status == "finished" for r in trace.requests if r.measured)


class _OneStepLate(NullRunner):
    """Hands out each step's result with the next, as a device does that is ahead of the host."""

    def __init__(self) -> None:
        super().__init__()
        self._late = StepResult(tokens=[])

    def step(self, join: object) -> StepResult:
        late, self._late = self._late, super().step(join)  # type: ignore[arg-type]
        return late


def test_tokens_that_come_a_step_late_are_all_delivered() -> None:
    trace = loop_of(at_once(4, 4, 9, 4), _OneStepLate())
    for record in trace.requests:
        if record.measured:
            assert record.status == "finished"
            assert len(record.token_times_s) == record.output_tokens
    first, second = trace.steps[:2]
    assert (first.prompt_tokens, first.new_tokens) == (0, 0)
    assert (second.phase, second.prompt_tokens, second.new_tokens) == ("prefill", 21, 4)


def test_running_out_of_memory_ends_the_trial_and_keeps_its_records() -> None:
    trace = loop_of([request(0), request(1), request(2)], _RunsOut())
    assert trace.outcome == "out_of_memory"
    assert trace.reason == "no room for a batch of 1"
    assert trace.requests[0].status == "unfinished"


def test_the_same_trial_twice_gives_the_same_trace(simulate: Simulate) -> None:
    load = ArrivalProcess(kind="gamma", requests_per_s=30.0, burstiness=0.5)
    output = UniformLength(low=1, high=9)
    assert simulate(load, TIMES, max_batch_size=3, output=output) == simulate(
        load, TIMES, max_batch_size=3, output=output
    )


def test_no_room_at_the_start_is_an_outcome_of_the_trial() -> None:
    class _NoRoom(NullRunner):
        def start_trial(self, **_: object) -> None:  # type: ignore[override]
            raise DeviceOutOfMemoryError("no room for 4 slots")

    trial = Trial(
        batching=BatchingConfig(policy="static", max_batch_size=4, max_waiting_time_s=0.0),
        load=ClosedLoop(concurrency=1),
        workload=_workload(),
        num_requests=1,
        num_warmup=0,
        min_duration_s=0.0,
        timeout_s=1.0,
        repeat=0,
        seed=0,
    )
    trace = serve_trial(trial, _NoRoom(), VirtualClock())
    assert (trace.outcome, trace.reason) == ("out_of_memory", "no room for 4 slots")


def _workload() -> object:
    from paretobench.core.workloads import WorkloadSpec

    return WorkloadSpec(prompt_tokens=FixedLength(value=1), output_tokens=FixedLength(value=1))


def test_a_request_is_taken_in_when_the_step_ends_in_which_it_came(
    serve_schedule: Callable[..., tuple[Trace, object]],
) -> None:
    # batch 1: a request is a prefill of 1 s and two decode steps of 1 s
    times = StepTimes(prefill_base_s=1.0, decode_base_s=1.0)
    arrivals_s = [0.5, 0.75, 2.0, 2.5, 20.0]
    schedule = [
        Request(request_id=i, arrival_s=a, prompt_tokens=2, output_tokens=3)
        for i, a in enumerate(arrivals_s)
    ]
    config = BatchingConfig(policy="static", max_batch_size=1, max_waiting_time_s=0.0)
    for skips in (False, True):
        trace, _ = serve_schedule(schedule, config, times, several_classes=False, skips=skips)
        # steps end at 1.5, 2.5, 3.5, …; the first and the last find the loop idle
        assert [r.taken_in_s for r in trace.requests] == [0.5, 1.5, 2.5, 2.5, 20.0]
