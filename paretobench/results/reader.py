"""Reading a run folder. The raw files are the authority; a folder without them has its CSV."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from paretobench import READABLE_SCHEMA_VERSIONS, __version__
from paretobench.core.columns import RequestColumns, StepColumns
from paretobench.core.errors import RunFolderError
from paretobench.core.points import Settings
from paretobench.core.values import (
    LimitChange,
    Outcome,
    TelemetrySample,
    Trace,
    Window,
)
from paretobench.results import tables
from paretobench.results.typed import typed

R = TypeVar("R")
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolder:
    """A run folder as it lies on disk."""

    path: Path
    manifest: Mapping[str, Any]

    def trial_ids(self) -> list[str]:
        """Return the trials that have raw files, in the manifest's order."""
        return [
            trial["trial_id"]
            for trial in self.manifest["trials"]
            if (self.path / "trials" / trial["trial_id"] / "summary.json").is_file()
        ]

    def has_raw_files(self) -> bool:
        """Return whether any trial that is done has a folder: the authority, and not the CSV."""
        done = (trial for trial in self.manifest["trials"] if trial["state"] == "done")
        return any((self.path / "trials" / trial["trial_id"]).is_dir() for trial in done)

    def read_trial(self, trial_id: str) -> tuple[Settings, Trace]:
        """Return a trial's settings and everything recorded in it; requests and steps are columns.

        Raises RunFolderError, with its name, where a raw file is missing or damaged.
        """
        folder = self.path / "trials" / trial_id
        settings, window, facts = self._undamaged(folder / "summary.json", _read_summary)
        changes = folder / "limit_changes.parquet"  # only where a controller moved the limit
        has_changes = facts.has_limit_changes
        if has_changes is None:
            has_changes = changes.exists()
        return settings, Trace(
            requests=self._undamaged(
                folder / "requests.parquet",
                partial(tables.read_columns, kind=RequestColumns, complete=self._is_complete),
            ),
            steps=self._undamaged(
                folder / "steps.parquet",
                partial(tables.read_columns, kind=StepColumns, complete=self._is_complete),
            ),
            telemetry=self.read_telemetry(trial_id),
            limit_changes=self._records(changes, LimitChange) if has_changes else (),
            window=window,
            outcome=_outcome(facts.outcome),
            reason=facts.outcome_reason,
            started_monotonic_s=facts.started_monotonic_s,
            attempt=facts.attempt,
        )

    def read_telemetry(self, trial_id: str) -> tuple[TelemetrySample, ...]:
        """Return what device and host did in a trial; `t_s` is on the trial's clock.

        Raises RunFolderError where the file is missing or damaged.
        """
        return self._records(self.path / "trials" / trial_id / "telemetry.parquet", TelemetrySample)

    @property
    def _is_complete(self) -> bool:
        """Whether every column must be there."""
        return bool(self.manifest["schema_version"] > 1)

    def _records(self, path: Path, kind: type[R]) -> tuple[R, ...]:
        read = partial(tables.read_records, kind=kind, complete=self._is_complete)
        return self._undamaged(path, read)

    def _undamaged(self, path: Path, read: Callable[[Path], T]) -> T:
        """Return what `read` makes of a raw file. Raises RunFolderError where it cannot."""
        try:
            return read(path)
        except FileNotFoundError as error:
            raise _damaged(path, "none") from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, tables.MissingColumnsError) and not self._is_complete:
                raise RunFolderError(
                    f"{path}: of an earlier format ({error}), {_written_by(self.manifest)}"
                ) from error
            why = " ".join(str(error).split())[:200]
            raise _damaged(path, f"a damaged one ({why})") from error


def _damaged(path: Path, found: str) -> RunFolderError:
    return RunFolderError(
        f"{path}: expected a raw file of a trial, found {found}; delete trials/{path.parent.name}/ "
        "and run the sweep with --resume to measure it again"
    )


def open_run(path: Path) -> RunFolder:
    """Return the run folder at `path`.

    Raises RunFolderError where there is none, or one of a schema version that is not read here.
    """
    manifest_path = path / "manifest.json"
    try:
        manifest = json.loads(manifest_path.read_text())
    except FileNotFoundError:
        raise RunFolderError(
            f"{path}: expected a run folder with a manifest.json, found none; "
            "give the folder that `paretobench sweep` wrote"
        ) from None
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{manifest_path}: cannot be read ({error})") from error
    found = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if found not in READABLE_SCHEMA_VERSIONS:
        known = " or ".join(map(str, READABLE_SCHEMA_VERSIONS))
        raise RunFolderError(
            f"{manifest_path}: expected schema_version {known}, which paretobench {__version__} "
            f"reads, found {found!r}, {_written_by(manifest)}"
        )
    lacking = _lacking(manifest)
    if lacking:
        raise RunFolderError(f"{manifest_path}: expected {lacking}, found none; restore the file")
    return RunFolder(path=path, manifest=manifest)


def _lacking(manifest: Mapping[str, Any]) -> str | None:
    """Return what every reader asks of a manifest and this one has not, None where it has all."""
    trials = manifest.get("trials")
    if not isinstance(manifest.get("state"), str):
        return "the run's `state`"
    if not isinstance(trials, list):
        return "a list of `trials`"
    for number, trial in enumerate(trials, start=1):
        found = trial if isinstance(trial, dict) else {}
        for key in ("trial_id", "state"):
            if not isinstance(found.get(key), str):
                return f"the `{key}` of trial {number}"
    return None


def _written_by(manifest: Any) -> str:
    """Return which version wrote a folder, and how to have that version."""
    content = manifest if isinstance(manifest, dict) else {}
    version = content.get("paretobench_version")
    if not version:
        return "and no paretobench_version that wrote it; restore the file"
    commit = ((content.get("provenance") or {}).get("package") or {}).get("git_commit")
    if not commit:
        return (
            f"written by paretobench {version} at a commit that is not recorded; read it with "
            "that version, or measure again"
        )
    return (
        f"written by paretobench {version} at commit {commit[:7]}; read it with that version: "
        f"`git fetch`, `git checkout {commit}` and `pip install -c constraints.txt -e .`"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """What a trial's summary says of its trace that is in no table."""

    outcome: str
    outcome_reason: str | None
    started_monotonic_s: float | None
    attempt: int = 1
    has_limit_changes: bool | None = None  # None: of before this was noted


def _read_summary(path: Path) -> tuple[Settings, Window | None, _Facts]:
    summary = json.loads(path.read_text())
    settings, window = typed(Settings, summary["settings"]), summary["window"]
    if settings.trial_id != path.parent.name:
        raise ValueError(f"it is of trial {settings.trial_id}")
    if not all(isinstance(own, dict) for own in settings.class_limits().values()):
        raise ValueError(f"class_batching: {settings.class_batching!r}")
    settings.constants().items()
    settings.profile()
    known = {field.name for field in fields(_Facts)} & summary.keys()
    facts = typed(_Facts, {name: summary[name] for name in known})
    _outcome(facts.outcome)
    return settings, None if window is None else typed(Window, window), facts


def _outcome(name: str) -> Outcome:
    if name not in get_args(Outcome):
        raise ValueError(f"outcome {name!r}")
    return cast(Outcome, name)
