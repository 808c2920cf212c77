"""`paretobench report`: figures and tables again, from what lies on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from paretobench.cli import options


def report(
    run: Annotated[Path, typer.Argument(help="Run folder.", show_default=False)],
    json_output: options.Json = False,
) -> None:
    """Write the tables, figures and report.md of a run folder again, from its raw files."""
    from paretobench.cli.outcome import finish

    finish(run, command="sweep", interrupted=False, json=json_output)
