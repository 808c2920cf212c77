"""Points from a run folder, and as CSV: the raw files are the authority."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.metrics import summarize
from paretobench.analysis.sla import service_levels
from paretobench.core.errors import RunFolderError
from paretobench.core.intervals import INTERVAL_BOUNDS, METHOD_COLUMN, interval_cells
from paretobench.core.metrics import METRICS, qualified, split_name
from paretobench.core.points import ALL_CLASSES, POINT_COLUMNS, Point, Settings
from paretobench.core.values import Verdict
from paretobench.report.manifest import conditions, scenario
from paretobench.report.text import plural
from paretobench.results.reader import RunFolder

SETTINGS_COLUMNS = tuple(f.name for f in fields(Settings))
# what later versions added has a default: a folder of an earlier one is read all the same
_REQUIRED = {f.name for f in fields(Settings) if f.default is MISSING}
FRONTIER_COLUMNS = (
    *SETTINGS_COLUMNS,
    "class",
    "num_repeats",
    "precision",
    "probability_on_frontier",
    *METRICS,
    "binds",
    *INTERVAL_BOUNDS,
    METHOD_COLUMN,
    "low_percentiles",
    "verdict",
    "reason",
    "remedy",
)
_FLOATS = {"max_waiting_time_ms", "aging_ms", "offered_requests_per_s", "fraction_of_capacity"}
_BOUNDS = frozenset(INTERVAL_BOUNDS)
_BOOLS = {"mix_classes"}
_OPTIONAL_TEXT = {
    "variant",
    "class_batching",
    "preemption",
    "controller",
    "controller_constants",
    "rate_profile",
    "schedule_id",
}
_INTS = {
    "max_batch_size",
    "kv_budget_tokens",
    "max_prefill_tokens_per_step",
    "concurrency",
    "repeat",
    "seed",
}
_OPTIONAL = {
    "aging_ms",
    "kv_budget_tokens",
    "max_prefill_tokens_per_step",
    "concurrency",
    "offered_requests_per_s",
    "fraction_of_capacity",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A run's points; `damaged` names each raw file that cannot be read, why, and what is lost."""

    points: tuple[Point, ...]
    damaged: tuple[str, ...] = ()


def load_points(run: RunFolder) -> list[Point]:
    """Return one point a trial, every one that is done.

    Raises RunFolderError under the conditions of `load_undamaged`, and where any file is damaged.
    """
    loaded = load_undamaged(run)
    if loaded.damaged:
        raise RunFolderError(loaded.damaged[0])
    return list(loaded.points)


def load_undamaged(run: RunFolder) -> Loaded:
    """Return one point a trial, worked out from its raw files, one trial's in memory at a time.

    A trial with a raw file that is damaged or of a format that is not read here is left out. A
    run without a trial's folder (a committed run) gives the points of its `points.csv`. Raises
    RunFolderError where every trial is damaged, or where trials are done but neither is there.
    """
    measured = run.trial_ids()
    if measured or run.has_raw_files():
        return _from_raw(run, measured)
    path = run.path / "points.csv"
    if path.is_file():
        return Loaded(points=tuple(read_points(path)))
    done = sum(t.get("state") == "done" for t in run.manifest.get("trials") or [])
    if done:
        raise RunFolderError(
            f"{run.path}: expected raw files under trials/ or a points.csv for {done} trials that "
            "are done, found neither; restore them or run the sweep again"
        )
    return Loaded(points=())


def _from_raw(run: RunFolder, measured: Sequence[str]) -> Loaded:
    levels = service_levels(scenario(run))
    entries = {entry["trial_id"]: entry for entry in run.manifest["trials"]}
    lost = [t for t, e in entries.items() if e.get("state") == "done" and t not in measured]
    points: list[Point] = []
    errors: dict[str, str] = {}
    for trial_id in (*measured, *lost):
        try:
            settings, trace = run.read_trial(trial_id)
        except RunFolderError as error:
            errors[trial_id] = str(error).replace(f"{run.path}/", "")  # wherever it lies
            continue
        points.append(summarize(settings, trace, levels, conditions(run, settings.variant)))
    if not points:
        raise RunFolderError(
            f"{run.path}: none of {plural(len(errors), 'trial')} can be read; of the first: "
            f"{next(iter(errors.values()))}"
        )
    damaged = (_damage(entries[t], error, points) for t, error in errors.items())
    return Loaded(points=tuple(points), damaged=tuple(damaged))


def _damage(entry: Mapping[str, Any], error: str, points: Sequence[Point]) -> str:
    """Return which configuration a damaged trial was of, what is left of that, and the error."""
    its_own = entry.get("configuration_id")
    left = sum(point.settings.configuration_id == its_own for point in points)
    rest = plural(left, "other trial") if left else "no other trial"
    return f"{entry.get('label') or entry['trial_id']} ({rest} of it can be read): {error}"


