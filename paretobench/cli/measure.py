"""Running a sweep to its end, whatever it measures: progress, interruption, report, exit code."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from paretobench.core.values import Trial
    from paretobench.scenario import Scenario
    from paretobench.sweep.conditions import MeasureCeilings
    from paretobench.sweep.estimate import Estimate
    from paretobench.sweep.like import Like
    from paretobench.targets.base import Target


def measure(
    scenario: Scenario,
    trials: Sequence[Trial],
    target: Target,
    folder: Path,
    *,
    estimate: Estimate,
    command: str,
    resume: bool,
    retry_failed: bool = False,
    ceilings: MeasureCeilings | None = None,
    json: bool = False,
    like: Like | None = None,
) -> NoReturn:
    """Measure the trials, write the report, print the answer and exit with the run's code.

    The remaining time is told from the `estimate`; `ceilings` measures those of the device; `like`
    is the replay that the trials are of.
    """
    from paretobench.cli.outcome import finish
    from paretobench.cli.progress import Progress
    from paretobench.results.writer import check_free
    from paretobench.sweep.run import Sweep

    if not (resume and (folder / "manifest.json").exists()):
        check_free(folder)
    signal.signal(signal.SIGTERM, _interrupt)
    interrupted = False
    try:
        with Progress(scenario, estimate) as progress:
            sweep = Sweep(
                scenario,
                trials,
                target,
                progress,
                ceilings=ceilings,
                on_plan=progress.plan_grew,
                like=like,
            )
            sweep.run(folder, resume=resume, retry_failed=retry_failed)
    except KeyboardInterrupt:
        interrupted = True
        if not (folder / "manifest.json").exists():
            raise
    finally:
        target.close()
    finish(folder, command=command, interrupted=interrupted, json=json)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    """Treat SIGTERM (a cancelled CI job) as Ctrl-C: finish the files, exit, resume later."""
    raise KeyboardInterrupt
