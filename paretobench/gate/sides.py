"""Reading both sides: each a run folder, or a folder of them, one a pair."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from paretobench.core.errors import NotComparableError, RunFolderError
from paretobench.core.points import Point
from paretobench.gate.values import Side, SideName
from paretobench.report.model import assemble
from paretobench.report.points import load_points
from paretobench.results.reader import open_run

_MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SideRuns:
    """A side, with what its report pools told apart: `points[i]` are those of run `names[i]`."""

    side: Side
    names: tuple[str, ...]
    points: tuple[tuple[Point, ...], ...]


def read_sides(baseline: Path, candidate: Path) -> tuple[SideRuns, SideRuns]:
    """Return both sides; the runs of one place on both are a pair.

    Raises RunFolderError where a folder is no run and holds none, or where a pair stands on one
    side alone; NotComparableError where they are of different schema versions.
    """
    before, after = _run_folders(baseline), _run_folders(candidate)
    if (before.keys() == {""}) != (after.keys() == {""}):
        single, folder = (baseline, candidate) if "" in before else (candidate, baseline)
        raise RunFolderError(
            f"expected two run folders, or two folders of pairs, found the run {single} and the "
            f"pairs in {folder}: give one of these pairs, or the folder of the other side's"
        )
    for name in [*before, *after]:
        if name not in before or name not in after:
            there, lacking = (baseline, candidate) if name in before else (candidate, baseline)
            raise RunFolderError(
                f"{there / name}: expected its partner {lacking / name}, found none: measure it, "
                "or leave this pair out of the folder"
            )
    _check_schema(before, after)
    return (
        _read("baseline", baseline, before),
        _read("candidate", candidate, {name: after[name] for name in before}),
    )


def _check_schema(before: dict[str, Path], after: dict[str, Path]) -> None:
    """Raise NotComparableError where two runs are of different schema versions, one of which may
    not be readable here at all."""
    versions = {path: _schema_version(path) for path in (*before.values(), *after.values())}
    known = {path: version for path, version in versions.items() if version is not None}
    if len(set(known.values())) > 1:
        told = ", ".join(f"{version!r} in {path}" for path, version in known.items())
        raise NotComparableError(
            f"the runs are not comparable, they differ in their schema version: {told}; measure "
            "both with one version of paretobench"
        )


def _schema_version(path: Path) -> object:
    """Return a manifest's schema version, None where it cannot be read: opening it says why."""
    try:
        content = json.loads((path / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content.get("schema_version") if isinstance(content, dict) else None


def _run_folders(path: Path) -> dict[str, Path]:
    """Return the run folders by name, in the order of their numbers; one run has the name ``."""
    if not (path / _MANIFEST).is_file() and path.is_dir():
        inside = [folder for folder in path.iterdir() if (folder / _MANIFEST).is_file()]
        if inside:
            return {folder.name: folder for folder in sorted(inside, key=_by_number)}
    return {"": path}


def _by_number(folder: Path) -> tuple[int, str]:
    digits = re.search(r"\d+$", folder.name)
    return (int(digits.group()) if digits else 0, folder.name)


def _read(name: SideName, path: Path, folders: dict[str, Path]) -> SideRuns:
    runs = tuple(open_run(folder) for folder in folders.values())
    points = tuple(tuple(load_points(run)) for run in runs)  # none is left out in silence
    report = assemble(runs[0], [point for of_run in points for point in of_run])
    side = Side(name=name, path=path, runs=runs, report=report)
    return SideRuns(side=side, names=tuple(folders), points=points)
