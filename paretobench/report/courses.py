"""What each configuration did in each phase of a load whose rate varies, and what its controller
did: from the raw files, or from the two CSV files of a committed run."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from paretobench.analysis.phases import PhaseFigures, figures_by_phase
from paretobench.analysis.sla import service_levels
from paretobench.core.errors import RunFolderError
from paretobench.core.points import Point
from paretobench.core.profiles import Phase
from paretobench.core.values import LimitChange
from paretobench.report.manifest import scenario
from paretobench.results.reader import RunFolder

PHASES_FILE = "phases.csv"
LIMIT_CHANGES_FILE = "limit_changes.csv"
_FIGURES = tuple(f.name for f in fields(PhaseFigures) if f.name != "phase")
_PHASE_COLUMNS = ("trial_id", "phase", "start_s", "end_s", *_FIGURES)
_CHANGE_COLUMNS = ("trial_id", *(f.name for f in fields(LimitChange)))
_MEANS = ("requests_per_s", "p95_e2e_ms", "goodput_requests_per_s", "output_tokens_per_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """One trial under a load whose rate varies: its figures by phase, its limit's changes."""

    point: Point
    phases: tuple[PhaseFigures, ...]
    limit_changes: tuple[LimitChange, ...]


def load_courses(run: RunFolder, points: Sequence[Point]) -> list[Course]:
    """Return the course of each trial whose load's rate varies, in the order of `points`.

    Raises RunFolderError where a file is damaged.
    """
    varying = [p for p in points if p.settings.rate_profile is not None]
    if not varying:
        return []
    if run.trial_ids():
        return [_from_raw(run, point) for point in varying]
    return _from_csv(run.path, varying)


def mean_phases(courses: Sequence[Course]) -> tuple[PhaseFigures, ...]:
    """Return the figures by phase of a configuration's repeats: counts summed, others the mean."""
    by_phase = zip(*(course.phases for course in courses), strict=True)
    return tuple(_mean(repeats) for repeats in by_phase)


def phases_csv(courses: Sequence[Course]) -> bytes:
    """Return `phases.csv`: a row a trial and phase."""
    return _csv(
        _PHASE_COLUMNS,
        (
            {
                "trial_id": course.point.settings.trial_id,
                "phase": figures.phase.label,
                "start_s": figures.phase.start_s,
                "end_s": figures.phase.end_s,
                **{name: getattr(figures, name) for name in _FIGURES},
            }
            for course in courses
            for figures in course.phases
        ),
    )


def limit_changes_csv(courses: Sequence[Course]) -> bytes:
    """Return `limit_changes.csv`: every change of a batch limit, and its cause."""
    return _csv(
        _CHANGE_COLUMNS,
        (
            {"trial_id": course.point.settings.trial_id, **asdict(change)}
            for course in courses
            for change in course.limit_changes
        ),
    )


def _from_raw(run: RunFolder, point: Point) -> Course:
    settings, trace = run.read_trial(point.settings.trial_id)
    profile = settings.profile()
    assert profile is not None, "only varying loads are read"
    return Course(
        point=point,
        phases=tuple(figures_by_phase(trace.requests, profile, service_levels(scenario(run)))),
        limit_changes=trace.limit_changes,
    )


def _from_csv(folder: Path, varying: Sequence[Point]) -> list[Course]:
    if not (folder / PHASES_FILE).is_file():
        return []  # a report of before there were courses
    try:
        phases = _rows_by_trial(folder / PHASES_FILE)
        changes = _rows_by_trial(folder / LIMIT_CHANGES_FILE)
        return [
            Course(
                point=point,
                phases=_phases_of(point, phases[trial_id]),
                limit_changes=tuple(_change_of(row) for row in changes.get(trial_id, [])),
            )
            for point in varying
            if (trial_id := point.settings.trial_id) in phases
        ]
    except (OSError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise RunFolderError(
            f"{folder}: expected {PHASES_FILE} and {LIMIT_CHANGES_FILE} of a report, found one "
            f"that cannot be read ({error}); restore them or run the sweep again"
        ) from error


def _rows_by_trial(path: Path) -> dict[str, list[dict[str, str]]]:
    rows: dict[str, list[dict[str, str]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            rows.setdefault(row["trial_id"], []).append(row)
    return rows


def _phases_of(point: Point, rows: Sequence[Mapping[str, str]]) -> tuple[PhaseFigures, ...]:
    profile = point.settings.profile()
    assert profile is not None, "only varying loads are read"
    phases = tuple(map(_phase_of, rows))
    if tuple(figures.phase for figures in phases) != profile.phases:
        raise ValueError(f"trial {point.settings.trial_id} has not the phases of its load")
    return phases


def _phase_of(row: Mapping[str, str]) -> PhaseFigures:
    def number(name: str) -> float | None:
        return float(row[name]) if row[name] else None

    return PhaseFigures(
        phase=Phase(label=row["phase"], start_s=float(row["start_s"]), end_s=float(row["end_s"])),
        num_requests=int(row["num_requests"]),
        requests_per_s=float(row["requests_per_s"]),
        p95_e2e_ms=number("p95_e2e_ms"),
        p95_is_low=row["p95_is_low"] == "True",
        goodput_requests_per_s=number("goodput_requests_per_s"),
        output_tokens_per_s=float(row["output_tokens_per_s"]),
    )


def _change_of(row: Mapping[str, str]) -> LimitChange:
    return LimitChange(
        at_s=float(row["at_s"]),
        before=int(row["before"]),
        after=int(row["after"]),
        queue_depth=int(row["queue_depth"]),
        cause=row["cause"],
        engine=row.get("engine") or None,
    )


def _mean(repeats: Sequence[PhaseFigures]) -> PhaseFigures:
    values: dict[str, Any] = {}
    for name in _MEANS:
        found = [v for r in repeats if (v := getattr(r, name)) is not None]
        values[name] = math.fsum(found) / len(found) if found else None
    return PhaseFigures(
        phase=repeats[0].phase,
        num_requests=sum(r.num_requests for r in repeats),
        p95_is_low=any(r.p95_is_low for r in repeats),
        **values,
    )


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
    return text.getvalue().encode("utf-8")
