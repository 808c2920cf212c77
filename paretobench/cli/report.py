"""`paretobench report`: figures and tables again, from what lies on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paretobench.cli import options


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Run folders.", show_default=False)
    ],
    name: Annotated[
        list[str] | None,
        typer.Option(help="Name of a run in the overlay: once for each run, in their order."),
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the overlay of several runs. [default: results/<name>_and_<name>]"
        ),
    ] = None,
    json_output: options.Json = False,
) -> None:
    """Write a run folder's tables (CSV), figures (PNG, SVG), report.md and report.html again from
    its raw files; of several runs also an overlay of their frontiers, in a folder of its own."""
    from paretobench.cli.outcome import finish
    from paretobench.cli.overlay import finish_overlay

    if len(runs) > 1:
        finish_overlay(runs, names=name or (), output_dir=output_dir, json=json_output)
    for given, option in ((name, "--name"), (output_dir, "--output-dir")):
        if given:
            raise typer.BadParameter(
                f"{option} is about the overlay of several runs, found one run: its report is "
                "written into its own folder"
            )
    finish(runs[0], command="sweep", interrupted=False, json=json_output)
