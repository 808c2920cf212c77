"""Several systems in one scenario, as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Run = Callable[..., Any]


@pytest.fixture
def two_runners(scenario_file: Path) -> Path:
    data = yaml.safe_load(scenario_file.read_text())
    faster = {"kind": "latency_model", "prefill": {"base_ms": 1}, "decode": {"base_ms": 0.5}}
    data["runner"] = [{**data["runner"], "name": "slow"}, {**faster, "name": "fast"}]
    scenario_file.write_text(yaml.safe_dump(data))
    return scenario_file


@pytest.mark.parametrize("command", ["simulate", "sweep"])
def test_two_systems_give_two_curves_and_one_answer(
    run: Run, two_runners: Path, command: str
) -> None:
    result = run(command, two_runners, "--json", "--output-dir", "out")
    assert result.code == 0, result.err
    document = json.loads(result.out)
    assert {row["variant"] for row in document["frontier"]} == {"slow", "fast"}
    assert document["operating_points"]["chat"]["variant"] == "fast"
    (shift,) = document["shifts"]
    assert (shift["variant"], shift["baseline"]) == ("fast", "slow")


def test_the_plan_names_the_variant_of_each_trial(run: Run, two_runners: Path) -> None:
    result = run("sweep", two_runners, "--dry-run")
    assert result.out.count(" slow ") == result.out.count(" fast ") == 8


def test_a_variant_that_this_machine_cannot_run_is_refused_before_anything_is_measured(
    run: Run, scenario_file: Path, tmp_path: Path
) -> None:
    data = yaml.safe_load(scenario_file.read_text())
    del data["runner"]
    data["model"] = {"preset": "nano", "device": "cpu", "quantization": [None, "fp8"]}
    scenario_file.write_text(yaml.safe_dump(data))
    result = run("sweep", scenario_file, "--output-dir", tmp_path / "out")
    assert result.code == 2
    assert "variant fp8: model.quantization: fp8 needs an NVIDIA GPU" in result.err
    assert not (tmp_path / "out").exists()


def test_limits_of_a_run_of_several_systems_are_refused(
    run: Run, two_runners: Path, tmp_path: Path
) -> None:
    run("simulate", two_runners, "--output-dir", tmp_path / "out")
    result = run("limits", "--run", tmp_path / "out")
    assert result.code == 2
    assert "expected the run of one model, found one of several variants" in result.err
