"""Which GPU is looked at, and a worker that does not come up."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from paretobench.analysis.fitness import judge_machine
from paretobench.core.errors import IncompleteError, WorkerDiedError
from paretobench.core.machine import GpuState, MachineState
from paretobench.targets import inspection

GPUS = [GpuState(uuid="GPU-0AB", name="first"), GpuState(uuid="GPU-1AB", name="second")]


class Worker:
    """A worker on the second GPU, whose runs fail."""

    opening: Exception | None = None
    pid = None

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def open(self) -> None:
        if self.opening is not None:
            raise self.opening

    def measure(self, trial: Any) -> Any:
        raise WorkerDiedError("the worker died (killed by signal 9)")

    def describe(self) -> dict[str, Any]:
        return {"device": "cuda:0", "device_name": "second", "gpu_uuid": "1ab", "threads": 4}

    def close(self) -> None: ...


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch) -> Any:
    def inspect(gpus: list[GpuState], opening: Exception | None = None) -> MachineState:
        monkeypatch.setattr(inspection, "WorkerTarget", Worker)
        monkeypatch.setattr(inspection, "gpu_states", lambda: gpus)
        monkeypatch.setattr(inspection, "loop_cost_us", lambda size: 10.0)
        monkeypatch.setattr(
            inspection,
            "timer_state",
            lambda: SimpleNamespace(resolution_s=0, median_overshoot_s=0, p95_overshoot_s=0),
        )
        monkeypatch.setattr(Worker, "opening", opening)
        return inspection.inspect_machine("auto", 1.0, lambda _line: None)

    return inspect


def test_gpu_is_the_one_that_the_worker_ran_on(look: Any) -> None:
    assert look(GPUS).gpu == GPUS[1]


def test_gpu_that_nvml_does_not_know_is_named_by_torch(look: Any) -> None:
    assert look([]).gpu == GpuState(uuid="1ab", name="second")


@pytest.mark.parametrize("opening", [None, IncompleteError("the worker died while it loaded")])
def test_worker_that_dies_is_unfit_and_what_was_read_is_kept(
    look: Any, opening: Exception | None
) -> None:
    findings = {f.name: f for f in judge_machine(look([GPUS[1]], opening))}
    assert findings["A/A run"].verdict == "unfit"
    assert "the worker died" in findings["A/A run"].found
    assert findings["GPU"].found == "second"
    assert findings["CPU steal"].found == "unknown"
