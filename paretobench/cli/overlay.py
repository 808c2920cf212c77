"""Several runs reported at once: each as alone, then all over one another."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from paretobench.cli.outcome import exit_code, print_state

if TYPE_CHECKING:
    from paretobench.report import Overlay


def finish_overlay(
    folders: Sequence[Path], *, names: Sequence[str], output_dir: Path | None, json: bool
) -> NoReturn:
    """Write every run's report and the overlay, print the answer and exit with the worst code of
    the single runs: 3 before 1 before 0. What is wrong with any of them is found before anything
    is written."""
    from paretobench.report import (
        Overlay,
        assemble,
        check_alike,
        check_overlay_folder,
        default_folder,
        make_overlay_folder,
        overlay_document,
        run_names,
        write_assembled,
        write_overlay,
    )
    from paretobench.results.reader import open_run

    runs = [open_run(folder) for folder in folders]
    check_alike(runs)
    labels = run_names(runs, names)
    target = output_dir or default_folder(labels)
    check_overlay_folder(target, runs)
    assembled = [assemble(run) for run in runs]  # all are read before the first is written
    make_overlay_folder(target)
    reports = tuple(write_assembled(report) for report in assembled)
    overlay = Overlay(names=labels, reports=reports)
    files = write_overlay(overlay, target)
    if json:
        document = overlay_document(overlay, target, files)
        print(json_module.dumps(document, indent=1, allow_nan=False))
    else:
        _print_answer(overlay, target)
    codes = [exit_code(report) for report in reports]
    for name, report, code in zip(labels, reports, codes, strict=True):
        print(f"{name}:", file=sys.stderr)
        print_state(report, report.run.path, "sweep", code)
    raise typer.Exit(max(codes))


def _print_answer(overlay: Overlay, folder: Path) -> None:
    from rich.markup import escape

    from paretobench.cli.tables import print_table
    from paretobench.report import frontier_table, message

    for name, report in zip(overlay.names, overlay.reports, strict=True):
        if report.frontier:
            table = frontier_table(report)
            table.title = escape(f"{name}: {table.title}")
            print_table(table)
    print(f"{message(overlay)}.")
    print(f"Wrote {folder / 'frontier.png'}. Read {folder / 'report.md'}")
