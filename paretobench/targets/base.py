"""The contract between a sweep and what it measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from paretobench.core.values import Trace, Trial


class Target(Protocol):
    """Something that can serve a trial's requests and tell what happened."""

    def open(self) -> None:
        """Get ready: load the model, warm it up. Raises UserInputError or EnvironmentUnfitError."""

    def describe(self) -> Mapping[str, Any]:
        """Return what is measured, for the manifest's `provenance.system`."""

    def measure(self, trial: Trial) -> Trace:
        """Return the trace of one trial.

        Raises TrialError where there is none; the target can then measure the next trial.
        """

    def close(self) -> None:
        """Give back processes and memory. May be called twice."""


@runtime_checkable
class RealTimeTarget(Target, Protocol):
    """A target whose serving loop runs by the wall clock, so that the loop itself costs time."""

    def loop_cost_s(self, batch_sizes: Sequence[int], *, policy: str) -> Mapping[int, float]:
        """Return what a step of the loop costs, in s by batch size; measured where trials are.

        Empty where the system at hand is simulated. Raises TrialError.
        """