def read_points(path: Path) -> list[Point]:
    """Return the points of a `points.csv`, every value typed.

    Raises RunFolderError, with the row, where the file is not one.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = sorted(
                {*_REQUIRED, "low_percentiles", "verdict", "reason"} - set(reader.fieldnames or ())
            )
            if missing:
                raise RunFolderError(
                    f"{path}: expected the columns of a points.csv, found none named "
                    f"{', '.join(missing)}; restore the file or measure again"
                )
            rows = [_read_row(path, number, row) for number, row in enumerate(reader, start=1)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunFolderError(f"{path}: cannot be read ({error})") from error
    trials: dict[str, list[dict[str, Any]]] = {}
    for row in rows:  # a trial's rows stand together, `all` first
        trials.setdefault(row["trial_id"], []).append(row)
    try:
        return [Point.from_rows(of_trial) for of_trial in trials.values()]
    except ValueError as error:
        raise RunFolderError(f"{path}: column {METHOD_COLUMN!r}: {error}") from error


def _read_row(path: Path, number: int, row: Mapping[str, str | None]) -> dict[str, Any]:
    typed: dict[str, Any] = {}
    for column, text in row.items():
        try:
            typed[column] = _typed(column, text)
        except (ValueError, TypeError, KeyError) as error:
            raise RunFolderError(
                f"{path}: row {number}, column {column!r} cannot be read, found {text!r} ({error})"
            ) from error
    if typed["verdict"] not in get_args(Verdict):
        raise RunFolderError(
            f"{path}: row {number}: expected a verdict, one of {', '.join(get_args(Verdict))}, "
            f"found {typed['verdict']!r}"
        )
    return typed


def _typed(column: str, text: str | None) -> Any:
    if column in _BOUNDS:
        return float(text) if text else None
    if column in METRICS or column in _FLOATS or column in _INTS:
        if not text:
            if column in METRICS or column in _OPTIONAL:
                return None
            raise ValueError("must not be empty")
        if column in _FLOATS:
            return float(text)
        if column in _INTS:
            return int(text)
        return int(text) if text.lstrip("-").isdigit() else float(text)
    if column in _BOOLS:
        return {"True": True, "False": False}[text or "False"]
    if column in _OPTIONAL_TEXT:
        return text or None
    return text


def points_csv(points: Sequence[Point]) -> bytes:
    """Return `points.csv`: a row a trial, and one for each class of mixed traffic.

    Every float is exact, missing is empty, infinite `inf`.
    """
    return csv_bytes(POINT_COLUMNS, (row for point in points for row in point.to_rows()))


def configuration_row(configuration: Configuration, of_class: str | None = None) -> dict[str, Any]:
    """Return a row of `frontier.csv`, of all requests or of a class, but for its probability."""
    settings = asdict(configuration.settings)
    limits = configuration.settings.class_limits().get(of_class or "", {})
    settings |= {name: limits[name] for name in limits.keys() & settings.keys()}
    return {
        **settings,
        "class": of_class or ALL_CLASSES,
        "num_repeats": configuration.num_repeats,
        "precision": configuration.precision,
        **{name: configuration.figures.get(_name(of_class, name)) for name in METRICS},
        "binds": "" if of_class else configuration.binds,
        **interval_cells(configuration.intervals, of_class),
        "low_percentiles": " ".join(
            metric
            for class_name, metric in map(split_name, configuration.low_percentiles)
            if class_name == of_class
        ),
        "verdict": configuration.verdict,
        "reason": configuration.reason,
        "remedy": configuration.remedy,
    }


def _name(of_class: str | None, metric: str) -> str:
    return metric if of_class is None else qualified(of_class, metric)


def frontier_csv(
    frontier: Sequence[Configuration], probability_of: Callable[[Configuration], float | None]
) -> bytes:
    """Return `frontier.csv`: the non-dominated configurations, with the figures of all
    repeats and the probability of each to be non-dominated.

    As in `points.csv` a row stands for all requests, and one more for each class.
    """
    return csv_bytes(FRONTIER_COLUMNS, frontier_rows(frontier, probability_of))


def frontier_rows(
    frontier: Sequence[Configuration], probability_of: Callable[[Configuration], float | None]
) -> list[dict[str, Any]]:
    """Return the rows of `frontier.csv`."""
    rows: list[dict[str, Any]] = []
    for configuration in frontier:
        names = dict.fromkeys(split_name(name)[0] for name in configuration.figures)
        own = {"probability_on_frontier": probability_of(configuration)}
        rows += [configuration_row(configuration, name) | own for name in {None: None, **names}]
    return rows


def csv_bytes(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return rows as CSV: every float exact, missing empty, infinite `inf`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[column]) for column in columns])
    return text.getvalue().encode("utf-8")


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(float(value)) if isinstance(value, float) else str(value)
