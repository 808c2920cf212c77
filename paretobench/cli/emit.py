"""`paretobench emit`: an operating point as the settings of the server it will run on."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

_FORMATS = ("triton", "vllm", "torchserve", "ray-serve", "bentoml", "yaml")


def emit(
    run: Annotated[Path, typer.Argument(help="Run folder.", show_default=False)],
    point: Annotated[str, typer.Option(help="Operating point, such as chat.", show_default=False)],
    format_name: Annotated[
        str,
        typer.Option(
            "--format", help=f"Whose settings: {', '.join(_FORMATS)}.", show_default=False
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write; where each class has a server, one a class: chat.FILE. "
            "[default: stdout]"
        ),
    ] = None,
) -> None:
    """Print the settings that deploy an operating point on a server, and what they cannot say."""
    from paretobench.cli.outcome import warn_damaged
    from paretobench.core.naming import suggestion
    from paretobench.report.exporters import EXPORTERS, exported, find_deployment
    from paretobench.report.model import assemble
    from paretobench.results.reader import open_run

    if format_name not in EXPORTERS:
        raise typer.BadParameter(
            f"--format must be one of {', '.join(EXPORTERS)}, found {format_name!r}"
            f"{suggestion(format_name, EXPORTERS)}"
        )
    report = assemble(open_run(run))
    warn_damaged(report)
    documents = exported(find_deployment(report, point), format_name)
    if output is None:
        print(_on_one_stream(documents, format_name), end="")
    else:
        _write(documents, output)


def _on_one_stream(documents: dict[str | None, str], format_name: str) -> str:
    # YAML has a mark between documents; Triton's text format has none
    mark = "# ---\n" if format_name == "triton" else "---\n"
    return mark.join(documents.values())


def _write(documents: dict[str | None, str], output: Path) -> None:
    from paretobench.core.errors import UserInputError
    from paretobench.results.atomic import write_atomically

    if not output.parent.is_dir():
        raise UserInputError(f"{output}: --output must lie in a folder that exists; make it first")
    for class_name, text in documents.items():
        file = output if class_name is None else output.with_name(f"{class_name}.{output.name}")
        write_atomically(file, text.encode("utf-8"))
        print(f"Wrote {file}.", file=sys.stderr)
