"""Writing a run folder so that it can be killed at any moment and go on."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from paretobench import SCHEMA_VERSION, __version__
from paretobench.core.columns import RequestColumns, StepColumns
from paretobench.core.errors import RunFolderError
from paretobench.core.points import Point
from paretobench.core.values import (
    LimitChange,
    TelemetrySample,
    Trace,
    Trial,
)
from paretobench.results import atomic, tables
from paretobench.results.reader import open_run


class RunWriter:
    """The one writer of a run folder; a lock keeps a second one out.

    The trials' folders are the authority on what was measured; the manifest follows them.
    """

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path = path
        self.manifest = manifest
        self._lock: IO[str] | None = None

    @classmethod
    def create(
        cls, path: Path, *, name: str, scenario: Mapping[str, Any], scenario_hash: str
    ) -> RunWriter:
        """Begin a new run folder at `path`, which must not exist or be empty.

        Raises RunFolderError where something stands there or the folder cannot be made.
        """
        check_free(path)
        try:
            (path / "trials").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _cannot_make(path, error) from error
        writer = cls(
            path,
            {
                "schema_version": SCHEMA_VERSION,
                "paretobench_version": __version__,
                "name": name,
                "scenario": dict(scenario),
                "scenario_hash": scenario_hash,
                "state": "running",
                "created_at": _now(),
                "finished_at": None,
                "provenance": {},
                "capacity": {},
                "conditions": {},
                "workloads": [],
                "trials": [],
            },
        )
        writer._take_lock()
        writer.save()
        return writer

    @classmethod
    def resume(cls, path: Path, *, scenario_hash: str) -> RunWriter:
        """Go on with the run folder at `path`.

        Raises RunFolderError where there is none, or one of another scenario.
        """
        run = open_run(path)
        if run.manifest.get("scenario_hash") != scenario_hash:
            raise RunFolderError(
                f"{path}: expected a run of this scenario, found one of another "
                f"({run.manifest.get('name')!r}, hash {run.manifest.get('scenario_hash')}); "
                "give another --output-dir, or the scenario and options that began this run"
            )
        writer = cls(path, dict(run.manifest))
        writer._take_lock()
        atomic.discard_partial(path)
        atomic.discard_partial(path / "trials")
        writer.manifest["state"] = "running"
        writer.manifest["finished_at"] = None
        writer.save()
        return writer

    def close(self) -> None:
        """Let another writer in."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def save(self) -> None:
        """Write the manifest. Raises IncompleteError where the disk refuses."""
        atomic.write_json_atomically(self.path / "manifest.json", self.manifest)

    def plan(self, trials: Sequence[Trial], *, round_number: int = 0) -> None:
        """Write down what is to be measured; trials that are on disk count as done.

        Trials that were planned before keep their round, the others are of `round_number`: how
        often the frontier had been chosen to be measured again.
        """
        rounds = {entry["trial_id"]: entry.get("round", 0) for entry in self.manifest["trials"]}
        self.manifest["trials"] = [
            {
                "trial_id": trial.trial_id,
                "configuration_id": trial.configuration_id,
                "label": str(trial),
                "repeat": trial.repeat,
                "seed": trial.seed,
                "stage": trial.stage,
                "round": rounds.get(trial.trial_id, round_number),
                "state": "planned",
                "verdict": None,
                "reason": None,
            }
            for trial in trials
        ]
        for entry in self.manifest["trials"]:
            summary = self.summary_of(entry["trial_id"])
            if summary is not None:
                entry.update(
                    state="done",
                    verdict=summary["verdict"],
                    reason=summary["reason"],
                    attempt=summary.get("attempt", 1),
                )
        self.save()

    def summary_of(self, trial_id: str) -> dict[str, Any] | None:
        """Return the summary of a measured trial, None for one that is still to be measured."""
        try:
            summary = json.loads((self._trial_path(trial_id) / "summary.json").read_text())
        except (OSError, ValueError):
            return None
        return summary if isinstance(summary, dict) else None

    def forget_trial(self, trial_id: str) -> None:
        """Drop a trial's files, so that it is measured again."""
        folder = self._trial_path(trial_id)
        os.replace(folder, folder.with_name(f".partial-{trial_id}"))
        atomic.discard_partial(folder.parent)

    def add_trial(self, trace: Trace, point: Point, *, measured_s: float | None = None) -> None:
        """Write a trial's raw files and summary as one, then note it in the manifest.

        `measured_s` is how long it was served for, a first attempt included. Raises
        IncompleteError where the disk refuses: the trial is then not there at all.
        """
        trial_id = point.settings.trial_id

        def fill(folder: Path) -> None:
            requests, steps = RequestColumns.of(trace.requests), StepColumns.of(trace.steps)
            tables.write_columns(folder / "requests.parquet", requests)
            tables.write_columns(folder / "steps.parquet", steps)
            tables.write_records(folder / "telemetry.parquet", trace.telemetry, TelemetrySample)
            if trace.limit_changes:
                tables.write_records(
                    folder / "limit_changes.parquet", trace.limit_changes, LimitChange
                )
            summary = {**_summary(trace, point), "measured_s": measured_s}
            text = json.dumps(summary, indent=1, allow_nan=False)
            (folder / "summary.json").write_text(text + "\n")

        atomic.write_folder_atomically(self._trial_path(trial_id), fill)
        for entry in self.manifest["trials"]:
            if entry["trial_id"] == trial_id:
                entry.update(
                    state="done",
                    verdict=point.verdict,
                    reason=point.reason,
                    attempt=trace.attempt,
                )
        self.save()

    def finish(self, state: str) -> None:
        """Note how the run ended: complete, incomplete or interrupted."""
        self.manifest["state"] = state
        self.manifest["finished_at"] = _now()
        self.save()

    def _trial_path(self, trial_id: str) -> Path:
        return self.path / "trials" / trial_id

    def _take_lock(self) -> None:
        try:
            lock = (self.path / ".lock").open("w")
        except OSError as error:
            raise _cannot_make(self.path, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            raise RunFolderError(
                f"{self.path}: another sweep is writing here; wait for it or give another "
                "--output-dir"
            ) from None
        self._lock = lock


def check_free(path: Path) -> None:
    """Raise RunFolderError unless a new run can begin at `path`; writes nothing."""
    try:
        taken = path.exists() and (not path.is_dir() or any(path.iterdir()))
    except OSError as error:
        raise _cannot_make(path, error) from error
    if taken:
        if (path / "manifest.json").is_file():
            raise RunFolderError(
                f"{path}: already holds a run; add --resume to go on with it, "
                "or give another --output-dir"
            )
        raise RunFolderError(
            f"{path}: expected a new or empty folder, found one that is not a run of paretobench; "
            "nothing was written. Give another --output-dir"
        )
    check_can_be_written(path)


def check_can_be_written(path: Path) -> None:
    """Raise RunFolderError where a folder at `path` could not be made or filled; writes nothing."""
    try:
        existing = next(parent for parent in (path, *path.absolute().parents) if parent.exists())
    except OSError as error:
        raise _cannot_make(path, error) from error
    if not os.access(existing, os.W_OK | os.X_OK) or not existing.is_dir():
        raise RunFolderError(
            f"{path}: cannot be made: {existing} cannot be written to; give another --output-dir"
        )


def _summary(trace: Trace, point: Point) -> dict[str, Any]:
    return {
        "settings": asdict(point.settings),
        "window": None if trace.window is None else asdict(trace.window),
        "outcome": trace.outcome,
        "outcome_reason": trace.reason,
        "started_monotonic_s": trace.started_monotonic_s,
        # JSON has no Infinity: a tail in which requests failed is null here, inf in points.csv
        "figures": {n: _finite(v) for n, v in point.figures.items()},
        "low_percentiles": list(point.low_percentiles),
        "verdict": point.verdict,
        "reason": point.reason,
        "remedy": point.remedy,
        "attempt": trace.attempt,
        "has_limit_changes": bool(trace.limit_changes),
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or abs(value) == float("inf") else value


def _cannot_make(path: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"{path}: cannot be made: {error.strerror or error}; give another --output-dir"
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
