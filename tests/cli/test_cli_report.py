"""`paretobench report` of several runs: what is written, the exit code, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paretobench import SCHEMA_VERSION

Run = Callable[..., Any]


@pytest.fixture
def two(run: Run, scenario_file: Path, tmp_path: Path) -> list[Path]:
    """Two small runs of equal figures: the second is asked for an SLA that it cannot meet."""
    text = scenario_file.read_text().replace("[1, 4]", "4").replace("[0, 5]", "0")
    text = text.replace("name: small", "name: meets").replace(", {kind: poisson", "]  # {")
    scenario_file.write_text(text)
    meets, misses = tmp_path / "meets", tmp_path / "misses"
    assert run("simulate", scenario_file, "--output-dir", meets).code == 0
    shutil.copytree(meets, misses)
    manifest = json.loads((misses / "manifest.json").read_text()) | {"name": "misses"}
    manifest["scenario"]["operating_points"]["chat"]["subject_to"] = {"p95_e2e_ms": 0.5}
    (misses / "manifest.json").write_text(json.dumps(manifest))
    return [meets, misses]


def test_several_runs_are_reported_each_and_over_one_another(run: Run, two: list[Path]) -> None:
    for folder in two:
        (folder / "frontier.svg").unlink()
    result = run("report", *two, "--json")
    assert result.code == 1  # of 0 and 1 the worse
    assert "misses:\nNo configuration meets: chat" in result.err
    document = json.loads(result.out)
    assert [found["run"] for found in document["runs"]] == ["meets", "misses"]
    overlay = Path("results/meets_and_misses")
    assert {path.name for path in overlay.iterdir()} == set(document["files"])
    assert all((folder / "frontier.svg").is_file() for folder in two)


def test_what_is_wrong_with_one_run_is_found_before_anything_is_written(
    run: Run, tmp_path: Path
) -> None:
    good, none, over = (tmp_path / name for name in ("good", "none", "over"))
    good.mkdir()
    manifest = {"schema_version": SCHEMA_VERSION, "name": "good", "state": "complete", "trials": []}
    (good / "manifest.json").write_text(json.dumps(manifest))
    result = run("report", good, none, "--output-dir", over)
    assert result.code == 2
    assert f"{none}: expected a run folder" in result.err
    assert [path.name for path in tmp_path.rglob("*")] == ["good", "manifest.json"]


def test_where_the_overlay_cannot_be_made_no_run_is_written_either(
    run: Run, tmp_path: Path
) -> None:
    manifest = {"schema_version": SCHEMA_VERSION, "state": "complete", "trials": []}
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(json.dumps(manifest))
    (tmp_path / "over").symlink_to(tmp_path / "nowhere")  # which only the attempt tells
    result = run("report", tmp_path / "a", tmp_path / "b", "--output-dir", tmp_path / "over")
    assert result.code == 2
    assert "over: cannot be made" in result.err
    assert sorted(path.name for path in tmp_path.glob("?/*")) == ["manifest.json"] * 2


@pytest.mark.parametrize("option", ["--name", "--output-dir"])
def test_what_is_about_an_overlay_is_refused_with_one_run(
    run: Run, tmp_path: Path, option: str
) -> None:
    result = run("report", tmp_path / "none", option, "x")
    assert result.code == 2
    assert f"{option} is about the overlay of several runs" in result.err
