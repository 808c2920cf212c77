"""How a sweep goes, on stderr: a live display on a terminal, plain lines elsewhere.

It runs in the parent: the process that is timed draws nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from paretobench.core.points import Point
from paretobench.core.values import Trial
from paretobench.scenario import Scenario

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from paretobench.sweep.estimate import Estimate

_REDRAWS_PER_S = 2  # the parent shares its cores with the worker


class Progress:
    """Shows trial, elapsed and remaining time and the best trial so far."""

    def __init__(self, scenario: Scenario, estimate: Estimate) -> None:
        self._objectives = scenario.objectives
        self._estimate = estimate
        self._estimated_s = estimate.of(estimate.trials)  # of those still to be measured
        self._num_trials = len(estimate.trials)
        self._num_done = 0
        self._later_s = estimate.later_s  # of those that are likely to follow
        self._estimated_done_s = 0.0
        self._measured_s = 0.0
        self._started_s = time.monotonic()
        self._best: Point | None = None
        self._display: RichProgress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._open_display()
        else:
            _say(f"loading the model; {self._num_trials} trials to measure")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._display is not None:
            self._display.stop()

    def plan_grew(self, planned: Sequence[Trial], missing: Sequence[Trial]) -> None:
        """Learn of all planned trials and of those that are still to be measured."""
        self._num_trials = len(planned)
        self._num_done = len(planned) - len(missing)
        self._estimated_s = self._estimate.of(missing)
        followed = self._estimate.of([t for t in planned if t.stage == "confirm"])
        self._later_s = max(0.0, self._estimate.later_s - sum(followed.values()))
        if self._display is not None and self._task is not None:
            self._display.update(
                self._task,
                total=self._num_trials,
                completed=self._num_done,
                remaining=self._remaining(),
            )

    def pilot_started(self) -> None:
        """Say that the capacity is being measured."""
        self._show("measuring the capacity of this machine")

    def trial_started(self, trial: Trial) -> None:
        """Say which trial runs."""
        if self._display is not None:
            self._show(str(trial))

    def trial_done(self, trial: Trial, point: Point, duration_s: float) -> None:
        """Count a trial, update the remaining time and the best so far."""
        self._num_done += 1
        if duration_s:
            self._measured_s += duration_s
            self._estimated_done_s += self._estimated_s.get(trial.trial_id, duration_s)
        self._estimated_s.pop(trial.trial_id, None)
        if self._is_better(point):
            self._best = point
        if self._display is not None and self._task is not None:
            self._display.update(
                self._task, advance=1, remaining=self._remaining(), best=self._best_so_far()
            )
        else:
            _say(
                f"[{self._num_done}/{self._num_trials}] {trial}: {self._figures(point)}; "
                f"{duration_s:.1f} s, remaining about {self._remaining()}"
            )

    def _open_display(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        self._display = RichProgress(
            MofNCompleteColumn(),
            BarColumn(bar_width=20),
            TimeElapsedColumn(),
            TextColumn("left about {task.fields[remaining]}"),
            TextColumn("{task.description}"),
            TextColumn("{task.fields[best]}"),
            console=Console(stderr=True),
            refresh_per_second=_REDRAWS_PER_S,
        )
        self._task = self._display.add_task(
            "loading the model", total=self._num_trials, remaining=self._remaining(), best=""
        )
        self._display.start()

    def _show(self, what: str) -> None:
        if self._display is not None and self._task is not None:
            self._display.update(self._task, description=what)
        else:
            _say(what)

    def _remaining(self) -> str:
        # the estimate may be off by a factor, but by about the same one throughout
        factor = self._measured_s / self._estimated_done_s if self._estimated_done_s else 1.0
        seconds = factor * (sum(self._estimated_s.values()) + self._later_s)
        return f"{int(seconds // 60)}:{int(seconds % 60):02d}"

    def _is_better(self, point: Point) -> bool:
        gain = point.figures.get(self._objectives.throughput)
        if point.verdict != "valid" or gain is None:
            return False
        best = self._best.figures.get(self._objectives.throughput) if self._best else None
        return best is None or gain > best

    def _best_so_far(self) -> str:
        if self._best is None:
            return ""
        size = self._best.settings.max_batch_size
        return f"best: batch {size}, {self._figures(self._best)}"

    def _figures(self, point: Point) -> str:
        if point.verdict != "valid":
            remedy = f"; {point.remedy}" if point.remedy else ""
            return f"{point.verdict} ({point.reason}{remedy})"
        gain = point.figures.get(self._objectives.throughput)
        cost = point.figures.get(self._objectives.latency)
        shown = [
            f"{name} {value:.4g}"
            for name, value in (
                (self._objectives.throughput, gain),
                (self._objectives.latency, cost),
            )
            if value is not None
        ]
        return ", ".join(shown)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
