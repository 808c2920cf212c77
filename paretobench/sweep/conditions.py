"""What is measured around the trials, as a manifest's `conditions` holds it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from paretobench.analysis.conditions import counts_entry
from paretobench.analysis.counts import count_model
from paretobench.core.ceilings import Ceilings
from paretobench.core.errors import (
    EnvironmentUnfitError,
    ParetoBenchError,
    TrialError,
    UserInputError,
)
from paretobench.core.units import to_us
from paretobench.core.values import Trial
from paretobench.results import RunWriter, open_run
from paretobench.scenario import Scenario
from paretobench.scenario.systems import Model
from paretobench.sweep.preflight import model_architecture
from paretobench.targets.base import RealTimeTarget, Target
from paretobench.targets.variants import VariantsTarget

_LOG = logging.getLogger(__name__)

MeasureCeilings = Callable[[], Ceilings | None]


class ConditionsRecorder:
    """Writes down the device's ceilings before and after the trials, the loop's own cost, and what
    each model reads and computes.

    What cannot be measured costs its own figure, never a trial. A run that is resumed keeps what it
    began with; its ceilings are measured again at its end. Those before the trials are never
    measured between trials.
    """

    def __init__(
        self,
        scenario: Scenario,
        trials: Sequence[Trial],
        measure_ceilings: MeasureCeilings | None = None,
    ) -> None:
        """Take the trials that are planned; no ceilings are measured with None."""
        self._models = {n: s for n, s in scenario.variants if isinstance(s, Model)}
        self._batch_sizes = loop_batch_sizes(trials)
        self._policy = "static"
        if any(trial.batching.policy != "static" for trial in trials):
            self._policy = "continuous"  # the dearer of the two: requests join and leave singly
        self._measure_ceilings = measure_ceilings
        self._before: dict[str, Any] | None = None
        self._is_measuring = False

    def before_loading(self, output_dir: Path, *, resume: bool) -> None:
        """Measure the ceilings while nothing holds the device, unless a resumed run has them.

        Raises EnvironmentUnfitError where there is no such device: no trial could be measured.
        """
        if self._measure_ceilings is None:
            return
        has_begun = False
        if resume and (output_dir / "manifest.json").exists():
            run = open_run(output_dir)
            self._before = (run.manifest.get("conditions") or {}).get("ceilings_before")
            has_begun = bool(run.trial_ids())
        if self._before is None and not has_begun:
            self._before = self._ceilings("before the trials", passed_on=(EnvironmentUnfitError,))

    def begin(self, writer: RunWriter) -> None:
        """Write down what was measured before the folder was there."""
        if self._before is not None:
            _section(writer)["ceilings_before"] = self._before

    def loaded(self, writer: RunWriter, target: Target, variant: str | None) -> None:
        """Learn that a system is loaded and its trial is next."""
        conditions = _section(writer)
        if not self._is_measuring:
            self._is_measuring = True
            conditions.pop("ceilings_after", None)
        system = _described(target, variant)
        if variant in self._models and not system.get("simulated"):
            counts = conditions.setdefault("counts", {})
            if (variant or "") not in counts:
                counts[variant or ""] = _counts(self._models[variant], system)
                writer.save()
        if "loop_cost_us" not in conditions and isinstance(target, RealTimeTarget):
            conditions["loop_cost_us"] = self._loop_cost_us(target)
            writer.save()

    def finish(self, writer: RunWriter, target: Target) -> None:
        """Measure the ceilings again, with the target closed, if any trial was measured, or if the
        run was killed after its last trial and before this."""
        conditions = _section(writer)
        was_killed = "ceilings_before" in conditions and "ceilings_after" not in conditions
        if self._measure_ceilings is None or not (self._is_measuring or was_killed):
            return
        target.close()
        try:
            after = self._ceilings("after the trials")
        except KeyboardInterrupt:
            _LOG.warning("interrupted: the ceilings after the trials were not measured")
            return
        conditions["ceilings_after"] = after
        writer.save()

    def _ceilings(
        self, when: str, *, passed_on: tuple[type[ParetoBenchError], ...] = ()
    ) -> dict[str, Any] | None:
        assert self._measure_ceilings is not None
        try:
            found = self._measure_ceilings()
        except passed_on:
            raise
        except ParetoBenchError as error:
            _LOG.warning("the ceilings %s were not measured: %s", when, error)
            return None
        return None if found is None else found.to_dict()

    def _loop_cost_us(self, target: RealTimeTarget) -> dict[str, float]:
        try:
            cost_s = target.loop_cost_s(self._batch_sizes, policy=self._policy)
        except TrialError as error:
            _LOG.warning("the loop's own cost was not measured: %s", error)
            return {}
        return {str(size): to_us(seconds) for size, seconds in cost_s.items()}


def loop_batch_sizes(trials: Sequence[Trial]) -> tuple[int, ...]:
    """Return where the loop's cost is measured: 1, since batches are seldom full, and the middle
    and the largest of the batch sizes that the trials allow."""
    limits = {trial.batching.max_batch_size for trial in trials} | {
        own.max_batch_size for trial in trials for own in trial.batching.classes
    }
    ascending = sorted(limits)
    return tuple(sorted({1, ascending[len(ascending) // 2], ascending[-1]}))


def _described(target: Target, variant: str | None) -> Mapping[str, Any]:
    found = target.describe()
    if isinstance(target, VariantsTarget):
        found = found[str(variant)]
    return found


def _counts(model: Model, system: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what a loaded model reads and computes, None where it cannot be counted."""
    architecture, dtype = model_architecture(model), system.get("dtype")
    if architecture is None or dtype is None:
        return None
    try:
        counts = count_model(architecture, dtype=str(dtype), quantization=model.quantization)
    except UserInputError as error:
        _LOG.info("%s", error)
        return None
    return counts_entry(counts)


def _section(writer: RunWriter) -> dict[str, Any]:
    section: dict[str, Any] = writer.manifest.setdefault("conditions", {})
    return section
