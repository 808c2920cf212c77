"""Tables on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from paretobench.core.values import Trial

_PLAIN_WIDTH = 160  # where stdout is a file or a pipe there is no terminal to fit


def print_table(table: Table) -> None:
    """Print a table on stdout, unbroken where stdout is no terminal."""
    from rich.console import Console

    Console(file=sys.stdout, width=None if sys.stdout.isatty() else _PLAIN_WIDTH).print(table)


def plan_table(trials: Sequence[Trial], durations_s: Sequence[float]) -> Table:
    """Return the trials in the order they will run, each with its estimated seconds."""
    from rich.table import Table

    table = Table(title="Trials, in the order they will run")
    several = any(trial.variant is not None for trial in trials)
    for heading in (
        "trial",
        *(["variant"] if several else []),
        "batching",
        "load",
        "requests",
        "about (s)",
    ):
        table.add_column(
            heading,
            justify="left" if heading in ("trial", "variant", "batching", "load") else "right",
        )
    for trial, duration_s in zip(trials, durations_s, strict=True):
        table.add_row(
            trial.trial_id,
            *([trial.variant or ""] if several else []),
            str(trial.batching),
            str(trial.load),
            f"{trial.num_warmup} + {trial.num_requests}",
            f"{duration_s:.1f}",
        )
    return table
