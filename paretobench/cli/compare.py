"""`paretobench compare`: has the frontier moved?"""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretobench.cli import options

if TYPE_CHECKING:
    from paretobench.gate.values import Comparison, Thresholds

_EXIT = {"pass": 0, "regression": 1, "inconclusive": 3}
_PAIRS = Path("results/pairs")


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
        typer.Option(
            help="Where compare.png and compare.md go. [default: CANDIDATE/compare, with "
            "--run-pairs results/pairs]"
        ),
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    annotate: Annotated[
        str | None, typer.Option(help="Print annotations for: github.", show_default=False)
    ] = None,
    json_output: options.Json = False,
) -> None:
    """Say whether the frontier moved from BASELINE to CANDIDATE."""
    thresholds = _thresholds(max_loss, single_margin, pass_below, advisory)
    allowed = _allowed(allow)
    if annotate not in (None, "github"):
        raise typer.BadParameter(f"--annotate takes github, found {annotate!r}")
    if junit is not None:
        _check_folder(junit.parent, "--junit")
    folders, commands = (baseline, candidate), (baseline_cmd, candidate_cmd)
    if run_pairs is None:
        sides = _given(folders, commands)
    else:
        output_dir = output_dir or _PAIRS
        sides = _measured(folders, commands, run_pairs, output_dir, seed)
    from paretobench.gate.compare import compare_runs

    comparison = compare_runs(*sides, allow=allowed, thresholds=thresholds)
    written = _write(comparison, output_dir or sides[1] / "compare", junit)
    _print(comparison, written, as_json=json_output, annotate=annotate is not None)
    raise typer.Exit(_EXIT[comparison.decision.outcome])


def _print(
    comparison: Comparison, written: tuple[Path, ...], *, as_json: bool, annotate: bool
) -> None:
    from paretobench.gate.annotations import github_annotations
    from paretobench.gate.document import comparison_document

    for warning in comparison.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if as_json:
        print(json.dumps(comparison_document(comparison), indent=1, allow_nan=False))
    else:
        _print_tables(comparison, written)
    if annotate:
        for line in github_annotations(comparison):  # GitHub reads them from either stream
            print(line, file=sys.stderr if as_json else sys.stdout)
    _print_next_step(comparison, written)


def _thresholds(
    max_loss: float, single_margin: float, pass_below: float, advisory: float
) -> Thresholds:
    """Return the thresholds as shares; one that is no share of a loss exits 2."""
    from paretobench.gate.values import Thresholds

    for option, percent in (
        ("--max-loss", max_loss),
        ("--single-margin", single_margin),
        ("--pass-below", pass_below),
        ("--advisory", advisory),
    ):
        if not 0 <= percent < math.inf:
            raise typer.BadParameter(f"{option} must be ≥ 0, in percent, found {percent:g}")
    return Thresholds(
        max_loss=max_loss / 100,
        single_margin=single_margin / 100,
        pass_below=pass_below / 100,
        advisory=advisory / 100,
    )


def _allowed(allow: str | None) -> list[str]:
    from paretobench.gate.facts import check_allowed

    names = [name.strip() for name in (allow or "").split(",") if name.strip()]
    wrong = check_allowed(names)
    if wrong is not None:
        raise typer.BadParameter(wrong)
    return names


def _given(
    folders: tuple[Path | None, Path | None], commands: tuple[str | None, str | None]
) -> tuple[Path, Path]:
    """Return the two run folders; what is missing or out of place exits 2."""
    if commands != (None, None):
        raise typer.BadParameter(
            "--baseline-cmd and --candidate-cmd are measured in pairs: give --run-pairs 5 too"
        )
    baseline, candidate = folders
    if baseline is None or candidate is None:
        raise typer.BadParameter(
            "expected the run folders BASELINE and CANDIDATE, or --run-pairs with --baseline-cmd "
            "and --candidate-cmd"
        )
    return baseline, candidate


