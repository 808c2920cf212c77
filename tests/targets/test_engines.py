"""An engine a class, each in a process of its own: one clock, one trace, and one trial at risk."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import psutil
import pytest

from paretobench.core.errors import WorkerDiedError
from paretobench.core.values import Trace, Trial
from paretobench.runners.null import NullRunner
from paretobench.scenario import Scenario
from paretobench.serving.clock import VirtualClock
from paretobench.sweep.plan import plan_trials
from paretobench.targets import engine_workers
from paretobench.targets.engine_workers import EngineWorkers
from paretobench.targets.engines import merge_traces, planned_engines, shared_batch_sizes
from paretobench.targets.messages import Measure, Open
from paretobench.targets.serve import serve_trial
from paretobench.targets.worker_process import WorkerProcess
from paretobench.targets.worker_target import WorkerTarget
from paretobench.workload.schedule import OpenSchedule, make_schedule


def make_target(scenario: Scenario, trials: list[Trial]) -> WorkerTarget:
    assert scenario.runner is not None
    return WorkerTarget(
        scenario.runner,
        batch_sizes=(8,),
        max_request_tokens=32,
        max_prompt_tokens=16,
        engines=planned_engines(trials),
    )


@pytest.fixture
def target(
    mixed_scenario: Callable[..., Scenario], separate_trials: list[Trial]
) -> Iterator[WorkerTarget]:
    made = make_target(mixed_scenario(), separate_trials)
    made.open()
    yield made
    made.close()


def test_engines_serve_their_own_class_at_once_on_one_clock(
    target: WorkerTarget, separate_trials: list[Trial]
) -> None:
    trial = separate_trials[0]
    trace = target.measure(trial)
    schedule = make_schedule(trial)
    assert isinstance(schedule, OpenSchedule)
    assert trace.outcome == "completed"
    assert trace.window == schedule.window
    found = [(r.request_id, r.class_name, r.arrival_s) for r in trace.requests]
    assert len(set(found)) == len(found)
    asked = [(r.request_id, r.class_name, r.arrival_s) for r in schedule.requests]
    assert set(asked[:24]) <= set(found) <= set(asked)  # 4 to warm up and 20 measured
    assert sum(r.measured for r in trace.requests) == 20
    for name, prompt_tokens in (("chat", 8), ("bulk", 16)):  # a prompt's length tells its class
        joins = [s for s in trace.steps if s.engine == name and s.joined]
        assert all(s.prompt_tokens == prompt_tokens * s.joined for s in joins)
        assert sum(s.joined for s in joins) >= sum(r.class_name == name for r in trace.requests)
    assert any(
        chat.start_s < bulk.start_s + bulk.duration_s
        and bulk.start_s < chat.start_s + chat.duration_s
        for chat in (s for s in trace.steps if s.engine == "chat")
        for bulk in (s for s in trace.steps if s.engine == "bulk")
    )
    assert all(r.admitted_s is not None and r.admitted_s >= r.arrival_s for r in trace.requests)
    assert trace.telemetry


def test_engines_stay_for_the_next_trial_and_end_with_the_target(
    target: WorkerTarget, separate_trials: list[Trial]
) -> None:
    target.measure(separate_trials[0])
    before = dict(target.engine_pids)
    target.measure(separate_trials[1])
    assert target.engine_pids == before
    target.close()
    assert not any(psutil.pid_exists(pid) for pid in before.values())
    assert target.engine_pids == {}


def test_an_engine_that_dies_costs_its_trial_and_is_replaced(
    target: WorkerTarget, separate_trials: list[Trial]
) -> None:
    target.measure(separate_trials[0])
    before = dict(target.engine_pids)
    threading.Timer(0.1, os.kill, (before["bulk"], signal.SIGKILL)).start()
    with pytest.raises(WorkerDiedError, match=r"engine of bulk, on 0\.5 of .*killed by signal 9"):
        target.measure(separate_trials[0])
    assert not any(psutil.pid_exists(pid) for pid in before.values())
    assert target.measure(separate_trials[0]).outcome == "completed"
    assert target.engine_pids.keys() == before.keys()


def test_a_share_of_the_device_is_as_much_slower(
    target: WorkerTarget, separate_trials: list[Trial]
) -> None:
    trace = target.measure(separate_trials[0])
    lone = [s.duration_s for s in trace.steps if s.phase == "decode" and s.batch_size == 1]
    assert lone
    assert min(lone) >= 0.0021 / 0.5


def engines_for(scenario: Scenario, trials: list[Trial], **device: Any) -> EngineWorkers:
    assert scenario.runner is not None
    message = Open(
        system=scenario.runner, batch_sizes=(8,), max_request_tokens=32, max_prompt_tokens=16
    )
    given = {"device": None, "environment": {}, "open_timeout_s": 30.0, **device}
    return EngineWorkers(message, planned_engines(trials), **given)


def test_an_engine_that_called_off_a_trial_serves_the_next(
    mixed_scenario: Callable[..., Scenario], separate_trials: list[Trial]
) -> None:
    engines = engines_for(mixed_scenario(), separate_trials)
    try:
        engines.open()
        for name, worker in engines._workers.items():
            worker.ask(Measure(trial=separate_trials[0], engine=name), 10.0)
        engines._call_off(["chat", "bulk"], 10.0)
        assert engines.measure(separate_trials[0], timeout_s=20.0).outcome == "completed"
    finally:
        engines.close()


def test_an_engine_that_says_nothing_ends_the_trial_in_time(
    mixed_scenario: Callable[..., Scenario], separate_trials: list[Trial]
) -> None:
    engines = engines_for(mixed_scenario(), separate_trials)
    try:
        engines.open()
        os.kill(engines.pids["chat"], signal.SIGSTOP)
        with pytest.raises(WorkerDiedError, match="engine of chat: no answer within 1 s"):
            engines.measure(separate_trials[0], timeout_s=1.0)
        assert engines.pids == {}
    finally:
        engines.close()


def test_each_engine_is_planned_for_all_that_its_class_will_ask(
    mixed_scenario: Callable[..., Scenario],
) -> None:
    trials = plan_trials(mixed_scenario())
    chat, bulk = planned_engines(trials)
    assert (chat.name, chat.batch_sizes, chat.max_request_tokens) == ("chat", (2,), 12)
    assert (bulk.name, bulk.batch_sizes, bulk.max_request_tokens) == ("bulk", (4, 8), 32)
    assert shared_batch_sizes(trials) == {8}  # not the 10 of 2 + 8: no engine has that


def test_sizes_of_classes_with_priorities_are_warmed_up_too(
    mixed_scenario: Callable[..., Scenario],
) -> None:
    batching = {"policy": "continuous", "max_batch_size": 6, "arrangement": "priority"}
    trials = plan_trials(mixed_scenario(batching=batching))
    assert planned_engines(trials) == ()
    assert shared_batch_sizes(trials) == {2, 4, 6}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system pins no processes")
def test_a_worker_runs_on_its_cores_and_its_parent_where_it_did() -> None:
    before = os.sched_getaffinity(0)
    one = min(before)
    worker = WorkerProcess({}, cores=[one])
    try:
        assert os.sched_getaffinity(worker.pid) == {one}
        assert os.sched_getaffinity(0) == before
    finally:
        worker.stop()


def test_engines_have_one_zero_that_lay_ahead_of_all(
    target: WorkerTarget, separate_trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    zeros_s: list[float | None] = []

    def merge(traces: Mapping[str, Trace]) -> Trace:
        zeros_s.extend(trace.started_monotonic_s for trace in traces.values())
        return merge_traces(traces)

    monkeypatch.setattr(engine_workers, "merge_traces", merge)
    asked_s = time.monotonic()
    target.measure(separate_trials[0])
    assert len(zeros_s) == 2
    assert zeros_s[0] == zeros_s[1]
    assert zeros_s[0] is not None
    assert zeros_s[0] > asked_s


def test_an_engine_has_room_for_the_longest_request_of_its_own_class(
    separate_trials: list[Trial],
) -> None:
    class Roomy(NullRunner):
        def start_trial(self, *, max_request_tokens: int, **rest: Any) -> None:
            asked.append(max_request_tokens)
            super().start_trial(max_request_tokens=max_request_tokens, **rest)

    asked: list[int] = []
    clock = VirtualClock()
    for engine in ("chat", "bulk"):
        serve_trial(separate_trials[0], Roomy(), clock, engine=engine)
    assert asked == [12, 32]
