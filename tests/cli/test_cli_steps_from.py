"""`paretobench simulate --steps-from`: step times taken over from a run, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from paretobench.core.points import Point
from paretobench.core.values import Trial
from paretobench.report import write_report
from paretobench.scenario import scenario_from_mapping
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.run import Sweep
from paretobench.targets.serve import step_times
from paretobench.targets.simulated import SimulatedTarget

Run = Callable[..., Any]

# bursts of different sizes, so that prompts and rows vary
MEASURED = """
name: measured
runner:
  kind: latency_model
  prefill: {base_ms: 2, per_sequence_ms: 0.1, per_token_ms: 0.02}
  decode: {base_ms: 4, per_sequence_ms: 0.3, per_kv_token_ms: 0.001}
workload:
  prompt_tokens: {kind: uniform, low: 4, high: 64}
  output_tokens: {kind: uniform, low: 2, high: 16}
batching: {max_batch_size: [1, 4, 8]}
load: [{kind: closed_loop}, {kind: poisson, fraction_of_capacity: [0.3, 0.7]}]
measure: {requests: 60, confirm: false}
"""
MODEL = """
name: chat
model: {preset: nano}
workload: {prompt_tokens: {kind: fixed, value: 16}, output_tokens: {kind: uniform, low: 2, high: 6}}
batching: {max_batch_size: [1, 4], max_waiting_time_ms: [0, 5]}
load: [{kind: closed_loop}, {kind: poisson, fraction_of_capacity: 0.5}]
measure: {requests: 20, confirm: false}
"""


class Silent:
    def pilot_started(self) -> None: ...

    def trial_started(self, trial: Trial) -> None: ...

    def trial_done(self, trial: Trial, point: Point, duration_s: float) -> None: ...


def sweep_into(folder: Path, text: str) -> None:
    scenario = scenario_from_mapping(yaml.safe_load(text))
    assert scenario.runner is not None
    target = SimulatedTarget(step_times(scenario.runner))
    Sweep(scenario, plan_trials(scenario), target, Silent()).run(folder, resume=False)


@pytest.fixture(scope="module")
def any_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    sweep_into(folder, MEASURED)
    return folder


@pytest.fixture
def measured_run(any_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "measured.yaml").write_text(MEASURED)
    (tmp_path / "chat.yaml").write_text(MODEL)
    return Path(shutil.copytree(any_run, tmp_path / "run"))


def test_a_model_scenario_is_simulated_with_the_step_times_of_a_run(
    run: Run, measured_run: Path, tmp_path: Path
) -> None:
    result = run("simulate", "chat.yaml", "--steps-from", measured_run)
    assert result.code == 0, result.err
    assert "step times in ms, fitted to" in result.err
    folder = tmp_path / "results" / "chat-simulated"
    system = json.loads((folder / "manifest.json").read_text())["provenance"]["system"]
    assert (system["kind"], system["simulated"]) == ("latency_model", True)
    assert system["fitted_from"] == "measured"
    assert len(system["fitted_from_hash"]) == 12
    found = {name: system["step_fit"][name] for name in system["step_fit"] if name[-3:] == "_ms"}
    assert found.pop("decode_by_batch_size_ms") is None
    assert found == pytest.approx(
        {
            "prefill_base_ms": 2.0,
            "prefill_per_sequence_ms": 0.1,
            "prefill_per_token_ms": 0.02,
            "decode_base_ms": 4.0,
            "decode_per_sequence_ms": 0.3,
            "decode_per_kv_token_ms": 0.001,
            "mixed_saving_ms": 0.0,
            "between_steps_ms": 0.0,
        },
        rel=1e-6,
        abs=1e-9,
    )
    report = (folder / "report.md").read_text()
    assert "(simulated)" in report
    assert "fitted to the run 'measured'" in report
    assert "paretobench simulate scenario.yaml --steps-from measured" in report


def test_the_run_simulated_again_from_its_own_steps_has_the_same_figures(
    run: Run, measured_run: Path, tmp_path: Path
) -> None:
    import pandas as pd

    again = run(
        "simulate", "measured.yaml", "--steps-from", measured_run, "--output-dir", tmp_path / "two"
    )
    assert again.code == 0, again.err
    write_report(measured_run)
    one, two = (pd.read_csv(path / "points.csv") for path in (measured_run, tmp_path / "two"))
    for metric in ("output_tokens_per_s", "p95_e2e_ms", "mean_ttft_ms", "mean_tpot_ms"):
        assert list(two[metric]) == pytest.approx(list(one[metric]), rel=1e-6)


def test_what_the_run_did_not_see_is_said_to_be_extrapolated(
    run: Run, measured_run: Path, tmp_path: Path
) -> None:
    text = MODEL.replace("[1, 4]", "[16]").replace("value: 16", "value: 1000")
    (tmp_path / "chat.yaml").write_text(text)
    result = run("simulate", "chat.yaml", "--steps-from", measured_run)
    assert "extrapolated: batch size up to 16, fitted up to 8" in result.err
    assert "extrapolated: prompts of up to 1000 tokens" in result.err
    assert "is not a run of this scenario's model" in result.err


def test_a_simulation_resumes_only_with_the_same_steps(
    run: Run, measured_run: Path, tmp_path: Path
) -> None:
    command = ("simulate", "chat.yaml", "--output-dir", tmp_path / "out")
    assert run(*command, "--steps-from", measured_run).code == 0
    assert run(*command, "--steps-from", measured_run, "--resume").code == 0
    other = Path(shutil.copytree(measured_run, tmp_path / "other"))
    shutil.rmtree(min((other / "trials").iterdir()))
    refused = run(*command, "--steps-from", other, "--resume")
    assert refused.code == 4
    assert "began with fitted_from_hash" in refused.err


def remove_the_run(run: Path) -> None:
    shutil.rmtree(run)


def remove_raw_files(run: Path) -> None:
    shutil.rmtree(run / "trials")


def cut_off_a_step_file(run: Path) -> None:
    path = min((run / "trials").iterdir()) / "steps.parquet"
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (remove_the_run, "expected a run folder with a manifest.json, found none"),
        (remove_raw_files, "expected raw step files under trials/, found none"),
        (cut_off_a_step_file, "expected a raw file of a trial, found"),
    ],
)
def test_a_run_that_cannot_be_fitted_to_exits_2_with_one_message_and_writes_nothing(
    run: Run, measured_run: Path, tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(measured_run)
    result = run("simulate", "chat.yaml", "--steps-from", measured_run)
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
    assert not (tmp_path / "results").exists()


def test_a_run_without_decode_steps_exits_2(run: Run, tmp_path: Path, measured_run: Path) -> None:
    text = MEASURED.replace("{kind: uniform, low: 2, high: 16}", "{kind: fixed, value: 1}")
    sweep_into(tmp_path / "prompts", text)
    result = run("simulate", "chat.yaml", "--steps-from", tmp_path / "prompts")
    assert result.code == 2
    assert "expected steps that decode, found none in 9 trials" in result.err
    assert result.err.count("\n") == 1
