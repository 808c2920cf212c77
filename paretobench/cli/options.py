"""Options that several commands share, and lists written as `1,2,4`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

N = TypeVar("N", int, float)

ScenarioFile = Annotated[Path, typer.Argument(help="Scenario file (YAML).", show_default=False)]
OptionalScenarioFile = Annotated[
    Path | None,
    typer.Argument(help="Scenario file (YAML); with --like it may be left out: the run's own."),
]
Like = Annotated[
    Path | None,
    typer.Option(
        help="Run folder to replay: its trials, loads and schedules; with --seed fresh schedules.",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(help="Preset, checkpoint folder or hub id, in place of the scenario's model."),
]
Dtype = Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")]
MaxBatchSize = Annotated[str | None, typer.Option(help="Batch sizes to sweep, such as 1,4,16.")]
MaxWaitingTime = Annotated[
    str | None,
    typer.Option("--max-waiting-time-ms", help="Wait timeouts to sweep in ms, such as 0,50."),
]
RequestRate = Annotated[
    str | None, typer.Option(help="Poisson arrivals in requests/s, in place of the loads.")
]
Concurrency = Annotated[
    str | None, typer.Option(help="Closed-loop clients, in place of the scenario's loads.")
]
Trace = Annotated[Path | None, typer.Option(help="Trace file, in place of the scenario's.")]
Repeats = Annotated[int | None, typer.Option(min=1, help="Blocks to measure.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed of schedules, prompts and order.")]
NoConfirm = Annotated[
    bool,
    typer.Option("--no-confirm", help="Do not measure the frontier again with fresh seeds."),
]
OutputDir = Annotated[
    Path | None, typer.Option(help="Run folder to write. [default: results/<name>]")
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with an interrupted run: measure what is missing.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]


def check_device(device: str) -> None:
    """Exit 2 unless `device` is one that can be named."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise typer.BadParameter(f"--device must be auto, cpu, cuda or cuda:N, found {device!r}")


def check_seconds(seconds: float) -> None:
    """Exit 2 unless `seconds` is a time that can be spent."""
    if not 0 < seconds < float("inf"):
        raise typer.BadParameter(f"--seconds must be > 0, found {seconds:g}")


def integers(text: str | None, option: str) -> list[int] | None:
    """Return the whole numbers of a list such as `1,2,4`; None for None. A bad one exits 2."""
    return _numbers(text, option, int, "whole numbers such as 1,2,4")


def numbers(text: str | None, option: str) -> list[float] | None:
    """Return the numbers of a list such as `0,0.5`; None for None. A bad one exits 2."""
    return _numbers(text, option, float, "numbers such as 0,50")


def _numbers(
    text: str | None, option: str, convert: Callable[[str], N], expected: str
) -> list[N] | None:
    if text is None:
        return None
    try:
        return [convert(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{option} must be {expected}, found {text!r}") from None
