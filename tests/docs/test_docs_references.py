"""The references leave nothing out: keys of the schema, options of the program, metrics, links."""

from __future__ import annotations

import doctest
import html
import re
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import cells
import cli_reference as cli_reference_module
import commands
import links
import pytest
import scenario_reference as scenario_reference_module
import typer
from cli_reference import cli_reference, rows_of
from links import files_outside
from pydantic import Field
from scenario_reference import keys_of, scenario_reference, unit_of
from typer.main import get_command

from paretobench.cli import app
from paretobench.cli.exit_codes import EXIT_CODES
from paretobench.core.metrics import METRICS
from paretobench.scenario import Scenario
from paretobench.scenario.fields import StrictModel

ROOT = Path(__file__).parents[2]
SCHEMA = Scenario.model_json_schema()
NO_UNIT = re.compile(  # numbers that are shares, factors, seeds, or of a unit named elsewhere
    r"seed|share|fraction|factor|percentile|margin|amplitude|burstiness|speedup|cv|recent|priority|"
    r"high|low|latency_cap|subject_to|throughput|(mean|p\d\d)_(e2e|ttft|tpot)"
)


@pytest.mark.parametrize(
    "module", [cells, cli_reference_module, commands, links, scenario_reference_module]
)
def test_the_generators_do_what_their_examples_say(module: ModuleType) -> None:
    assert doctest.testmod(module).failed == 0


def sections(reference: str) -> dict[str, list[list[str]]]:
    """Return the rows of each section's tables, by its anchor; cells without their padding."""
    found: dict[str, list[list[str]]] = {}
    for section in re.split(r"^## ", reference, flags=re.MULTILINE)[1:]:
        anchor = re.search(r"\{#(.+?)\}", section)
        assert anchor
        rows = [line for line in section.splitlines() if line.startswith("| `")]
        found[anchor[1]] = [re.split(r"(?<!\\)\|", row)[1:-1] for row in rows]
    return found


def test_every_key_of_the_schema_has_a_row_with_its_meaning() -> None:
    tables = sections(scenario_reference(SCHEMA))
    rows = {(name, row[0].strip(" `")): row for name, table in tables.items() for row in table}
    assert rows.keys() == {(name.lower(), key) for name, key in keys_of(SCHEMA)}
    assert {key for key, row in rows.items() if not row[1].strip()} == set()


def test_every_number_of_the_schema_has_a_unit_or_is_known_to_have_none() -> None:
    definitions = {"Scenario": SCHEMA, **SCHEMA["$defs"]}
    without = {
        f"{name}.{key}"
        for name, part in definitions.items()
        for key, value in part["properties"].items()
        if re.search(r"'type': '(integer|number)'", str(value)) and not unit_of(name, key, value)
    }
    assert {key for key in without if not NO_UNIT.search(key)} == set()


def test_a_key_is_told_with_type_default_bounds_and_unit() -> None:
    class Late(StrictModel):
        """What comes late."""

        delay_ms: float | None = None
        """How late."""
        device: Annotated[str, Field(pattern="^(cpu|cuda)$")]
        """Where."""

    rows = sections(scenario_reference({**Late.model_json_schema(), "$defs": {}}))["scenario"]
    late, where = ([html.unescape(cell.strip()) for cell in row] for row in rows)
    assert late == ["`delay_ms`", "How late.", "number", "—", "—", "ms"]
    matches = "matches <code>^(cpu|cuda)$</code>"
    assert where == ["`device`", "Where.", "text", "required", matches, "—"]


def test_every_command_and_option_has_a_row_and_every_command_its_exit_codes() -> None:
    text = cli_reference(app, EXIT_CODES)
    root: Any = get_command(app)
    tables = sections(text)
    assert tables.keys() == root.commands.keys()
    for name, command in root.commands.items():
        told = {row[0].strip(" `").split(" ")[0] for row in tables[name]}
        expected = {
            (p.metavar or p.name) if p.param_type_name == "argument" else p.opts[0]
            for p in command.params
        }
        assert expected - {"--help"} <= told, name
        for code, meaning in EXIT_CODES[name].items():
            assert f"| {code} | {meaning} |" in text


def test_a_new_command_appears_by_itself() -> None:
    new = typer.Typer(add_completion=False)

    @new.command("one")
    def one() -> None: ...

    @new.command("measure")
    def measure(
        size: Annotated[int, typer.Option(min=1, help="Rows | columns.")] = 4,
    ) -> None:
        """Measure something."""

    rows = rows_of(get_command(new).commands["measure"], "measure")  # type: ignore[attr-defined]
    assert [(r.name.split(" ")[0], r.help, r.default, r.bounds) for r in rows] == [
        ("--size", "Rows | columns.", "4", "≥ 1")
    ]
    assert "Measure something." in cli_reference(new, {"one": {}, "measure": {0: "done"}})


def glossary() -> dict[str, list[str]]:
    """Return the row of each metric in docs/metrics.md; `{mean,p50}_x` stands for several."""
    found: dict[str, list[str]] = {}
    for line in (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").splitlines():
        name = re.match(r"\| `(?:\{([a-z0-9,]+)\})?([a-z0-9_]+)` \|", line)
        if name:
            cells = [cell.strip() for cell in line.split("|")[1:-1]]
            for statistic in (name[1] or "").split(","):
                assert statistic + name[2] not in found, f"{statistic + name[2]} stands twice"
                found[statistic + name[2]] = cells
    return found


def test_every_metric_stands_once_in_the_glossary_with_its_formula() -> None:
    rows = glossary()
    assert rows.keys() == METRICS.keys()
    assert [name for name, row in rows.items() if len(row) != 5 or not (row[1] and row[4])] == []


@pytest.mark.parametrize("name", METRICS)
def test_the_glossary_has_the_unit_and_direction_of_a_metric(name: str) -> None:
    metric = METRICS[name]
    row = glossary()[name]
    assert (row[2], row[3]) == (metric.unit, metric.better or "—")


def test_a_page_brings_the_files_that_it_links_and_those_that_they_link(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "results").mkdir()
    (tmp_path / "docs" / "a.md").write_text("[r](../results/r.md) `[x](../no.md)` [b](b.md)")
    (tmp_path / "results" / "r.md").write_text(
        "![p](p.png)\n```\n[q](q.png)\n```\n[a](../docs/a.md)"
    )
    for name in ("results/p.png", "results/q.png", "no.md"):
        (tmp_path / name).touch()
    assert set(files_outside(tmp_path, ["docs/a.md"])) == {"results/r.md", "results/p.png"}
