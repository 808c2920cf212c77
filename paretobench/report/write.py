"""Writing a report into the run folder that it is about."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from paretobench.core.errors import RunFolderError
from paretobench.report.courses import (
    LIMIT_CHANGES_FILE,
    PHASES_FILE,
    limit_changes_csv,
    phases_csv,
)
from paretobench.report.deploy import operating_points_yaml
from paretobench.report.figures import FIGURES, draw_files, svg_name
from paretobench.report.frontier_uncertainty import probability_of
from paretobench.report.html import report_html
from paretobench.report.markdown import report_markdown
from paretobench.report.model import Report, assemble
from paretobench.report.points import frontier_csv, points_csv
from paretobench.results.atomic import write_atomically
from paretobench.results.reader import open_run


def write_report(path: Path) -> Report:
    """Write tables, figures and text into the run folder at `path`, and return what they show.

    Each file appears whole or not at all; a figure of an earlier report that no longer can be
    drawn is removed. Equal data gives equal bytes. Raises RunFolderError where the folder is none
    or is damaged, IncompleteError where the disk refuses.
    """
    return write_assembled(assemble(open_run(path)))


def write_assembled(report: Report) -> Report:
    """Write the files of a report that is worked out already, as `write_report` does."""
    path = report.run.path
    write_atomically(path / "points.csv", points_csv(report.points))
    write_atomically(
        path / "frontier.csv", frontier_csv(report.frontier, partial(probability_of, report))
    )
    write_atomically(path / "operating_points.yaml", operating_points_yaml(report))
    if report.courses:
        write_atomically(path / PHASES_FILE, phases_csv(report.courses))
        write_atomically(path / LIMIT_CHANGES_FILE, limit_changes_csv(report.courses))
    figures: list[Path] = []
    left_out: list[str] = []
    for picture in FIGURES:
        drawn = draw_files(picture, report)
        if drawn is None or isinstance(drawn, str):
            if drawn:
                left_out.append(f"{picture.file_name}: {drawn}")
            for name in (picture.file_name, svg_name(picture.file_name)):
                _remove(path / name)
            continue
        for name, content in drawn.items():
            write_atomically(path / name, content)
            figures.append(path / name)
    report = replace(report, figures=tuple(figures), left_out=tuple(left_out))
    write_atomically(path / "report.md", report_markdown(report))
    name = str(report.run.manifest.get("name") or path.name)
    write_atomically(path / "report.html", report_html([report], [name]))
    return report


def _remove(stale: Path) -> None:
    try:
        stale.unlink(missing_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"{stale}: is out of date and cannot be removed ({error.strerror}); remove it"
        ) from error
