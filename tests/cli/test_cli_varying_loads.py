"""Loads whose rate varies, from the command line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
SCENARIO = """
name: waves
runner: {kind: latency_model, prefill: {base_ms: 10}, decode: {base_ms: 10, per_sequence_ms: 0.5}}
workload: {prompt_tokens: {kind: fixed, value: 8}, output_tokens: {kind: uniform, low: 2, high: 6}}
batching: {max_batch_size: [1, 8]}
load:
  - kind: steps
    fraction_of_capacity: [0.5, 0.7]
    phases:
      - {duration_s: 5, factor: 0.3}
      - {duration_s: 5, factor: 1.2}
      - {duration_s: 5, factor: 0.3}
  - {kind: sine, fraction_of_capacity: 0.5, amplitude: 0.8, period_s: 10}
  - {kind: burst, fraction_of_capacity: 0.4, factor: 3, burst_s: 2, period_s: 10}
measure: {requests: 20, confirm: false}
"""


@pytest.fixture
def waves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "waves.yaml"
    path.write_text(SCENARIO)
    return path


def test_loads_that_vary_are_simulated_and_reported(run: Run, waves: Path, tmp_path: Path) -> None:
    result = run("simulate", waves)
    assert result.code == 0, result.err
    folder = tmp_path / "results" / "waves-simulated"
    with (folder / "points.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict"] for row in rows if row["max_batch_size"] == "8"] == ["valid"] * 4
    # batch 1 has a fraction of batch 8's capacity: the rate of the pilot overloads it
    assert {row["verdict"] for row in rows if row["max_batch_size"] == "1"} == {"overloaded"}
    assert {row["load_kind"] for row in rows} == {"steps", "sine", "burst"}
    cycles = {"steps": 15, "sine": 10, "burst": 10}
    assert all(float(row["window_s"]) >= cycles[row["load_kind"]] for row in rows)
    report = (folder / "report.md").read_text(encoding="utf-8")
    assert "steps 0.3→1.2→0.3 ×5 s, 70% of capacity" in report


def test_the_schema_knows_the_kinds(run: Run) -> None:
    schema = json.loads(run("schema").out)
    assert {"StepsLoad", "SineLoad", "BurstLoad"} <= set(schema["$defs"])
    assert schema["$defs"]["StepsLoad"]["properties"]["phases"]["minItems"] == 2


def test_a_cycle_longer_than_the_time_limit_exits_2(run: Run, waves: Path) -> None:
    waves.write_text(SCENARIO.replace("requests: 20", "requests: 20, timeout_s: 15"))
    result = run("validate", waves)
    assert result.code == 2
    assert len(result.err.strip().splitlines()) == 1
    assert "measure.timeout_s must be longer" in result.err
    assert "15 s of steps" in result.err
