"""A sweep over several systems: each has its capacity, its system on record, and its own faults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from paretobench.core.errors import EnvironmentUnfitError
from paretobench.core.points import Point
from paretobench.core.values import Trace, Trial
from paretobench.report import write_report
from paretobench.results import open_run
from paretobench.scenario import scenario_from_mapping
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.run import Sweep
from paretobench.targets.serve import step_times
from paretobench.targets.simulated import SimulatedTarget
from paretobench.targets.variants import VariantsTarget

SLOW = {
    "kind": "latency_model",
    "prefill": {"base_ms": 4},
    "decode": {"base_ms": 4, "per_sequence_ms": 2},
}
TWICE_AS_FAST = {
    "kind": "latency_model",
    "prefill": {"base_ms": 2},
    "decode": {"base_ms": 2, "per_sequence_ms": 1},
}
SCENARIO = scenario_from_mapping(
    {
        "name": "variants",
        "runner": [{**SLOW, "name": "slow"}, {**TWICE_AS_FAST, "name": "fast"}],
        "workload": {
            "prompt_tokens": {"kind": "fixed", "value": 8},
            "output_tokens": {"kind": "fixed", "value": 4},
        },
        "batching": {"max_batch_size": [1, 2, 4, 8]},
        "load": [{"kind": "closed_loop"}, {"kind": "poisson", "fraction_of_capacity": 0.2}],
        "measure": {"requests": 24, "confirm": False},
        "operating_points": {"batch": {"maximize": "output_tokens_per_s"}},
    }
)


class One(SimulatedTarget):
    """A simulated device with a name; it may refuse to open, or interrupt its n-th trial."""

    def __init__(self, name: str, device: str, *, broken: bool, stop_at: int | None) -> None:
        system = dict(SCENARIO.variants)[name]
        super().__init__(step_times(system))  # type: ignore[arg-type]
        self._device, self._broken, self._stop_at = device, broken, stop_at
        self._calls = 0

    def open(self) -> None:
        if self._broken:
            raise EnvironmentUnfitError("no room for the weights")

    def describe(self) -> Mapping[str, Any]:
        return {**super().describe(), "device_name": self._device}

    def measure(self, trial: Trial) -> Trace:
        self._calls += 1
        if self._calls == self._stop_at:
            raise KeyboardInterrupt
        return super().measure(trial)


class Listener:
    def __init__(self) -> None:
        self.measured: list[str | None] = []

    def pilot_started(self) -> None: ...

    def trial_started(self, trial: Trial) -> None: ...

    def trial_done(self, trial: Trial, point: Point, duration_s: float) -> None:
        self.measured.append(trial.variant)


def run(
    folder: Path,
    *,
    broken: str = "",
    stop: Mapping[str, int] | None = None,
    devices: Mapping[str, str] | None = None,
    resume: bool = False,
) -> list[str | None]:
    target = VariantsTarget(
        {
            name: One(
                name,
                (devices or {}).get(name, "A"),
                broken=name == broken,
                stop_at=(stop or {}).get(name),
            )
            for name in ("slow", "fast")
        }
    )
    listener = Listener()
    Sweep(SCENARIO, plan_trials(SCENARIO), target, listener).run(folder, resume=resume)
    return listener.measured


def second() -> str:
    """Return the variant that the plan measures last."""
    return str(plan_trials(SCENARIO)[-1].variant)


def first() -> str:
    return str(plan_trials(SCENARIO)[0].variant)


def test_each_variant_has_its_capacity_and_its_system_on_record(tmp_path: Path) -> None:
    run(tmp_path / "run", devices={"slow": "A", "fast": "B"})
    manifest = open_run(tmp_path / "run").manifest
    assert manifest["state"] == "complete"
    rates = {key: found["requests_per_s"] for key, found in manifest["capacity"].items()}
    assert rates["fast: prompt 8, output 4"] == pytest.approx(2 * rates["slow: prompt 8, output 4"])
    assert len(rates) == 2
    systems = manifest["provenance"]["systems"]
    assert {name: found["device_name"] for name, found in systems.items()} == {
        "slow": "A",
        "fast": "B",
    }


def test_a_variant_that_cannot_be_loaded_fails_alone(tmp_path: Path) -> None:
    run(tmp_path / "run", broken="fast")
    manifest = open_run(tmp_path / "run").manifest
    assert manifest["state"] == "incomplete"
    for entry in manifest["trials"]:
        is_fast = entry["label"].startswith("fast: ")
        assert (entry["verdict"] == "failed") == is_fast
        if is_fast:
            assert entry["reason"] == "fast could not be loaded: no room for the weights"
    assert list(manifest["provenance"]["systems"]) == ["slow"]


def test_an_interrupted_run_resumes_within_a_variant(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", stop={second(): 3})
    again = run(tmp_path / "run", resume=True)
    assert set(again) == {second()}  # what the first variant measured is kept
    assert open_run(tmp_path / "run").manifest["state"] == "complete"
    assert len(open_run(tmp_path / "run").manifest["provenance"]["systems"]) == 2


def test_a_run_resumes_only_where_each_variant_is_the_system_it_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", stop={second(): 3})
    done = open_run(tmp_path / "run").trial_ids()
    with pytest.raises(EnvironmentUnfitError, match="began with device_name 'A', found 'B'"):
        run(tmp_path / "run", devices={second(): "B"}, resume=True)
    assert open_run(tmp_path / "run").trial_ids() == done
    # a variant that has nothing left to measure is not loaded, so it may be elsewhere
    run(tmp_path / "run", devices={first(): "B"}, resume=True)


def test_the_report_gives_the_shift_between_the_curves(tmp_path: Path) -> None:
    run(tmp_path / "run")
    report = write_report(tmp_path / "run")
    assert report.variants == ("slow", "fast")
    text = (tmp_path / "run" / "report.md").read_text()
    assert "| fast | ×" in text.partition("## Shift between curves")[2]
    assert "variant: fast" in (tmp_path / "run" / "operating_points.yaml").read_text()
