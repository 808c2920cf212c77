"""Every command and option as Markdown tables, from the Typer application alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import typer
from cells import code_cell

# what Typer puts behind an option's help: [default: 4.0; x>=1], [required]; our own [default: none]
_BEHIND = re.compile(r"\s*\[((?:default: |required|\d*<?=?x[<>])[^\[\]]*)\]$")


class Row(NamedTuple):
    """One option or argument, as `--help` says it."""

    name: str
    help: str
    default: str
    bounds: str


def cli_reference(app: typer.Typer, exit_codes: Mapping[str, Mapping[int, str]]) -> str:
    """Return a section a command, in the order in which `--help` lists them."""
    root: Any = typer.main.get_command(app)
    sections = [_options(rows_of(root, "paretobench"))]
    for name, command in root.commands.items():
        sections.append(_section(name, command, exit_codes[name]))
    return "\n\n".join(sections)


def rows_of(command: Any, name: str) -> list[Row]:
    """Return the arguments and options of a command, those of `--help` itself left out."""
    context = command.context_class(command, info_name=name)
    records = (p.get_help_record(context) for p in command.get_params(context))
    return [row_of(*record) for record in records if record and record[0] != "--help"]


def row_of(name: str, help_text: str) -> Row:
    """Take apart what `--help` says of one option.

    >>> row_of("--factor <float range>", "So many times.  [default: 4.0; x>=1]")
    Row(name='--factor <float range>', help='So many times.', default='4.0', bounds='≥ 1')
    >>> row_of("--output <path>", "File to write. [default: stdout]").default
    'stdout'
    """
    default = bounds = ""
    while found := _BEHIND.search(help_text):
        help_text = help_text[: found.start()]
        for part in re.split(r"; (?=x|\d|default|required)", found[1]):
            if part == "required":
                default = part
            elif part.startswith("default: "):
                default = part.removeprefix("default: ")
            else:
                bounds = _bounds(part)
    return Row(name, help_text.strip(), default, bounds)


def _bounds(told: str) -> str:
    """Return limits as the scenario's reference writes them.

    >>> _bounds("x>=1"), _bounds("0<=x<=1")
    ('≥ 1', '0 ≤ x ≤ 1')
    """
    told = re.sub(r"\s*(>=|<=|>|<)\s*", r" \1 ", told).replace(">=", "≥").replace("<=", "≤")
    return told.removeprefix("x ")


def _section(name: str, command: Any, codes: Mapping[int, str]) -> str:
    context = command.context_class(command, info_name=f"paretobench {name}")
    usage = command.get_usage(context).removeprefix("Usage: ")
    lines = [f"## `{name}` {{#{name}}}", "", " ".join((command.help or "").split()), ""]
    lines += [f"    {' '.join(usage.split())}", ""]
    rows = rows_of(command, f"paretobench {name}")
    if rows:
        lines += [_options(rows), ""]
    lines += ["| exit code | meaning |", "| ---: | --- |"]
    lines += [f"| {code} | {meaning} |" for code, meaning in codes.items()]
    return "\n".join(lines)


def _options(rows: list[Row]) -> str:
    lines = ["| option | what | default | bounds |", "| --- | --- | --- | --- |"]
    for row in rows:
        default = "required" if row.default == "required" else row.default and f"`{row.default}`"
        name = code_cell(row.name)
        lines.append(f"| {name} | {_text(row.help)} | {default or '—'} | {row.bounds or '—'} |")
    return "\n".join(lines)


def _text(told: str) -> str:
    return told.replace("|", "\\|").replace("<", "&lt;")
