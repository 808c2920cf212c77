"""The same policies and the same loop in virtual time, over a step-time model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretobench.core.values import Trace, Trial
from paretobench.runners.latency_model import LatencyModelRunner, StepTimes
from paretobench.scenario import Scenario
from paretobench.scenario.schema import LatencyModel
from paretobench.serving.clock import VirtualClock
from paretobench.targets.base import Target
from paretobench.targets.serve import serve_trial, step_times
from paretobench.targets.variants import VariantsTarget


def simulated_target(scenario: Scenario) -> Target:
    """Return the target of a scenario of latency models, be it one or several."""
    targets: dict[str | None, Target] = {
        name: SimulatedTarget(step_times(system))
        for name, system in scenario.variants
        if isinstance(system, LatencyModel)
    }
    return VariantsTarget(targets) if len(targets) > 1 else next(iter(targets.values()))


class SimulatedTarget:
    """Measures nothing: it computes what a device with these step times would do."""

    def __init__(self, times: StepTimes) -> None:
        self._times = times

    def open(self) -> None:
        """Do nothing: there is nothing to load."""

    def describe(self) -> Mapping[str, Any]:
        """Return what is simulated."""
        return {"kind": "latency_model", "simulated": True, "model": "latency model"}

    def measure(self, trial: Trial) -> Trace:
        """Return the trace of one trial in virtual time."""
        clock = VirtualClock()
        return serve_trial(trial, LatencyModelRunner(self._times, clock.sleep), clock)

    def close(self) -> None:
        """Do nothing."""
