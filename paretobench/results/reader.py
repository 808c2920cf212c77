"""Reading a run folder. The raw files are the authority; a folder without them has its CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretobench import SCHEMA_VERSION
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
        """Return a trial's settings and everything recorded in it.

        Raises RunFolderError where a raw file is missing or damaged.
        """
        folder = self.path / "trials" / trial_id
        changes = folder / "limit_changes.parquet"  # only where a controller moved the limit
        try:
            summary = json.loads((folder / "summary.json").read_text())
            window = summary["window"]
            return Settings(**summary["settings"]), Trace(
                requests=tables.read_columns(folder / "requests.parquet", RequestColumns),
                steps=tables.read_columns(folder / "steps.parquet", StepColumns),
                telemetry=tables.read_records(folder / "telemetry.parquet", TelemetrySample),
                limit_changes=tables.read_records(changes, LimitChange) if changes.exists() else (),
                window=None if window is None else Window(**window),
                outcome=_outcome(summary["outcome"]),
                reason=summary["outcome_reason"],
                started_monotonic_s=summary["started_monotonic_s"],
                attempt=summary.get("attempt", 1),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunFolderError(
                f"{folder}: expected the raw files of a trial, found a damaged one ({error}); "
                "delete this folder and run the sweep with --resume to measure it again"
            ) from error


def open_run(path: Path) -> RunFolder:
    """Return the run folder at `path`.

    Raises RunFolderError where there is none, or one of another schema version.
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
    if found != SCHEMA_VERSION:
        raise RunFolderError(
            f"{manifest_path}: expected schema_version {SCHEMA_VERSION}, found {found!r}; "
            "read it with the paretobench version that wrote it"
        )
    return RunFolder(path=path, manifest=manifest)


def _outcome(name: str) -> Outcome:
    outcomes: dict[str, Outcome] = {
        "completed": "completed",
        "timed_out": "timed_out",
        "out_of_memory": "out_of_memory",
        "failed": "failed",
    }
    return outcomes[name]