def _measured(
    folders: tuple[Path | None, Path | None],
    commands: tuple[str | None, str | None],
    num_pairs: int,
    output_dir: Path,
    seed: int,
) -> tuple[Path, Path]:
    """Measure the pairs into `output_dir`; return both sides' folders."""
    from paretobench.cli.compare_pairs import measure_pairs

    if folders != (None, None):
        raise typer.BadParameter(
            f"--run-pairs measures both sides anew, found the run folder {folders[0]} beside it"
        )
    baseline_cmd, candidate_cmd = commands
    if not baseline_cmd or not candidate_cmd:
        raise typer.BadParameter("--run-pairs needs both --baseline-cmd and --candidate-cmd")
    return measure_pairs(
        baseline_cmd, candidate_cmd, num_pairs=num_pairs, output_dir=output_dir, seed=seed
    )


def _write(comparison: Comparison, folder: Path, junit: Path | None) -> tuple[Path, ...]:
    """Write the picture and the Markdown, and what else was asked for; return what was written."""
    from paretobench.gate.junit import junit_xml
    from paretobench.gate.markdown import comparison_markdown
    from paretobench.gate.picture import draw_comparison
    from paretobench.results.atomic import write_atomically

    _check_folder(folder, "--output-dir")
    files = {
        folder / "compare.png": draw_comparison(comparison),
        folder / "compare.md": comparison_markdown(comparison, picture="compare.png").encode(),
        **({} if junit is None else {junit: junit_xml(comparison)}),
    }
    for path, content in files.items():
        write_atomically(path, content)
    summary = os.environ.get("GITHUB_STEP_SUMMARY")
    if summary:
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(comparison_markdown(comparison))  # it cannot show a local picture
        except OSError as error:
            print(f"warning: $GITHUB_STEP_SUMMARY cannot be written ({error})", file=sys.stderr)
    return tuple(files)


def _check_folder(folder: Path, option: str) -> None:
    """Make the folder where it is not there. Raises UserInputError where nothing can be written."""
    from paretobench.core.errors import UserInputError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        refused = None if os.access(folder, os.W_OK) else "permission denied"
    except OSError as error:
        refused = error.strerror or str(error)
    if refused is not None:
        raise UserInputError(
            f"{folder}: expected a folder to write to, found {refused}; give another {option}"
        )


def _print_tables(comparison: Comparison, written: tuple[Path, ...]) -> None:
    from paretobench.cli.tables import print_table
    from paretobench.gate import terminal
    from paretobench.gate.text import thresholds_text

    if comparison.decision.configurations:
        print_table(terminal.losses_table(comparison))
    if comparison.operating_points:
        print_table(terminal.operating_points_table(comparison))
    for line in terminal.finding_lines(comparison):
        print(line)
    for note in comparison.decision.notes:
        print(f"Note: {note}")
    print(f"Wrote {', '.join(map(str, written))}")
    print(thresholds_text(comparison.decision))
    print(terminal.verdict_line(comparison))


def _print_next_step(comparison: Comparison, written: tuple[Path, ...]) -> None:
    from paretobench.gate.next_step import pairs_to_measure, why_no_pairs
    from paretobench.gate.text import limit_text

    decision = comparison.decision
    command = (
        f"paretobench compare --run-pairs {pairs_to_measure(decision)} "
        "--baseline-cmd 'paretobench sweep ...' --candidate-cmd 'paretobench sweep ...'"
    )
    if decision.outcome == "inconclusive":
        stuck = pairs_to_measure(decision) is None
        say = why_no_pairs(decision) if stuck else f"To decide: {command}"
    elif decision.is_advisory and decision.outcome == "pass":
        least = limit_text(decision.thresholds.advisory)
        say = f"A loss below {least} needs pairs to be told from drift: {command}"
    else:
        say = f"See {written[0]}; all figures: {written[1]}"
    print(say, file=sys.stderr)
