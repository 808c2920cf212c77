"""Engines that the device does not hold, or does not share: a verdict, or a refusal beforehand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from paretobench.core.errors import (
    DeviceOutOfMemoryError,
    ModelTooLargeError,
    ParetoBenchError,
    ScenarioError,
    TrialError,
)
from paretobench.core.values import Trace, Trial
from paretobench.results import open_run
from paretobench.scenario import Scenario
from paretobench.scenario.systems import LatencyModel, Model
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.run import Sweep
from paretobench.targets import engine_workers, worker_target
from paretobench.targets.engine_workers import EngineWorkers
from paretobench.targets.engines import engines_of, planned_engines
from paretobench.targets.messages import (
    ClaimDevice,
    DeviceClaimed,
    LoopMeasured,
    Measure,
    Measured,
    MeasureLoop,
    Message,
    Open,
    Prepared,
    Ready,
    Reply,
    Start,
)
from paretobench.targets.worker_target import WorkerTarget

NOTHING = Trace(
    requests=(), steps=(), window=None, outcome="out_of_memory", reason="no room for 4 slots"
)


class FakeWorker:
    """Answers as a worker does, without a process or a device."""

    device: str | None = None
    refuses: Mapping[tuple[str, type], ParetoBenchError | Trace] = {}
    alive: list[FakeWorker] = []  # noqa: RUF012
    opened: list[Open] = []  # noqa: RUF012

    def __init__(self, environment: object, *, cores: object = ()) -> None:
        self.pid = 0
        self.name = ""
        self._said: list[Message] = []
        self.alive.append(self)

    def send(self, message: Message) -> None:
        self._said.append(message)

    def receive(self, timeout_s: float) -> Reply:
        message = self._said.pop()
        if isinstance(message, Open):
            self.opened.append(message)
            names = {(12, 0.5): "chat", (32, 0.5): "bulk"}
            self.name = names.get((message.max_request_tokens, message.device_share), "shared")
        refused = self.refuses.get((self.name, type(message)))
        if isinstance(refused, ParetoBenchError):
            raise refused
        if isinstance(refused, Trace):
            return Measured(trace=refused)
        match message:
            case Open():
                return Ready(description={"device": self.device})
            case ClaimDevice():
                return DeviceClaimed(free_bytes=80 << 30)
            case MeasureLoop():
                return LoopMeasured(cost_s={})
            case Measure(engine=str()):
                return Prepared()
            case Start(at_s=None):
                raise TrialError("called off")
        return Measured(trace=Trace(requests=(), steps=(), window=None, outcome="completed"))

    def ask(self, message: Message, timeout_s: float) -> Reply:
        self.send(message)
        return self.receive(timeout_s)

    def stop(self) -> None:
        self.alive.remove(self)


@pytest.fixture
def fakes(fake: type[FakeWorker], monkeypatch: pytest.MonkeyPatch) -> type[FakeWorker]:
    """The shared worker is one too."""
    monkeypatch.setattr(worker_target, "WorkerProcess", fake)
    return fake


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeWorker]]:
    monkeypatch.setattr(engine_workers, "WorkerProcess", FakeWorker)
    monkeypatch.setattr(engine_workers, "answered", lambda workers, timeout_s: list(workers))
    yield FakeWorker
    FakeWorker.device, FakeWorker.refuses = None, {}
    FakeWorker.alive, FakeWorker.opened = [], []


def target_on(system: Model | LatencyModel | None, trials: list[Trial]) -> WorkerTarget:
    assert system is not None
    return WorkerTarget(
        system,
        batch_sizes=(8,),
        max_request_tokens=32,
        max_prompt_tokens=16,
        engines=planned_engines(trials),
    )


def engines_on(device: str | None, scenario: Scenario, trials: list[Trial]) -> EngineWorkers:
    assert scenario.runner is not None
    message = Open(
        system=scenario.runner, batch_sizes=(8,), max_request_tokens=32, max_prompt_tokens=16
    )
    return EngineWorkers(
        message, planned_engines(trials), device=device, environment={}, open_timeout_s=30.0
    )


class Quiet:
    """A listener with nothing to say."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def test_engines_that_do_not_fit_are_a_verdict_and_the_sweep_goes_on(
    fake: type[FakeWorker], mixed_scenario: Callable[..., Scenario], tmp_path: Path
) -> None:
    fake.refuses = {("bulk", Open): ModelTooLargeError("model m: its weights do not fit on cuda")}
    scenario = mixed_scenario()
    trials = plan_trials(scenario)
    target = target_on(scenario.runner, trials)
    try:
        Sweep(scenario, trials, target, Quiet()).run(tmp_path / "run", resume=False)
    finally:
        target.close()
    manifest = open_run(tmp_path / "run").manifest
    assert manifest["state"] == "complete"
    assert manifest["provenance"]["system"]["engines"] == [
        {"class": "chat", "device_share": 0.5},
        {"class": "bulk", "device_share": 0.5},
    ]
    verdicts = [entry["verdict"] for entry in manifest["trials"]]
    assert sorted(verdicts) == ["out_of_memory", "out_of_memory", "valid"]
    reason = next(e["reason"] for e in manifest["trials"] if e["verdict"] == "out_of_memory")
    assert reason == (
        "engine of bulk, on 0.5 of the latency model: model m: its weights do not fit on cuda"
    )
    assert len(fake.opened) == 2  # what did not fit once is not loaded again


