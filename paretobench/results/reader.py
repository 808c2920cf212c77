"""Reading a run folder. The raw files are the authority; a folder without them has its CSV."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

from paretobench import READABLE_SCHEMA_VERSIONS, SCHEMA_VERSION, __version__
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

    def read_trial(self, trial_id: str) -> tuple[Settings, Trace]:
        """Return a trial's settings and everything recorded in it; requests and steps are columns.

        Raises RunFolderError, with its name, where a raw file is missing or damaged.
        """
        folder = self.path / "trials" / trial_id
        settings, facts = self._undamaged(folder / "summary.json", _read_summary)
        changes = folder / "limit_changes.parquet"  # only where a controller moved the limit
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
            limit_changes=self._records(changes, LimitChange) if changes.exists() else (),
            **facts,
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
        except (OSError, ValueError, KeyError, TypeError) as error:
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
        is_newer = isinstance(found, int) and found > SCHEMA_VERSION
        raise RunFolderError(
            f"{manifest_path}: expected schema_version {known}, which paretobench {__version__} "
            f"reads, found {found!r}, {_written_by(manifest, is_newer=is_newer)}"
        )
    return RunFolder(path=path, manifest=manifest)


def _written_by(manifest: Any, *, is_newer: bool = False) -> str:
    """Return which version wrote a folder, and how to have that version."""
    content = manifest if isinstance(manifest, dict) else {}
    version = content.get("paretobench_version")
    if not version:
        return "and no paretobench_version that wrote it; restore the file"
    commit = ((content.get("provenance") or {}).get("package") or {}).get("git_commit")
    written = f"written by paretobench {version}{f' at commit {commit[:7]}' if commit else ''}"
    if is_newer:
        return f"{written}; update paretobench to that version"
    return (
        f"{written}; read it with that version: `git checkout {commit or f'v{version}'}` and "
        "`pip install -c constraints.txt -e .`"
    )


def _read_summary(path: Path) -> tuple[Settings, dict[str, Any]]:
    """Return a trial's settings and the facts of its trace that are in no table."""
    summary = json.loads(path.read_text())
    window = summary["window"]
    return Settings(**summary["settings"]), {
        "window": None if window is None else Window(**window),
        "outcome": _outcome(summary["outcome"]),
        "reason": summary["outcome_reason"],
        "started_monotonic_s": summary["started_monotonic_s"],
        "attempt": summary.get("attempt", 1),
    }


def _outcome(name: str) -> Outcome:
    if name not in get_args(Outcome):
        raise ValueError(f"outcome {name!r}")
    return cast(Outcome, name)
