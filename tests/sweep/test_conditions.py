"""What a sweep measures around its trials, and that none of it can cost a trial."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from paretobench.analysis.conditions import Conditions
from paretobench.analysis.counts import count_model
from paretobench.core.ceilings import Ceiling, Ceilings
from paretobench.core.errors import EnvironmentUnfitError, WorkerDiedError
from paretobench.core.step_times import StepTimes
from paretobench.core.values import Trace, Trial
from paretobench.scenario import scenario_from_mapping
from paretobench.scenario.presets import PRESETS
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.run import Sweep
from paretobench.targets.base import Target
from paretobench.targets.simulated import SimulatedTarget
from paretobench.targets.variants import VariantsTarget

DATA: dict[str, Any] = {
    "name": "conditions",
    "model": {"preset": "nano", "dtype": "float32"},
    "workload": {
        "prompt_tokens": {"kind": "fixed", "value": 8},
        "output_tokens": {"kind": "fixed", "value": 5},
    },
    "batching": {"max_batch_size": [2, 4, 8]},
    "load": [{"kind": "closed_loop"}],
    "measure": {"requests": 32, "warmup": "quick", "confirm": False},
}
COST_S = {1: 20e-6, 4: 20e-6, 8: 20e-6}
NANO = count_model(PRESETS["nano"], dtype="float32")


def ceilings(bandwidth: float) -> Ceilings:
    row = Ceiling(
        quantity="read_bandwidth",
        dtype="float32",
        method="sum",
        shape="",
        unit="B/s",
        per_s=bandwidth,
        best_per_s=bandwidth,
        repeats=5,
    )
    return Ceilings(system={"device": "cpu"}, rows=(row,))


class RealTime(SimulatedTarget):
    """Passes for a model by the wall clock: a decode step takes 2 ms. Notes what is asked of it."""

    def __init__(self, said: list[str], **described: Any) -> None:
        super().__init__(StepTimes(prefill_base_s=0.002, decode_base_s=0.002))
        self.said = said
        self.described = {"kind": "torch", "dtype": "float32", "simulated": False, **described}
        self.loop_error: Exception | None = None
        self.stop_at: int | None = None

    def open(self) -> None:
        self.said.append("open")

    def close(self) -> None:
        self.said.append("close")

    def describe(self) -> Mapping[str, Any]:
        return self.described

    def loop_cost_s(self, batch_sizes: Sequence[int], *, policy: str) -> Mapping[int, float]:
        self.said.append(f"loop {policy} {list(batch_sizes)}")
        if self.loop_error:
            raise self.loop_error
        return {size: COST_S[size] for size in batch_sizes}

    def measure(self, trial: Trial) -> Trace:
        if self.said.count("trial") == self.stop_at:
            raise KeyboardInterrupt
        self.said.append("trial")
        return super().measure(trial)


class Quiet:
    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *_: None


def sweep(
    folder: Path,
    target: Target,
    rates: Sequence[float | BaseException],
    said: list[str],
    *,
    resume: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """Return the manifest after a sweep whose ceilings are `rates`, in the order measured."""
    left = list(rates)

    def measure() -> Ceilings:
        said.append("ceilings")
        found = left.pop(0)
        if isinstance(found, BaseException):
            raise found
        return ceilings(found)

    scenario = scenario_from_mapping({**DATA, **changes})
    run = Sweep(scenario, plan_trials(scenario), target, Quiet(), ceilings=measure)
    run.run(folder, resume=resume)
    return manifest_of(folder)


def manifest_of(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    return manifest


def bandwidths(manifest: dict[str, Any]) -> list[float | None]:
    sides = [manifest["conditions"].get(f"ceilings_{when}") for when in ("before", "after")]
    return [side and Ceilings.from_dict(side).read_bytes_per_s for side in sides]


def test_ceilings_are_measured_while_nothing_else_holds_the_device(tmp_path: Path) -> None:
    said: list[str] = []
    manifest = sweep(tmp_path / "run", RealTime(said), [50e9, 49e9], said)
    trials = ["trial"] * 3
    loop = "loop static [1, 4, 8]"
    assert said == ["ceilings", "open", loop, *trials, "close", "ceilings"]
    assert bandwidths(manifest) == [50e9, 49e9]
    assert manifest["state"] == "complete"


def test_a_trials_conditions_are_read_from_disk(tmp_path: Path) -> None:
    said: list[str] = []
    manifest = sweep(tmp_path / "run", RealTime(said), [50e9, 49e9], said)
    found = Conditions.from_manifest(manifest, None)
    assert found.counts == NANO
    assert found.ceilings is not None
    assert found.ceilings.read_bytes_per_s == 50e9  # the better of before and after
    assert found.loop_cost_s == pytest.approx(COST_S)
    for trial in manifest["trials"]:
        path = tmp_path / "run" / "trials" / trial["trial_id"] / "summary.json"
        share = json.loads(path.read_text())["figures"]["loop_cost_share"]
        assert share == pytest.approx(20e-6 / 2e-3)


@pytest.mark.parametrize(
    ("rates", "kept"),
    [
        ([WorkerDiedError("lost"), 49e9], [None, 49e9]),
        ([50e9, WorkerDiedError("lost")], [50e9, None]),
        ([50e9, EnvironmentUnfitError("gone")], [50e9, None]),
        ([50e9, KeyboardInterrupt()], [50e9, None]),
    ],
)
def test_ceilings_that_fail_cost_no_trial(
    tmp_path: Path, rates: list[Any], kept: list[float | None]
) -> None:
    said: list[str] = []
    manifest = sweep(tmp_path / "run", RealTime(said), rates, said)
    assert bandwidths(manifest) == kept
    assert manifest["state"] == "complete"
    assert [trial["verdict"] for trial in manifest["trials"]] == ["valid"] * 3


def test_a_device_that_is_not_there_is_told_before_anything_is_loaded(tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(EnvironmentUnfitError, match="no GPU"):
        sweep(tmp_path / "run", RealTime(said), [EnvironmentUnfitError("no GPU")], said)
    assert said == ["ceilings"]
    assert not (tmp_path / "run").exists()


def test_a_loop_that_cannot_be_measured_costs_no_trial(tmp_path: Path) -> None:
    said: list[str] = []
    target = RealTime(said)
    target.loop_error = WorkerDiedError("lost")
    manifest = sweep(tmp_path / "run", target, [50e9, 49e9], said)
    assert manifest["conditions"]["loop_cost_us"] == {}
    assert [trial["verdict"] for trial in manifest["trials"]] == ["valid"] * 3


def test_a_resumed_run_keeps_the_ceilings_it_began_with(tmp_path: Path) -> None:
    said: list[str] = []
    target = RealTime(said)
    target.stop_at = 1
    with pytest.raises(KeyboardInterrupt):
        sweep(tmp_path / "run", target, [50e9], said)
    assert bandwidths(manifest_of(tmp_path / "run")) == [50e9, None]
    target.stop_at = None
    manifest = sweep(tmp_path / "run", target, [48e9], said, resume=True)
    assert bandwidths(manifest) == [50e9, 48e9]
    # nothing is left to measure: what is later does not belong to this run
    assert bandwidths(sweep(tmp_path / "run", target, [], said, resume=True)) == [50e9, 48e9]


def test_a_run_killed_after_its_last_trial_gets_the_ceilings_after_it(tmp_path: Path) -> None:
    said: list[str] = []
    target = RealTime(said)
    with pytest.raises(SystemExit):
        sweep(tmp_path / "run", target, [50e9, SystemExit()], said)
    assert bandwidths(manifest_of(tmp_path / "run")) == [50e9, None]
    assert bandwidths(sweep(tmp_path / "run", target, [48e9], said, resume=True)) == [50e9, 48e9]
    assert said.count("trial") == 3


def test_ceilings_measured_between_trials_are_not_those_before_them(tmp_path: Path) -> None:
    said: list[str] = []
    target = RealTime(said)
    target.stop_at = 1
    scenario = scenario_from_mapping(DATA)
    with pytest.raises(KeyboardInterrupt):  # begun with --no-ceilings
        Sweep(scenario, plan_trials(scenario), target, Quiet()).run(tmp_path / "run", resume=False)
    target.stop_at = None
    assert bandwidths(sweep(tmp_path / "run", target, [48e9], said, resume=True)) == [None, 48e9]


def test_each_variant_is_counted_as_it_was_loaded(tmp_path: Path) -> None:
    said: list[str] = []
    model = [
        {"name": "plain", "preset": "nano"},
        {"name": "small", "preset": "nano", "dtype": "bfloat16", "quantization": "int8"},
        {"name": "remote", "hub": "owner/name"},
    ]
    targets: dict[str | None, Target] = {
        "plain": RealTime(said),
        "small": RealTime(said, dtype="bfloat16"),
        "remote": RealTime(said),
    }
    manifest = sweep(tmp_path / "run", VariantsTarget(targets), [50e9, 49e9], said, model=model)
    small = count_model(PRESETS["nano"], dtype="bfloat16", quantization="int8")
    counts = [Conditions.from_manifest(manifest, n).counts for n in ("plain", "small", "remote")]
    assert counts == [NANO, small, None]
    assert [s for s in said if s.startswith("loop")] == ["loop static [1, 4, 8]"]


def test_a_simulation_has_no_conditions(tmp_path: Path) -> None:
    runner = {"kind": "latency_model", "prefill": {"base_ms": 2}, "decode": {"base_ms": 2}}
    scenario = scenario_from_mapping({**DATA, "model": None, "runner": runner})
    target = SimulatedTarget(StepTimes(prefill_base_s=0.002, decode_base_s=0.002))
    Sweep(scenario, plan_trials(scenario), target, Quiet()).run(tmp_path / "run", resume=False)
    assert manifest_of(tmp_path / "run")["conditions"] == {}
