"""The command line: the only place that prints, catches errors and exits.

Exit codes: 0 done or passed, 1 regression or a goal not met, 2 bad input, 3 incomplete or
inconclusive, 4 environment unfit or not comparable, 130 interrupted; what they mean for each
command stands in `exit_codes`. Results go to stdout, progress and warnings to stderr.
"""

from __future__ import annotations

import sys

import typer

from paretobench.cli import compare, doctor, emit, limits, report, simulate, sweep, validate, verify
from paretobench.cli.exit_codes import say_in_help
from paretobench.core.errors import ParetoBenchError

app = typer.Typer(
    name="paretobench",
    help="Map the throughput–latency frontier of LLM inference on this machine, and find where "
    "to run on it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("sweep")(sweep.sweep)
app.command("simulate")(simulate.simulate)
app.command("report")(report.report)
app.command("verify")(verify.verify)
app.command("compare")(compare.compare)
app.command("emit")(emit.emit)
app.command("limits")(limits.limits)
app.command("doctor")(doctor.doctor)
app.command("validate")(validate.validate)
app.command("schema")(validate.schema)
say_in_help(app)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version.")) -> None:
    if version:
        from paretobench import __version__

        print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        app()
    except ParetoBenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # `paretobench schema | head`
        sys.stderr.close()
        sys.exit(0)
