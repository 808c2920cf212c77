"""`paretobench compare`: has the frontier moved?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretobench.cli import options

if TYPE_CHECKING:
    pass

_EXIT = {"pass": 0, "regression": 1, "inconclusive": 3}


def compare(
    baseline: Annotated[Path | None, typer.Argument(help="Run folder to compare with.")] = None,
    candidate: Annotated[Path | None, typer.Argument(help="Run folder of the change.")] = None,
    allow: Annotated[
        str | None,
        typer.Option(help="What may differ: driver, torch, model, runner, such as torch,model."),
    ] = None,
    run_pairs: Annotated[
        int | None, typer.Option(min=2, help="Measure so many interleaved pairs first.")
    ] = None,
    baseline_cmd: Annotated[
        str | None, typer.Option(help="With --run-pairs: the sweep command of the baseline.")
    ] = None,
    candidate_cmd: Annotated[
        str | None, typer.Option(help="With --run-pairs: the sweep command of the candidate.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="With --run-pairs: the first pair's seed.")] = 0,
    max_loss: Annotated[
        float, typer.Option(help="Regression: the lower bound of the overall loss above it, in %.")
    ] = 1.0,
    single_margin: Annotated[
        float, typer.Option(help="Regression: one configuration shown to lose more, in %.")
    ] = 2.0,
    pass_below: Annotated[
        float, typer.Option(help="Pass: the upper bound of the overall loss below it, in %.")
    ] = 3.0,
    advisory: Annotated[
        float, typer.Option(help="A stored baseline fails only beyond it, in %.")
    ] = 15.0,
    output_dir: Annotated[
        Path | None,
        typer.Option(help="Where compare.png and compare.md go. [default: CANDIDATE/compare]"),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    annotate: Annotated[
        str | None, typer.Option(help="Print annotations for: github.", show_default=False)
    ] = None,
    json_output: options.Json = False,
) -> None:
    """Say whether the frontier moved from BASELINE to CANDIDATE.

    Exit code 0: it did not get worse; 1: regression; 2: bad input; 3: inconclusive; 4: the runs
    are not comparable.
    """
    raise NotImplementedError
