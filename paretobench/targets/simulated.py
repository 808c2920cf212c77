"""The same policies and the same loop in virtual time, over a step-time model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretobench.core.step_times import StepTimes
from paretobench.core.values import Trace, Trial
from paretobench.runners.latency_model import LatencyModelRunner
from paretobench.scenario import Scenario
from paretobench.scenario.systems import LatencyModel
from paretobench.serving.clock import VirtualClock
from paretobench.targets.base import Target
from paretobench.targets.engines import engines_of, merge_traces
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
    """Measures nothing: it computes what a device with these step times would do.

    `facts` are further entries of `describe`, such as where the times come from.
    """

    def __init__(self, times: StepTimes, facts: Mapping[str, Any] | None = None) -> None:
        self._times = times
        self._facts = facts or {}

    def open(self) -> None:
        """Do nothing: there is nothing to load."""

    def describe(self) -> Mapping[str, Any]:
        """Return what is simulated."""
        system = {"kind": "latency_model", "simulated": True, "model": "latency model"}
        return {**system, **self._facts}

    def measure(self, trial: Trial) -> Trace:
        """Return the trace of one trial in virtual time.

        An engine with a share of the device is as much slower as its share is smaller.
        """
        engines = engines_of(trial)
        if not engines:
            return self._serve(trial, self._times)
        return merge_traces(
            {
                e.name: self._serve(trial, self._times.slowed(e.device_share), engine=e.name)
                for e in engines
            }
        )

    def close(self) -> None:
        """Do nothing."""

    def _serve(self, trial: Trial, times: StepTimes, engine: str | None = None) -> Trace:
        clock = VirtualClock()
        return serve_trial(trial, LatencyModelRunner(times, clock.sleep), clock, engine=engine)
