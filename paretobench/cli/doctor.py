"""`paretobench doctor`: is this machine fit to measure?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from paretobench.cli import options

if TYPE_CHECKING:
    from paretobench.analysis.fitness import Finding
    from paretobench.core.machine import MachineState

_UNFIT = 4


def doctor(
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    seconds: Annotated[
        float, typer.Option(help="Time to spend on measuring the same thing twice over, in s.")
    ] = 5.0,
    json_output: options.Json = False,
) -> None:
    """Check whether this machine is fit to measure, and say what to do where it is not. Exits 4
    where measuring would mislead."""
    from paretobench.analysis.fitness import is_fit, judge_machine
    from paretobench.targets.inspection import inspect_machine

    options.check_device(device)
    options.check_seconds(seconds)
    machine = inspect_machine(device, seconds, _say)
    findings = judge_machine(machine)
    if json_output:
        _print_json(machine, findings)
    else:
        _print_table(findings)
    if is_fit(findings):
        print("Fit to measure. Next: paretobench sweep SCENARIO", file=sys.stderr)
        return
    unfit = "; ".join(f"{f.name}: {f.found}" for f in findings if f.verdict == "unfit")
    print(f"Unfit to measure: {unfit}", file=sys.stderr)
    raise typer.Exit(_UNFIT)


def _print_json(machine: MachineState, findings: Sequence[Finding]) -> None:
    import json
    from dataclasses import asdict

    from paretobench.analysis.fitness import is_fit

    document = {
        "fit": is_fit(findings),
        "findings": [asdict(finding) for finding in findings],
        "machine": asdict(machine),
    }
    print(json.dumps(document, indent=1, allow_nan=False, default=sorted))  # sets as lists


def _print_table(findings: Sequence[Finding]) -> None:
    from rich.markup import escape
    from rich.table import Table

    from paretobench.cli.tables import print_table

    table = Table(title="Is this machine fit to measure?")
    for title in ("what", "found", "verdict", "what to do"):
        table.add_column(title, overflow="fold")
    for finding in findings:
        cells = (finding.name, finding.found, finding.verdict, finding.advice)
        table.add_row(*(escape(cell) for cell in cells))
    print_table(table)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
