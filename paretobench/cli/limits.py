"""`paretobench limits`: what this device can do at most, and what that leaves a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretobench.cli import options

if TYPE_CHECKING:
    from paretobench.cli.limits_run import MeasuredRun
    from paretobench.core.ceilings import Ceilings

_DTYPES = ("auto", "float32", "bfloat16", "float16")
_QUANTIZATIONS = ("int8", "fp8")

Models = Annotated[
    list[str] | None, typer.Option(help="Preset or checkpoint folder to count; may be repeated.")
]


def limits(
    device: Annotated[
        str | None,
        typer.Option(help="auto, cpu, cuda or cuda:N. [default: auto; with --run, the run's]"),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time to spend on measuring, in s.")] = 20.0,
    model: Models = None,
    dtype: Annotated[
        str, typer.Option(help="Precision of --model: auto, float32, bfloat16 or float16.")
    ] = "auto",
    quantization: Annotated[
        str | None,
        typer.Option(help="Precision of --model's weights: int8 or fp8. [default: none]"),
    ] = None,
    max_batch_size: Annotated[
        str, typer.Option(help="Batch sizes of --model, such as 1,4,16.")
    ] = "1,4,16,64",
    context: Annotated[
        int, typer.Option(min=1, help="Tokens of a decode row's context, and of the prompt.")
    ] = 1024,
    output_tokens: Annotated[
        int | None,
        typer.Option(min=1, help="Length of answers to prompts of --context: their best, too."),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Run folder: hold its measured steps against the limits.")
    ] = None,
    output_dir: Annotated[
        Path | None, typer.Option(help="Folder for limits.json and limits.csv. [default: none]")
    ] = None,
    json_output: options.Json = False,
) -> None:
    """Measure how fast this device reads and multiplies, and count what that allows a model."""
    from paretobench.cli import limits_model, limits_output, limits_run

    _check(device, seconds, dtype, quantization)
    sizes = limits_model.batch_sizes(max_batch_size)
    longest = context + (output_tokens or 1) - 1
    configs = {name: limits_model.read_config(name, longest) for name in model or ()}
    measured = None if run is None else limits_run.open_measured_run(run)
    if output_dir is not None:
        limits_output.make_folder(output_dir)
    ceilings = _measure(device, seconds, measured)
    models = [
        limits_model.limits_of(
            name,
            config,
            ceilings,
            dtype=dtype,
            quantization=quantization,
            batch_sizes=sizes,
            context=context,
            output_tokens=output_tokens,
        )
        for name, config in configs.items()
    ]
    steps = None if measured is None else limits_run.hold_against(measured, ceilings)
    found = limits_output.Found(ceilings=ceilings, models=models, steps=steps)
    limits_output.warn(found)
    if output_dir is not None:
        limits_output.write(output_dir, found)
    limits_output.show(found, output_dir, json=json_output)


def _check(device: str | None, seconds: float, dtype: str, quantization: str | None) -> None:
    if device is not None:
        options.check_device(device)
    options.check_seconds(seconds)
    if dtype not in _DTYPES:
        raise typer.BadParameter(f"--dtype must be one of {', '.join(_DTYPES)}, found {dtype!r}")
    if quantization is not None and quantization not in _QUANTIZATIONS:
        raise typer.BadParameter(f"--quantization must be int8 or fp8, found {quantization!r}")


def _measure(device: str | None, seconds: float, measured: MeasuredRun | None) -> Ceilings:
    """Return the ceilings; one line on stderr for each as it is measured.

    With a run, threads and waiting are set as they were for it, and another device is refused
    before anything is measured.
    """
    from paretobench.cli.limits_output import ceiling_line
    from paretobench.core.ceilings import Ceilings
    from paretobench.core.errors import IncompleteError
    from paretobench.scenario.systems import Model
    from paretobench.targets.limits import DeviceBench

    # of the settings, only device and threads count here: any preset does
    settings = Model(preset="nano") if measured is None else measured.model
    if device is not None:
        settings = settings.model_copy(update={"device": device})
    with DeviceBench(settings) as bench:
        if measured is not None:
            measured.require_same_device(bench.system)
        print(f"measuring this device for about {seconds:g} s", file=sys.stderr, flush=True)
        rows = []
        for case in bench.cases:
            rows.append(bench.measure(case, seconds / len(bench.cases)))
            print(ceiling_line(rows[-1]), file=sys.stderr, flush=True)
    if all(row.per_s is None for row in rows):
        raise IncompleteError(f"nothing could be measured: {rows[0].note}")
    return Ceilings(system=bench.system, rows=tuple(rows))
