"""`paretobench verify`: holds, does not hold, cannot be said; and what it leaves alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paretobench.scenario.loader import scenario_from_mapping
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.run import Sweep
from paretobench.targets.simulated import simulated_target

Run = Callable[..., Any]


SCENARIO: dict[str, Any] = {
    "name": "small",
    "runner": {
        "kind": "latency_model",
        "prefill": {"base_ms": 1},
        "decode": {"base_ms": 1, "per_sequence_ms": 0.05},
    },
    "workload": {
        "prompt_tokens": {"kind": "fixed", "value": 8},
        "output_tokens": {"kind": "uniform", "low": 2, "high": 6},
    },
    "batching": {"max_batch_size": [1, 4], "max_waiting_time_ms": [0, 5]},
    "load": {"kind": "poisson", "fraction_of_capacity": 0.5},
    "measure": {"requests": 300, "warmup": "quick", "confirm": False},
    "operating_points": {
        "chat": {"maximize": "output_tokens_per_s", "subject_to": {"p95_e2e_ms": 60}},
        "none": {"minimize": "p95_e2e_ms", "subject_to": {"p95_e2e_ms": 0.1}},
    },
}


class Quiet:
    def pilot_started(self) -> None: ...

    def trial_started(self, trial: object) -> None: ...

    def trial_done(self, trial: object, point: object, duration_s: float) -> None: ...


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a simulated run at half the capacity, with a goal that it meets; no report."""
    scenario = scenario_from_mapping(SCENARIO)
    folder = tmp_path_factory.mktemp("runs") / "run"
    target = simulated_target(scenario)
    Sweep(scenario, plan_trials(scenario), target, Quiet()).run(folder, resume=False)
    return folder


@pytest.fixture
def measured(simulated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(simulated, tmp_path / "run"))


def edit(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def trials_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in folder.glob("trials/*/summary.json")]


def test_a_point_that_holds_exits_0_and_the_run_stays_as_it_was(run: Run, measured: Path) -> None:
    before = {path: path.read_bytes() for path in measured.rglob("*") if path.is_file()}
    result = run("verify", measured, "--point", "chat")
    assert result.code == 0, result.out + result.err
    assert "chat holds: certified" in result.out
    assert {path: path.read_bytes() for path in before} == before
    again = trials_of(measured / "verify" / "chat")
    assert len(again) == 3
    (first,) = {  # the rate is the run's own, in requests/s, and no capacity is measured again
        t["settings"]["offered_requests_per_s"]
        for t in trials_of(measured)
        if t["settings"]["max_batch_size"] == 4
    }
    assert {t["settings"]["offered_requests_per_s"] for t in again} == {first}
    assert {t["figures"]["num_measured"] for t in again} == {1200}
    old = {t["settings"]["seed"] for t in trials_of(measured)}
    assert not old & {t["settings"]["seed"] for t in again}
    assert (measured / "verify" / "chat" / "report.md").is_file()


def test_a_taken_folder_is_left_alone_and_json_says_what_was_shown(
    run: Run, measured: Path
) -> None:
    taken = measured / "verify" / "chat" / "notes.txt"
    taken.parent.mkdir(parents=True)
    taken.write_text("mine")
    document = json.loads(run("verify", measured, "--point", "chat", "--json").out)
    assert document["outcome"] == "holds"
    assert document["constraints"]["p95_e2e_ms"]["status"] == "certified"
    assert document["figures"]["p95_e2e_ms"]["ratio"] == pytest.approx(1.0, abs=0.3)
    assert document["folder"].endswith("verify/chat-2")
    assert [path.name for path in taken.parent.iterdir()] == ["notes.txt"]


def test_a_system_that_became_slower_exits_1(run: Run, measured: Path) -> None:
    def slow_down(manifest: dict[str, Any]) -> None:
        manifest["scenario"]["runner"]["decode"]["base_ms"] = 15.0

    edit(measured, slow_down)
    result = run("verify", measured, "--point", "chat", "--repeats", "1")
    assert result.code == 1
    assert "chat does not hold" in result.out


def test_too_few_requests_exit_3_and_say_how_many_are_missing(run: Run, measured: Path) -> None:
    def shorten(manifest: dict[str, Any]) -> None:
        manifest["scenario"]["measure"]["requests"] = 40

    edit(measured, shorten)
    result = run("verify", measured, "--point", "chat", "--factor", "1", "--repeats", "1")
    assert result.code == 3
    assert "more requests needed" in result.out


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ("chaat", "did you mean 'chat'?"),
        ("none", "no configuration meets 'none'"),
    ],
)
def test_a_point_that_is_not_there_exits_2(
    run: Run, measured: Path, point: str, message: str
) -> None:
    result = run("verify", measured, "--point", point)
    assert result.code == 2
    assert message in result.err
    assert not (measured / "verify").exists()


def test_no_run_and_a_taken_folder_exit_2(run: Run, measured: Path, tmp_path: Path) -> None:
    assert run("verify", tmp_path / "nothing", "--point", "chat").code == 2
    assert run("verify", measured, "--point", "chat", "--output-dir", measured).code == 2


def test_a_configuration_that_the_scenario_does_not_plan_exits_2(run: Run, measured: Path) -> None:
    def drop(manifest: dict[str, Any]) -> None:
        manifest["scenario"]["batching"]["max_batch_size"] = [2]

    edit(measured, drop)
    result = run("verify", measured, "--point", "chat")
    assert result.code == 2
    assert "plans no configuration" in result.err


def test_another_system_exits_4_and_measures_nothing(run: Run, measured: Path) -> None:
    def elsewhere(manifest: dict[str, Any]) -> None:
        manifest["provenance"]["system"] |= {"simulated": False, "device_name": "Another GPU"}

    edit(measured, elsewhere)
    result = run("verify", measured, "--point", "chat")
    assert result.code == 4
    assert "Another GPU" in result.err
    assert not (measured / "verify").exists()
