"""A sweep over a target that misbehaves: nothing measured is lost, everything is recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from paretobench.core.errors import DeviceOutOfMemoryError, EnvironmentUnfitError, WorkerDiedError
from paretobench.core.points import Point
from paretobench.core.values import Trace, Trial
from paretobench.results import open_run
from paretobench.scenario import Scenario, scenario_from_mapping
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.run import Sweep
from paretobench.targets.serve import step_times
from paretobench.targets.simulated import SimulatedTarget

DATA: dict[str, Any] = {
    "name": "sweep",
    "runner": {
        "kind": "latency_model",
        "prefill": {"base_ms": 2},
        "decode": {"base_ms": 2, "per_sequence_ms": 0.1},
    },
    "workload": {
        "prompt_tokens": {"kind": "fixed", "value": 8},
        "output_tokens": {"kind": "uniform", "low": 2, "high": 8},
    },
    "batching": {"max_batch_size": [1, 4], "max_waiting_time_ms": [0, 10]},
    "load": [{"kind": "closed_loop"}, {"kind": "poisson", "fraction_of_capacity": 0.5}],
    "measure": {"requests": 24, "confirm": False},
}


class Listener:
    def __init__(self) -> None:
        self.measured: list[str] = []
        self.pilots = 0

    def pilot_started(self) -> None:
        self.pilots += 1

    def trial_started(self, trial: Trial) -> None:
        pass

    def trial_done(self, trial: Trial, point: Point, duration_s: float) -> None:
        self.measured.append(trial.trial_id)


class Target(SimulatedTarget):
    """Simulates, except where `faults` names an error for the n-th trial (pilots count)."""

    def __init__(self, scenario: Scenario, faults: Mapping[int, BaseException]) -> None:
        assert scenario.runner is not None
        super().__init__(step_times(scenario.runner))
        self._faults = faults
        self._calls = 0

    def describe(self) -> Mapping[str, Any]:
        return {"kind": "latency_model", "simulated": True, "model": "test"}

    def measure(self, trial: Trial) -> Trace:
        self._calls += 1
        if self._calls - 1 in self._faults:
            raise self._faults[self._calls - 1]
        return super().measure(trial)


def run(
    folder: Path, faults: Mapping[int, BaseException] | None = None, **options: bool
) -> Listener:
    scenario = scenario_from_mapping(DATA)
    listener = Listener()
    target = Target(scenario, faults or {})
    Sweep(scenario, plan_trials(scenario), target, listener).run(
        folder, **{"resume": False, **options}
    )
    return listener


def verdicts(folder: Path) -> list[str | None]:
    return [entry["verdict"] for entry in open_run(folder).manifest["trials"]]


def test_every_trial_is_on_disk_and_the_run_complete(tmp_path: Path) -> None:
    listener = run(tmp_path / "run")
    manifest = open_run(tmp_path / "run").manifest
    assert manifest["state"] == "complete"
    assert len(listener.measured) == 8
    assert [entry["state"] for entry in manifest["trials"]] == ["done"] * 8
    capacity = manifest["capacity"]["prompt 8, output 2–8"]
    assert capacity["max_batch_size"] == 4
    assert listener.pilots == 1


def test_a_worker_that_dies_costs_its_trial_alone(tmp_path: Path) -> None:
    run(tmp_path / "run", {0: WorkerDiedError("killed by signal 9")})
    found = verdicts(tmp_path / "run")
    assert found.count("failed") == 1
    assert found.count("valid") >= 5
    manifest = open_run(tmp_path / "run").manifest
    assert manifest["state"] == "incomplete"
    failed = next(entry for entry in manifest["trials"] if entry["verdict"] == "failed")
    assert failed["reason"] == "killed by signal 9"


def test_running_out_of_memory_is_a_finding_and_the_sweep_goes_on(tmp_path: Path) -> None:
    run(tmp_path / "run", {0: DeviceOutOfMemoryError("no room for 4 slots")})
    found = verdicts(tmp_path / "run")
    assert found.count("out_of_memory") == 1
    assert "failed" not in found
    assert open_run(tmp_path / "run").manifest["state"] == "complete"


def test_failed_trials_are_measured_again_only_when_asked(tmp_path: Path) -> None:
    run(tmp_path / "run", {0: WorkerDiedError("killed by signal 9")})
    assert run(tmp_path / "run", resume=True).measured == []
    assert len(run(tmp_path / "run", resume=True, retry_failed=True).measured) == 1
    assert "failed" not in verdicts(tmp_path / "run")


def test_a_run_resumes_only_on_the_system_it_began_on(tmp_path: Path) -> None:
    class Elsewhere(Target):
        def describe(self) -> Mapping[str, Any]:
            return {**super().describe(), "device_name": "another GPU"}

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", {4: KeyboardInterrupt()})
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    scenario = scenario_from_mapping(DATA)
    sweep = Sweep(scenario, plan_trials(scenario), Elsewhere(scenario, {}), Listener())
    with pytest.raises(EnvironmentUnfitError, match="began with device_name None, found 'another"):
        sweep.run(tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before


def test_a_run_that_ends_in_an_error_says_that_it_is_incomplete(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentUnfitError):
        run(tmp_path / "run", {3: EnvironmentUnfitError("the GPU is gone")})
    assert open_run(tmp_path / "run").manifest["state"] == "incomplete"


@pytest.mark.parametrize("at", range(9))
def test_an_interrupted_run_resumes_with_what_is_missing(tmp_path: Path, at: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", {at: KeyboardInterrupt()})
    manifest = open_run(tmp_path / "run").manifest
    assert manifest["state"] == "interrupted"
    done = {entry["trial_id"] for entry in manifest["trials"] if entry["state"] == "done"}
    again = run(tmp_path / "run", resume=True)
    assert not done & set(again.measured)
    assert len(done) + len(again.measured) == 8
    assert open_run(tmp_path / "run").manifest["state"] == "complete"


def test_a_resumed_run_keeps_the_capacity_it_began_with(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", {8: KeyboardInterrupt()})
    before = open_run(tmp_path / "run").manifest["capacity"]
    assert run(tmp_path / "run", resume=True).pilots == 0
    assert open_run(tmp_path / "run").manifest["capacity"] == before


def test_the_capacity_is_that_of_the_largest_batch_that_runs(tmp_path: Path) -> None:
    scenario = scenario_from_mapping(
        {**DATA, "load": {"kind": "poisson", "fraction_of_capacity": 0.5}}
    )
    target = Target(scenario, {0: DeviceOutOfMemoryError("no room for batch 4")})
    Sweep(scenario, plan_trials(scenario), target, Listener()).run(tmp_path / "run", resume=False)
    capacity = open_run(tmp_path / "run").manifest["capacity"]["prompt 8, output 2–8"]
    assert capacity["max_batch_size"] == 1


def test_without_a_capacity_its_trials_fail_and_the_others_go_on(tmp_path: Path) -> None:
    scenario = scenario_from_mapping(DATA)
    trials = plan_trials(scenario)
    first = next(i for i, t in enumerate(trials) if t.load.kind == "poisson")
    faults = {first: WorkerDiedError("gone"), first + 1: WorkerDiedError("gone")}
    run(tmp_path / "run", faults)
    by_label = {e["label"]: e for e in open_run(tmp_path / "run").manifest["trials"]}
    assert all(
        (entry["verdict"] == "failed") == ("poisson" in label) for label, entry in by_label.items()
    )
    reason = next(e["reason"] for e in by_label.values() if e["verdict"] == "failed")
    assert reason == "the capacity could not be measured: gone"


def test_nothing_is_written_where_the_target_cannot_open(tmp_path: Path) -> None:
    class Unfit(Target):
        def open(self) -> None:
            raise EnvironmentUnfitError("no GPU")

    scenario = scenario_from_mapping(DATA)
    with pytest.raises(EnvironmentUnfitError):
        Sweep(scenario, plan_trials(scenario), Unfit(scenario, {}), Listener()).run(
            tmp_path / "run", resume=False
        )
    assert not (tmp_path / "run").exists()


def test_the_manifest_says_where_it_was_measured(tmp_path: Path) -> None:
    run(tmp_path / "run")
    provenance = json.loads((tmp_path / "run" / "manifest.json").read_text())["provenance"]
    assert {"system", "gpus", "host", "package", "seeds"} <= set(provenance)
    assert provenance["host"]["cpu"]
