"""`paretobench verify`: does an operating point still do what a run said of it?"""

from __future__ import annotations

import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretobench.cli import options

if TYPE_CHECKING:
    from paretobench.analysis.configurations import Configuration
    from paretobench.analysis.operating_points import OperatingPoint
    from paretobench.core.points import Point
    from paretobench.core.values import Trial
    from paretobench.report import Report
    from paretobench.sweep.replay import Replay
    from paretobench.targets.base import Target

_EXIT = {"holds": 0, "does_not_hold": 1, "inconclusive": 3}


def verify(
    run: Annotated[Path, typer.Argument(help="Run folder.", show_default=False)],
    point: Annotated[str, typer.Option(help="Operating point to verify.", show_default=False)],
    factor: Annotated[
        float, typer.Option(min=1, help="Measure so many times the run's requests.")
    ] = 4.0,
    repeats: Annotated[int, typer.Option(min=1, help="Runs, each with seeds of its own.")] = 3,
    output_dir: Annotated[
        Path | None, typer.Option(help="Run folder to write. [default: RUN/verify/<point>]")
    ] = None,
    json_output: options.Json = False,
) -> None:
    """Measure an operating point's configuration again for longer, and say whether it holds."""
    from paretobench.analysis import verification
    from paretobench.analysis.sla import service_levels
    from paretobench.cli.outcome import warn_damaged
    from paretobench.cli.verify_output import print_verification
    from paretobench.report import write_report
    from paretobench.report.certificates import stated_figures
    from paretobench.report.manifest import scenario
    from paretobench.report.model import assemble
    from paretobench.results import open_run
    from paretobench.results.writer import check_free
    from paretobench.sweep.replay import replay_target

    report = assemble(open_run(run))
    warn_damaged(report)
    wanted, before = _chosen(report, point)
    folder = output_dir or _free_folder(run / "verify", point)
    check_free(folder)
    replay = _plan(report, wanted, folder, factor=factor, repeats=repeats)
    _measure(replay, replay_target(report.run, replay), folder)
    again = write_report(folder)
    found = verification.verify(
        wanted.goal,
        before,
        again.configurations[0] if again.configurations else None,
        service_levels(scenario(again.run)),
        stated_figures(report, wanted.goal),
    )
    print_verification(wanted.goal, found, again, as_json=json_output)
    raise typer.Exit(_EXIT[found.outcome])


def _chosen(report: Report, name: str) -> tuple[OperatingPoint, Configuration]:
    """Return the operating point of that name and its configuration. Raises UserInputError."""
    from paretobench.core.errors import UserInputError
    from paretobench.core.naming import suggestion

    points = {point.goal.name: point for point in report.operating_points}
    if name not in points:
        known = f"; the run has {', '.join(points)}" if points else "; the run has none"
        raise UserInputError(
            f"{report.run.path}: expected --point to name an operating point, found {name!r}"
            f"{suggestion(name, points) or known}"
        )
    chosen = points[name].configuration
    if chosen is None:
        raise UserInputError(
            f"{report.run.path}: no configuration meets {name!r}, so there is none to verify "
            f"({points[name].reason})"
        )
    return points[name], chosen


def _free_folder(parent: Path, name: str) -> Path:
    """Return the folder of that name, numbered where it is taken."""
    slug = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "point"
    folder, number = parent / slug, 1
    while folder.exists():
        number += 1
        folder = parent / f"{slug}-{number}"
    return folder


def _plan(
    report: Report, point: OperatingPoint, folder: Path, *, factor: float, repeats: int
) -> Replay:
    from paretobench.report.manifest import goals
    from paretobench.sweep.preflight import check_scenario, check_trials
    from paretobench.sweep.replay import plan_replay

    chosen, name = point.configuration, point.goal.name
    assert chosen is not None
    # with several workloads a goal has a point for each: `chat [prompt 64, output 32]`
    named = [g.name for g in goals(report.run) if g.name == name]
    base = named or [g.name for g in goals(report.run) if name.startswith(f"{g.name} [")]
    run_name = str(report.run.manifest.get("name") or "run")
    replay = plan_replay(
        report.run,
        chosen.settings,
        goal=base[0],
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", f"{run_name}-verify-{folder.name}")[:100],
        factor=factor,
        repeats=repeats,
    )
    check_scenario(replay.scenario)
    check_trials(replay.trials)
    return replay


def _measure(replay: Replay, target: Target, folder: Path) -> None:
    from paretobench.sweep.run import Sweep

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a cancelled CI job is a Ctrl-C
    try:
        Sweep(replay.scenario, replay.trials, target, _Lines(len(replay.trials))).run(
            folder, resume=False
        )
    finally:
        target.close()


class _Lines:
    """Says on stderr how it goes."""

    def __init__(self, num_trials: int) -> None:
        self._num_trials = num_trials
        self._num_done = 0

    def pilot_started(self) -> None:
        """Say nothing: the rate is the run's."""

    def trial_started(self, trial: Trial) -> None:
        """Say what is measured."""
        print(f"measuring {trial}, {trial.num_requests:,} requests", file=sys.stderr, flush=True)

    def trial_done(self, _trial: Trial, point: Point, duration_s: float) -> None:
        """Say that a run is done."""
        self._num_done += 1
        said = f"{point.verdict}{f' ({point.reason})' if point.reason else ''}"
        print(
            f"[{self._num_done}/{self._num_trials}] {said}; {duration_s:.1f} s",
            file=sys.stderr,
            flush=True,
        )
