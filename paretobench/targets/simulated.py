"""The same policies and the same loop in virtual time, over a step-time model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretobench.core.step_times import StepTimes
from paretobench.core.values import Trace, Trial
from paretobench.runners.latency_model import LatencyModelRunner
from paretobench.serving.clock import VirtualClock
from paretobench.targets.serve import serve_trial


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
        """Return the trace of one trial in virtual time."""
        clock = VirtualClock()
        return serve_trial(trial, LatencyModelRunner(self._times, clock.sleep), clock)

    def close(self) -> None:
        """Do nothing."""
