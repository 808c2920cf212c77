"""The end of a run: its report written, its answer printed, its exit code."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

if TYPE_CHECKING:
    from paretobench.core.points import Point
    from paretobench.report import Report

_INTERRUPTED = 130
_INCOMPLETE = 3
_SLA_MISSED = 1


def finish(folder: Path, *, command: str, interrupted: bool, json: bool) -> NoReturn:
    """Write the report of a run folder, print the answer and exit with the run's code."""
    from paretobench.report import write_report

    report = write_report(folder)
    if json:
        from paretobench.report import report_document

        print(json_module.dumps(report_document(report), indent=1, allow_nan=False))
    else:
        _print_answer(report, folder)
    code = _INTERRUPTED if interrupted else exit_code(report)
    print_state(report, folder, command, code)
    raise typer.Exit(code)


def exit_code(report: Report) -> int:
    """Return 3 where nothing valid was measured, a trial failed or one cannot be read, 1 where an
    operating point cannot be met, else 0."""
    if report.damaged or not any(c.is_valid for c in report.configurations):
        return _INCOMPLETE
    if report.run.manifest["state"] != "complete" or any(
        point.verdict == "failed" for point in report.points
    ):
        return _INCOMPLETE
    if any(point.configuration is None for point in report.operating_points):
        return _SLA_MISSED
    return 0


def _print_answer(report: Report, folder: Path) -> None:
    from paretobench.cli.tables import print_table
    from paretobench.report import frontier_table, operating_points_table

    if report.frontier:
        print_table(frontier_table(report))
    if report.operating_points:
        print_table(operating_points_table(report))
    print(f"Wrote {folder / 'frontier.png'}. Read {folder / 'report.md'}")


def _warn_beyond_limit(report: Report) -> None:
    from paretobench.report import beyond_text

    wrong = beyond_text(report)
    if wrong is not None:
        print(f"warning: {wrong}", file=sys.stderr)


def warn_damaged(report: Report) -> None:
    """Say which trials are left out of a report, since a raw file of theirs cannot be read."""
    for damage in report.damaged:
        print(f"warning: left out: {damage}", file=sys.stderr)


def print_state(report: Report, folder: Path, command: str, code: int) -> None:
    """Say on stderr what is to be warned of, and what is missing."""
    _warn_beyond_limit(report)
    warn_damaged(report)
    trials = report.run.manifest["trials"]
    done = sum(trial["state"] == "done" for trial in trials)
    if code == _INTERRUPTED:
        say = f"Interrupted: {done} of {len(trials)} trials are measured and kept."
        print(f"{say} Go on: the same {command} command with --resume", file=sys.stderr)
    elif code == _INCOMPLETE:
        which = "no trial is valid" if not report.frontier else "some trials failed"
        if report.damaged and report.frontier:
            which = "some trials cannot be read"
        print(f"Incomplete: {which}; {folder / 'report.md'} says why:", file=sys.stderr)
        _print_verdicts(report)
    elif code == _SLA_MISSED:
        missed = [p.goal.name for p in report.operating_points if p.configuration is None]
        print(f"No configuration meets: {', '.join(missed)} (see above)", file=sys.stderr)
        _print_verdicts(report)
    else:
        _print_verdicts(report)


def _print_verdicts(report: Report) -> None:
    """Say how many trials are not valid, by verdict: the reason of one of them, and its remedy."""
    by_verdict: dict[str, list[Point]] = {}
    for point in report.points:
        if point.verdict != "valid":
            by_verdict.setdefault(point.verdict, []).append(point)
    for verdict, points in sorted(by_verdict.items()):
        first = points[0]
        more = f" (and {len(points) - 1} more)" if len(points) > 1 else ""
        print(f"  {verdict.replace('_', ' ')}: {first.reason}{more}", file=sys.stderr)
        if first.remedy:
            print(f"    to do: {first.remedy}", file=sys.stderr)
