"""The A/A run: what alternates, what a drift and a difference do, and a target that fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from paretobench.analysis.repeatability import paired_difference
from paretobench.core.errors import WorkerDiedError
from paretobench.core.step_times import StepTimes
from paretobench.core.values import Trace, Trial
from paretobench.targets.repeatability import BATCH_SIZE, measure_aa
from paretobench.targets.simulated import SimulatedTarget

_PREPARING = 2  # runs before the pairs: one to warm up, one to learn the rate


class Machine:
    """Serves in virtual time; `slowness` is by the number of the run, from 0 after preparing."""

    def __init__(self, slowness: Callable[[int], float]) -> None:
        self._slowness = slowness
        self.trials: list[Trial] = []

    def measure(self, trial: Trial) -> Trace:
        number = len(self.trials) - _PREPARING
        self.trials.append(trial)
        base_s = 1e-3 * (self._slowness(number) if number >= 0 else 1.0)
        times = StepTimes(prefill_base_s=base_s, decode_base_s=base_s)
        return SimulatedTarget(times).measure(trial)


def throughputs(machine: Machine) -> list[tuple[float, float]]:
    run = measure_aa(machine, seconds=1e-3)
    return [(a.output_tokens_per_s, b.output_tokens_per_s) for a, b in run.pairs]


def test_the_same_thing_is_measured_throughout() -> None:
    machine = Machine(lambda _: 1.0)
    run = measure_aa(machine, seconds=1e-3)
    assert len({trial.trial_id for trial in machine.trials[_PREPARING:]}) == 1
    assert all(a == b for a, b in run.pairs)
    assert run.median_step_s == pytest.approx(1e-3)
    assert run.batch_size == BATCH_SIZE
    # four rows a step of 1 ms
    assert run.pairs[0][0].output_tokens_per_s == pytest.approx(4000, rel=0.05)


def test_steady_drift_is_no_difference_between_the_two() -> None:
    drifting = throughputs(Machine(lambda number: 1.0 + 0.01 * number))
    found = paired_difference(drifting)
    assert found.low < 0 < found.high
    assert abs(found.mean) < 0.005


def test_second_system_that_is_slower_is_seen() -> None:
    # A B, B A, A B: the second system has runs 1, 2 and 5
    found = paired_difference(
        throughputs(Machine(lambda number: 1.1 if number in (1, 2, 5) else 1))
    )
    assert found.high < -0.05


def test_target_that_fails_is_told_and_not_raised() -> None:
    class Dying:
        def measure(self, trial: Trial) -> Trace:
            raise WorkerDiedError("the worker died (exit 1)")

    assert measure_aa(Dying(), seconds=1.0).failure == "the worker died (exit 1)"
