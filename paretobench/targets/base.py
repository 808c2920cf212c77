"""The contract between a sweep and what it measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

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
