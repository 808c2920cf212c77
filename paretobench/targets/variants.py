"""Several systems measured in turn, one held at a time: a device may not have room for two."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from paretobench.core.errors import ParetoBenchError, TrialError
from paretobench.core.values import Trace, Trial
from paretobench.targets.base import RealTimeTarget, Target

_LOG = logging.getLogger(__name__)


class VariantsTarget:
    """A target for each variant of a scenario, by name; `check` says at once what cannot be.

    What turns out only when a variant is loaded costs that variant's trials, not the others'.
    """

    def __init__(
        self, targets: Mapping[str | None, Target], check: Callable[[], None] = lambda: None
    ) -> None:
        self._targets = targets
        self._check = check
        self._open: str | None = None
        self._systems: dict[str, Any] = {}
        self._unfit: dict[str | None, str] = {}

    def open(self) -> None:
        """Check every variant without loading one. Raises UserInputError, EnvironmentUnfitError."""
        self._check()

    def select(self, variant: str | None) -> None:
        """Load the variant, unless it is the one that is loaded; the one before is closed first.

        Raises TrialError where it cannot be loaded, now or before.
        """
        if variant is not None and variant == self._open:
            return
        if variant in self._unfit:
            raise TrialError(self._unfit[variant])
        self.close()
        target = self._targets[variant]
        try:
            target.open()
        except ParetoBenchError as error:
            self._unfit[variant] = f"{variant} could not be loaded: {error}"
            _LOG.warning("%s", self._unfit[variant])
            raise TrialError(self._unfit[variant]) from error
        self._open = variant
        self._systems[str(variant)] = dict(target.describe())

    def describe(self) -> Mapping[str, Any]:
        """Return what is measured by the name of each variant that was loaded so far."""
        return self._systems

    def measure(self, trial: Trial) -> Trace:
        """Return the trace of one trial, with the trial's variant loaded.

        Raises TrialError where there is none.
        """
        self.select(trial.variant)
        return self._targets[trial.variant].measure(trial)

    def loop_cost_s(self, batch_sizes: Sequence[int], *, policy: str) -> Mapping[int, float]:
        """Return what a step of the loop costs beside the variant that is loaded."""
        target = self._targets.get(self._open)
        if not isinstance(target, RealTimeTarget):
            return {}
        return target.loop_cost_s(batch_sizes, policy=policy)

    def close(self) -> None:
        """Give back what the loaded variant holds. May be called twice."""
        self._open = None
        for target in self._targets.values():
            target.close()
