"""What a sweep knows of the trials it has measured, in this process or in one before."""

from __future__ import annotations

import math
from collections.abc import Sequence

from paretobench.analysis.conditions import Conditions
from paretobench.analysis.metrics import summarize
from paretobench.analysis.sla import ServiceLevels
from paretobench.core.points import Point, Settings
from paretobench.core.values import Trace, Trial
from paretobench.results import RunFolder, RunWriter


class MeasuredTrials:
    """The points of the trials in a run folder; what an earlier process measured is read back."""

    def __init__(self, writer: RunWriter, levels: ServiceLevels) -> None:
        self._writer = writer
        self._levels = levels
        self._points: dict[str, Point] = {}  # by trial

    def summarize(self, settings: Settings, trace: Trace) -> Point:
        """Return the point that a trace amounts to under the conditions on record."""
        conditions = Conditions.from_manifest(self._writer.manifest, settings.variant)
        return summarize(settings, trace, self._levels, conditions)

    def add(self, trace: Trace, point: Point, *, measured_s: float) -> None:
        """Write a trial down. Raises IncompleteError where the disk refuses."""
        self._writer.add_trial(trace, point, measured_s=measured_s)
        self._points[point.settings.trial_id] = point

    def missing(self, trials: Sequence[Trial]) -> list[Trial]:
        """Return those of the trials that are still to be measured."""
        return [t for t in trials if self._writer.summary_of(t.trial_id) is None]

    def points(self, trials: Sequence[Trial]) -> list[Point]:
        """Return the points of trials that are all measured.

        Raises RunFolderError where the raw files of one are damaged.
        """
        return [self._point(trial.trial_id) for trial in trials]

    def measured_s(self, trials: Sequence[Trial]) -> float:
        """Return how long the trials were served for in all, first attempts included."""
        summaries = (self._writer.summary_of(trial.trial_id) or {} for trial in trials)
        return math.fsum(summary.get("measured_s") or 0.0 for summary in summaries)

    def _point(self, trial_id: str) -> Point:
        if trial_id not in self._points:
            folder = RunFolder(path=self._writer.path, manifest=self._writer.manifest)
            self._points[trial_id] = self.summarize(*folder.read_trial(trial_id))
        return self._points[trial_id]
