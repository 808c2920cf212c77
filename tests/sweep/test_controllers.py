"""Controllers through a sweep: targets that cannot be met, and traffic of several classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paretobench.core.errors import ScenarioError
from paretobench.core.points import Point
from paretobench.core.values import Trial
from paretobench.report.points import load_points
from paretobench.results import open_run
from paretobench.scenario import Scenario, scenario_from_mapping
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.preflight import check_scenario
from paretobench.sweep.run import Sweep
from paretobench.targets.simulated import simulated_target

# the shortest alone: 10 + 8 x 1 to join, then 2 steps of 20 + (9 and 10 tokens in the cache) x 1
FASTEST_MS = 18 + 29 + 30
DATA: dict[str, Any] = {
    "name": "controllers",
    "runner": {
        "kind": "latency_model",
        "prefill": {"base_ms": 10, "per_token_ms": 1},
        "decode": {"base_ms": 20, "per_kv_token_ms": 1},
    },
    "workload": {
        "prompt_tokens": {"kind": "fixed", "value": 8},
        "output_tokens": {"kind": "uniform", "low": 3, "high": 6},
    },
    "batching": {"policy": "adaptive", "max_batch_size": 8, "controller": {"kind": "aimd"}},
    "load": {"kind": "poisson", "requests_per_s": 10},
    "measure": {"requests": 60, "warmup": "quick", "timeout_s": 60, "confirm": False},
}


def scenario(sla_ms: float | None = None, **changes: Any) -> Scenario:
    sla = {} if sla_ms is None else {"sla": {"e2e_ms": sla_ms}}
    return scenario_from_mapping({**DATA, **sla, **changes})


class Quiet:
    def pilot_started(self) -> None:
        pass

    def trial_started(self, trial: Trial) -> None:
        pass

    def trial_done(self, trial: Trial, point: Point, duration_s: float) -> None:
        pass


def simulate(folder: Path, one: Scenario) -> list[Point]:
    Sweep(one, plan_trials(one), simulated_target(one), Quiet()).run(folder, resume=False)
    return load_points(open_run(folder))


def test_a_target_below_the_shortest_request_alone_is_refused() -> None:
    check_scenario(scenario(FASTEST_MS))
    message = r"controllers: .* aimd must have a latency_sla_ms .* found 76.9 .* 77 ms .*; raise it"
    with pytest.raises(ScenarioError, match=message):
        check_scenario(scenario(76.9))
    own = {**DATA["batching"], "controller": {"kind": "model", "latency_sla_ms": 20}}
    with pytest.raises(ScenarioError, match=r"model must have .* found 20 "):
        check_scenario(scenario(1000, batching=own))


def test_what_alone_takes_is_what_a_simulation_gives(tmp_path: Path) -> None:
    shortest = {**DATA["workload"], "output_tokens": {"kind": "fixed", "value": 3}}
    slow = {"kind": "closed_loop", "concurrency": 1}
    (point,) = simulate(tmp_path / "run", scenario(FASTEST_MS, workload=shortest, load=slow))
    assert point.figures["p50_e2e_ms"] == pytest.approx(FASTEST_MS)
    assert point.verdict == "valid"


def test_a_target_for_one_of_several_systems_fails_only_the_slow_one(tmp_path: Path) -> None:
    slow = {"kind": "latency_model", "name": "slow", "prefill": {"base_ms": 200},
            "decode": {"base_ms": 20}}  # fmt: skip
    calm = {"kind": "poisson", "requests_per_s": 2}
    one = scenario(150, runner=[{**DATA["runner"], "name": "fast"}, slow], load=calm)
    check_scenario(one)
    found = {p.settings.variant: (p.verdict, p.reason) for p in simulate(tmp_path / "run", one)}
    assert found["fast"] == ("valid", "")
    assert found["slow"][0] == "failed"
    assert "no batch can meet the controller's 150 ms: the fastest took 240 ms" in found["slow"][1]


def test_a_model_that_is_measured_is_not_known_before() -> None:
    check_scenario(scenario(1, runner=None, model={"preset": "nano"}))


@pytest.mark.parametrize("arrangement", ["shared", "separate"])
def test_classes_run_under_a_controller_and_keep_their_records(
    tmp_path: Path, arrangement: str
) -> None:
    traffic = {"share": 0.5, **DATA["workload"]}
    own = {"batching": {"max_batch_size": 4}} if arrangement == "separate" else {}
    batching = {
        "policy": "adaptive",
        "max_batch_size": 8,
        "arrangement": arrangement,
        "controller": {"kind": "aimd", "latency_sla_ms": 4000},
    }
    data = {k: v for k, v in DATA.items() if k != "workload"}
    classes = {
        "chat": {**traffic, "latency_sla_ms": 400, **own},
        "jobs": {**traffic, "latency_sla_ms": 4000, **own},
    }
    one = scenario_from_mapping(
        {**data, "batching": batching, "classes": classes,
         "load": {"kind": "poisson", "requests_per_s": 30}}
    )  # fmt: skip
    check_scenario(one)
    (point,) = simulate(tmp_path / "run", one)
    assert point.verdict != "failed", point.reason
    assert point.class_names == ["chat", "jobs"]
    run = open_run(tmp_path / "run")
    _, trace = run.read_trial(point.settings.trial_id)
    assert trace.limit_changes
    engines = {"chat", "jobs"} if arrangement == "separate" else {None}
    assert {change.engine for change in trace.limit_changes} == engines
    most = 4 if arrangement == "separate" else 8
    for engine in engines:
        limit = 1
        for change in (c for c in trace.limit_changes if c.engine == engine):
            assert change.before == limit
            limit = change.after
            assert 1 <= limit <= most
