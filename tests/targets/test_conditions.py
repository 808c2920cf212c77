"""What a worker measures beside trials: the loop's own cost, and the ceilings of models."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from paretobench.core.ceilings import Ceiling
from paretobench.runners.null import NullRunner
from paretobench.scenario.systems import Model
from paretobench.serving.clock import WallClock
from paretobench.targets import limits, worker
from paretobench.targets.limits import ceilings_of
from paretobench.targets.loop_cost import loop_trial, step_cost_s
from paretobench.targets.messages import LoopMeasured, MeasureLoop
from paretobench.targets.serve import serve_trial
from paretobench.targets.worker import Worker


@pytest.mark.parametrize("policy", ["static", "continuous"])
def test_the_loops_cost_is_that_of_full_batches(policy: str) -> None:
    steps = serve_trial(loop_trial(4, 64, policy=policy), NullRunner(), WallClock()).steps
    full = [step for step in steps if step.batch_size == 4]
    assert len(full) > 0.9 * len(steps)


def test_the_cost_of_a_step_is_the_time_between_steps_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = iter(range(10**9))  # every look at the clock takes a second
    monkeypatch.setattr("paretobench.serving.clock.time.monotonic", lambda: float(next(now_s)))
    # from the begin of one to the begin of the next: its end, whether all is done, whether time is
    # up, what the policy decides, and the next begin
    assert step_cost_s(loop_trial(1, 16)) == pytest.approx(5.0, rel=0.02)


def test_a_worker_measures_the_loop_with_collection_off_as_in_a_trial(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    collecting = []

    def measure(batch_sizes: Sequence[int], *, policy: str) -> dict[int, float]:
        collecting.append(gc.isenabled())
        return {size: 1e-6 * size for size in batch_sizes}

    monkeypatch.setattr(worker, "measure_loop_cost", measure)
    answer = Worker().answer(MeasureLoop(batch_sizes=(1, 64), policy="static"))
    assert answer == LoopMeasured(cost_s={1: 1e-6, 64: 64e-6})
    assert collecting == [False]
    assert gc.isenabled()


Bench = Callable[[str, tuple[str, ...]], None]


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Have the bench find this device, with these cases; it measures nothing."""

    def use(device: str, cases: tuple[str, ...]) -> None:
        class FakeBench:
            def __init__(self, settings: Model) -> None:
                self.system, self.cases = {"device": device}, cases

            def __enter__(self) -> FakeBench:
                return self

            def __exit__(self, *_: object) -> None: ...

            def measure(self, case: str, seconds: float) -> Ceiling:
                return Ceiling(
                    quantity="matmul", dtype=case, method="", shape="", unit="", per_s=seconds
                )

        monkeypatch.setattr(limits, "DeviceBench", FakeBench)

    return use


GPU_CASES = ("read_bandwidth", "bfloat16", "float16", "tf32", "float32", "float8_e4m3fn", "int8")


@pytest.mark.parametrize(
    ("device", "models", "cases"),
    [
        ("cpu", [{}], ["read_bandwidth", "float32"]),
        ("cuda:0", [{}], ["read_bandwidth", "bfloat16"]),
        ("cuda:0", [{"dtype": "float16"}, {"quantization": "fp8"}],
         ["read_bandwidth", "float16", "bfloat16", "float8_e4m3fn"]),
        ("cpu", [{"quantization": "int8"}], ["read_bandwidth", "float32"]),
    ],
)  # fmt: skip
def test_the_ceilings_of_a_sweep_are_those_that_its_models_meet(
    on_device: Bench, device: str, models: list[dict[str, Any]], cases: list[str]
) -> None:
    on_device(device, GPU_CASES if device != "cpu" else ("read_bandwidth", "float32", "bfloat16"))
    found = ceilings_of([Model(preset="nano", **settings) for settings in models])
    assert found is not None
    assert [row.dtype for row in found.rows] == cases
    assert sum(row.per_s or 0.0 for row in found.rows) == pytest.approx(2.0)  # seconds in all


def test_models_on_different_threads_have_no_common_ceilings() -> None:
    assert ceilings_of([Model(preset="nano", threads=1), Model(preset="nano", threads=2)]) is None