def test_an_engine_without_memory_for_a_trial_calls_off_the_others(
    fake: type[FakeWorker],
    mixed_scenario: Callable[..., Scenario],
    separate_trials: list[Trial],
) -> None:
    fake.refuses = {("bulk", Measure): NOTHING}
    engines = engines_on(None, mixed_scenario(), separate_trials)
    engines.open()
    trace = engines.measure(separate_trials[0], timeout_s=5.0)
    assert trace.outcome == "out_of_memory"
    assert trace.reason == "engine of bulk: no room for 4 slots (on 0.5 of the latency model)"
    assert set(engines.pids) == {"chat", "bulk"}  # kept: a smaller trial may fit


def test_memory_of_a_gpu_is_shared_once_all_engines_are_on_it(
    fake: type[FakeWorker],
    mixed_scenario: Callable[..., Scenario],
    separate_trials: list[Trial],
) -> None:
    fake.refuses = {("chat", Open): DeviceOutOfMemoryError("no room for one slot")}
    engines = engines_on("cuda:0", mixed_scenario(), separate_trials)
    with pytest.raises(DeviceOutOfMemoryError) as caught:
        engines.open()
    assert str(caught.value) == (
        "engine of chat, on 0.5 of cuda:0, 40.0 of 80.0 GiB free: no room for one slot"
    )
    assert engines.too_large == str(caught.value)
    assert fake.alive == []
    assert fake.opened[0].memory_bytes == (40 << 30) - (512 << 20)
    assert fake.opened[0].batch_sizes == (2,)


def names(workers: list[FakeWorker]) -> set[str]:
    return {worker.name for worker in workers}


@pytest.mark.parametrize(
    ("device", "omp_wait_policy", "memory_pct", "stay"),
    [
        ("cpu", "passive", 20.0, True),
        ("cpu", "active", 20.0, False),  # idle threads would spin
        ("cpu", "passive", 80.0, False),
        ("cuda:0", "passive", 20.0, False),
    ],
)
def test_what_does_not_serve_the_trial_stays_only_where_it_takes_nothing_from_it(
    fakes: type[FakeWorker],
    mixed_scenario: Callable[..., Scenario],
    monkeypatch: pytest.MonkeyPatch,
    device: str,
    omp_wait_policy: Any,
    memory_pct: float,
    stay: bool,
) -> None:
    class Memory:
        percent = memory_pct

    monkeypatch.setattr(psutil, "virtual_memory", Memory)
    fakes.device = device
    trials = plan_trials(mixed_scenario())
    shared = next(t for t in trials if not engines_of(t))
    separate = next(t for t in trials if engines_of(t))
    system = Model(preset="nano", threads=4, omp_wait_policy=omp_wait_policy)
    target = target_on(system, trials)
    try:
        target.open()
        target.measure(separate)
        assert names(fakes.alive) == ({"shared"} if stay else set()) | {"chat", "bulk"}
        target.measure(shared)
        assert names(fakes.alive) == ({"chat", "bulk"} if stay else set()) | {"shared"}
    finally:
        target.close()
    assert fakes.alive == []


def test_too_few_threads_are_refused_before_anything_is_measured(
    fakes: type[FakeWorker], separate_trials: list[Trial]
) -> None:
    fakes.device = "cpu"
    target = target_on(Model(preset="nano", threads=1), separate_trials)
    with pytest.raises(ScenarioError, match="found 1 for 2 classes"):
        target.open()
    target.close()
    assert fakes.alive == []


def test_the_manifest_says_how_a_gpu_is_shared(
    fakes: type[FakeWorker], separate_trials: list[Trial], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_workers, "mps_is_running", lambda: False)
    fakes.device = "cuda:0"
    target = target_on(Model(preset="nano"), separate_trials)
    try:
        target.open()
        described = target.describe()
    finally:
        target.close()
    assert described["mps"] is False
    assert [engine["class"] for engine in described["engines"]] == ["chat", "bulk"]
