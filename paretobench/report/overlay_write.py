"""Writing an overlay of several runs into a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from paretobench.core.errors import RunFolderError
from paretobench.core.points import POINT_COLUMNS
from paretobench.report.document import report_document, strict
from paretobench.report.figures import overlay_files
from paretobench.report.frontier_uncertainty import probability_of
from paretobench.report.html import report_html
from paretobench.report.overlay import Overlay
from paretobench.report.overlay_differences import differences
from paretobench.report.overlay_markdown import overlay_markdown
from paretobench.report.overlay_message import message
from paretobench.report.points import FRONTIER_COLUMNS, csv_bytes, frontier_rows
from paretobench.report.shift import shift_documents
from paretobench.results.atomic import write_atomically, write_json_atomically
from paretobench.results.reader import RunFolder
from paretobench.results.writer import check_can_be_written

MARK = "overlay.json"  # by which a folder is known to be an overlay


def check_overlay_folder(folder: Path, runs: Sequence[RunFolder]) -> None:
    """Raise RunFolderError unless an overlay can be written to `folder`: new, empty, or one of an
    earlier overlay, outside of every run folder, and where one may write. Writes nothing."""
    check_can_be_written(folder)
    wanted = folder.resolve()
    for run in runs:
        if wanted.is_relative_to(run.path.resolve()):
            raise RunFolderError(
                f"{folder}: lies in the run folder {run.path}, which is about one run alone; give "
                "another --output-dir"
            )
    if not folder.exists() or (folder / MARK).is_file():
        return
    if not folder.is_dir() or any(folder.iterdir()):
        raise RunFolderError(
            f"{folder}: expected a new or empty folder, or an earlier overlay, found neither (no "
            f"{MARK}); nothing was written. Give another --output-dir"
        )


def write_overlay(overlay: Overlay, folder: Path) -> list[Path]:
    """Write the picture, the tables and the text of an overlay; return the files in their order.

    Equal runs give equal bytes. Raises IncompleteError where the disk refuses.
    """
    make_overlay_folder(folder)
    links = {
        name: quote(os.path.relpath(report.run.path, folder))
        for name, report in zip(overlay.names, overlay.reports, strict=True)
    }
    write_json_atomically(folder / MARK, {"runs": links})  # first: the folder is ours from now on
    contents = {
        "points.csv": _points_csv(overlay),
        "frontier.csv": _frontier_csv(overlay),
        **overlay_files(overlay),
        "report.md": overlay_markdown(overlay, links),
        "report.html": report_html(overlay.reports, overlay.names),
    }
    for name, content in contents.items():
        write_atomically(folder / name, content)
    return [folder / name for name in (*contents, MARK)]


def overlay_document(overlay: Overlay, folder: Path, files: Sequence[Path]) -> dict[str, Any]:
    """Return the overlay, and each run's report in full, in values that strict JSON can hold."""
    document: dict[str, Any] = strict(
        {
            "folder": str(folder),
            "message": message(overlay),
            "objectives": {"throughput": overlay.throughput, "latency": overlay.latency},
            "differences": [asdict(difference) for difference in differences(overlay)],
            "shifts": shift_documents(overlay.shifts),
            "runs": [
                {"run": name, **report_document(report)}
                for name, report in zip(overlay.names, overlay.reports, strict=True)
            ],
            "files": [file.name for file in files],
        }
    )
    return document


def make_overlay_folder(folder: Path) -> None:
    """Make the folder of an overlay where it is not there yet. Raises RunFolderError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"{folder}: cannot be made: {error.strerror or error}; give another --output-dir"
        ) from error


def _points_csv(overlay: Overlay) -> bytes:
    """Return every run's `points.csv` under one another, with the run's name in front."""
    rows = (
        {"run": name, **row}
        for name, report in zip(overlay.names, overlay.reports, strict=True)
        for point in report.points
        for row in point.to_rows()
    )
    return csv_bytes(("run", *POINT_COLUMNS), rows)


def _frontier_csv(overlay: Overlay) -> bytes:
    rows = (
        {"run": name, **row}
        for name, report in zip(overlay.names, overlay.reports, strict=True)
        for row in frontier_rows(report.frontier, partial(probability_of, report))
    )
    return csv_bytes(("run", *FRONTIER_COLUMNS), rows)
