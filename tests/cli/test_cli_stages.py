"""The stages of a sweep as a user meets them: the plan, the progress, the way to leave them out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


@pytest.fixture
def staged_file(scenario_file: Path) -> Path:
    text = scenario_file.read_text().replace(", confirm: false", "")
    scenario_file.write_text(text.replace("[0, 5]", "[0]"))
    return scenario_file


def test_the_count_grows_as_the_frontier_is_measured_again(
    run: Run, staged_file: Path, tmp_path: Path
) -> None:
    result = run("simulate", staged_file, "--output-dir", tmp_path / "run")
    assert result.code == 0, result.err
    counts = [(int(n), int(of)) for n, of in re.findall(r"\[(\d+)/(\d+)\]", result.err)]
    trials = json.loads((tmp_path / "run" / "manifest.json").read_text())["trials"]
    assert [n for n, _ in counts] == list(range(1, len(trials) + 1))
    assert counts[3] == (4, 4)
    assert counts[4][1] > 4
    assert counts[-1] == (len(trials), len(trials))


def test_no_confirm_leaves_the_second_measurement_out(
    run: Run, staged_file: Path, tmp_path: Path
) -> None:
    result = run("simulate", staged_file, "--no-confirm", "--output-dir", tmp_path / "run")
    assert result.code == 0, result.err
    assert len(json.loads((tmp_path / "run" / "manifest.json").read_text())["trials"]) == 4


def test_the_plan_says_what_follows(run: Run, staged_file: Path) -> None:
    plan = json.loads(run("sweep", staged_file, "--dry-run", "--json").out)
    assert len(plan["trials"]) == 4
    assert 0 < plan["confirm"]["trials"] <= 4
    planned_s = sum(trial["estimated_s"] for trial in plan["trials"])
    assert plan["estimated_s"] == pytest.approx(planned_s + plan["confirm"]["estimated_s"])
    assert plan["at_most_s"] is None
    said = run("sweep", staged_file, "--dry-run").out
    assert "Then the frontier again with fresh seeds: about" in said
    text = staged_file.read_text().replace(
        "requests: 20", "requests: 20, precision: {p95_e2e: 0.1}"
    )
    staged_file.write_text(text)
    plan = json.loads(run("sweep", staged_file, "--dry-run", "--json", "--no-confirm").out)
    assert plan["confirm"] == {"trials": 0, "estimated_s": 0.0}
    assert plan["at_most_s"] == pytest.approx(10 * plan["estimated_s"])
