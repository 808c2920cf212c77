"""Loads whose rate varies, from the scenario to verdicts and figures by phase."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paretobench.analysis.metrics import summarize
from paretobench.analysis.phases import PhaseFigures, figures_by_phase
from paretobench.analysis.sla import ServiceLevels, SlaLimits
from paretobench.core.errors import ScenarioError
from paretobench.core.points import Point, Settings
from paretobench.core.profiles import BurstProfile, SineProfile, StepsProfile
from paretobench.core.values import Trial
from paretobench.core.workloads import ArrivalProcess
from paretobench.report.points import load_points, points_csv, read_points
from paretobench.results import open_run
from paretobench.scenario import Scenario, scenario_from_mapping
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.preflight import check_trials
from paretobench.sweep.run import Sweep
from paretobench.targets.serve import step_times
from paretobench.targets.simulated import SimulatedTarget

# a batch of 4 takes 40 ms whatever is in it: the capacity is 100 requests/s
DATA: dict[str, Any] = {
    "name": "varying",
    "runner": {
        "kind": "latency_model",
        "prefill": {"base_ms": 20},
        "decode": {"base_ms": 20},
    },
    "workload": {
        "prompt_tokens": {"kind": "fixed", "value": 8},
        "output_tokens": {"kind": "fixed", "value": 2},
    },
    "batching": {"max_batch_size": 4},
    "measure": {"requests": 10, "timeout_s": 600, "confirm": False},
}


def steps(*factors: float, duration_s: float = 10.0) -> dict[str, Any]:
    phases = [{"duration_s": duration_s, "factor": factor} for factor in factors]
    return {"kind": "steps", "phases": phases}


BURST = {"kind": "burst", "factor": 4.0, "burst_s": 2.0, "period_s": 10.0}


def scenario(load: dict[str, Any], rate: float = 100.0, **changes: Any) -> Scenario:
    return scenario_from_mapping({**DATA, "load": {"requests_per_s": rate, **load}, **changes})


def trial_of(load: dict[str, Any], **changes: Any) -> Trial:
    return plan_trials(scenario(load, **changes))[0]


class Quiet:
    def pilot_started(self) -> None:
        pass

    def trial_started(self, trial: Trial) -> None:
        pass

    def trial_done(self, trial: Trial, point: Point, duration_s: float) -> None:
        pass


def simulated(tmp_path: Path, what: Scenario) -> Path:
    assert what.runner is not None
    target = SimulatedTarget(step_times(what.runner))
    Sweep(what, plan_trials(what), target, Quiet()).run(tmp_path / "run", resume=False)
    return tmp_path / "run"


def test_lists_are_swept_and_phases_are_one_load() -> None:
    sine = {"kind": "sine", "amplitude": [0.4, 0.8], "period_s": [10, 30]}
    trials = plan_trials(scenario({**sine, "requests_per_s": [5, 10]}))
    assert len({trial.trial_id for trial in trials}) == 8
    burst = {"kind": "burst", "factor": [2, 3], "burst_s": 2, "period_s": [5, 10]}
    assert len(plan_trials(scenario(burst))) == 4
    assert len(plan_trials(scenario(steps(0.3, 1.2)))) == 1


def test_the_plan_carries_the_profile() -> None:
    found = {}
    for load in (steps(0.3, 1.2), {"kind": "sine", "amplitude": 0.8, "period_s": 30}, BURST):
        process = trial_of(load).load
        assert isinstance(process, ArrivalProcess)
        found[process.kind] = process.profile
    assert found == {
        "steps": StepsProfile(steps=((10.0, 0.3), (10.0, 1.2))),
        "sine": SineProfile(amplitude=0.8, period_s=30.0),
        "burst": BurstProfile(factor=4.0, burst_s=2.0, period_s=10.0),
    }


def test_the_plan_covers_a_cycle_and_a_longer_minimum_stands() -> None:
    assert trial_of(steps(0.3, 1.2, 0.3)).min_duration_s == 30.0
    measure = {**DATA["measure"], "min_duration_s": 75}
    assert trial_of(steps(0.3, 1.2, 0.3), measure=measure).min_duration_s == 75.0


def test_the_warm_up_is_short_and_alike_for_every_batch_size_unless_it_is_given() -> None:
    batching = {"max_batch_size": [1, 64]}
    trials = plan_trials(scenario(BURST, batching=batching))
    assert [trial.num_warmup for trial in trials] == [10, 10]
    measure = {**DATA["measure"], "warmup": 3}
    assert trial_of(BURST, measure=measure).num_warmup == 3


def test_a_trial_that_cannot_be_done_in_its_time_is_refused() -> None:
    measure = {**DATA["measure"], "timeout_s": 30}
    trials = plan_trials(scenario(steps(0.3, 1.2, 0.3), measure=measure))
    with pytest.raises(
        ScenarioError, match=r"timeout_s must be longer than .* 30 s of steps .*found 30"
    ):
        check_trials(trials)


VERDICTS = [
    # drains in the last phase; mean 0.6 of the capacity
    (steps(0.3, 1.2, 0.3), "valid"),
    # twice the capacity for a third of the time, gone before the window ends
    (steps(0.3, 2.0, 0.1), "valid"),
    # ends in a burst: a quarter of what arrived is served after the window, and then it is calm
    ({**BURST, "requests_per_s": 50}, "valid"),
    ({"kind": "sine", "amplitude": 0.8, "period_s": 20, "requests_per_s": 80}, "valid"),
    # idle at first, then a backlog that the calm phases cannot clear: 1.1 on average
    (steps(0.3, 2.7, 0.3), "overloaded"),
    ({**BURST, "requests_per_s": 75}, "overloaded"),  # 1.2 on average
    ({"kind": "sine", "amplitude": 0.8, "period_s": 20, "requests_per_s": 115}, "overloaded"),
    (steps(1.5, 2.0), "overloaded"),
]


@pytest.mark.parametrize(("load", "verdict"), VERDICTS)
def test_only_a_mean_rate_above_the_capacity_is_overloaded(
    load: dict[str, Any], verdict: str
) -> None:
    found = summary_of(load)
    assert found.verdict == verdict, found.reason
    assert ("exceeds the capacity" in found.reason) == (verdict == "overloaded")


def test_a_window_that_ends_in_a_burst_may_serve_less_than_came() -> None:
    found = summary_of(BURST, rate=50.0)
    what = scenario(BURST, rate=50.0)
    assert found.verdict == "valid"
    offered = found.settings.offered_requests_per_s
    assert offered == pytest.approx(80.0)
    assert found.figures["requests_per_s"] is not None
    assert found.figures["requests_per_s"] < 0.95 * offered
    assert what.measure.requests < found.figures["num_measured"]  # type: ignore[operator]


def summary_of(load: dict[str, Any], **changes: Any) -> Point:
    what = scenario(load, **changes)
    assert what.runner is not None
    trial = plan_trials(what)[0]
    trace = SimulatedTarget(step_times(what.runner)).measure(trial)
    return summarize(Settings.of(trial), trace, ServiceLevels())


@pytest.mark.parametrize(("rate", "verdict"), [(150, "overloaded"), (60, "failed")])
def test_a_trial_that_ran_out_of_time_is_overloaded_only_beyond_the_capacity(
    rate: float, verdict: str
) -> None:
    measure = {**DATA["measure"], "timeout_s": 14}  # the rush began at 10 s
    found = summary_of(steps(0.3, 2.2, 0.5), rate=rate, measure=measure)
    assert found.verdict == verdict, found.reason
    assert "time" in found.reason


def phase_figures(folder: Path) -> list[PhaseFigures]:
    run = open_run(folder)
    settings, trace = run.read_trial(run.trial_ids()[0])
    profile = settings.profile()
    assert profile is not None
    return figures_by_phase(trace.requests, profile, ServiceLevels(default=SlaLimits(e2e_s=0.15)))


def test_a_run_folder_tells_what_each_phase_felt(tmp_path: Path) -> None:
    folder = simulated(tmp_path, scenario(steps(0.3, 1.4, 0.3)))
    before, rush, after = phase_figures(folder)
    # counts within five standard deviations of 300, 1400 and 300
    assert 213 < before.num_requests < 387
    assert 1212 < rush.num_requests < 1588
    assert before.p95_e2e_ms is not None
    assert rush.p95_e2e_ms is not None
    assert after.p95_e2e_ms is not None
    assert before.p95_e2e_ms < 120  # a batch's rest, its own, and now and then one more
    assert rush.p95_e2e_ms > 2000  # 40 requests/s too many for 10 s
    assert after.p95_e2e_ms > 2000  # and those who came behind them
    assert before.goodput_requests_per_s == pytest.approx(before.requests_per_s, rel=0.02)
    assert rush.goodput_requests_per_s is not None
    assert rush.goodput_requests_per_s < 0.2 * rush.requests_per_s


def test_points_say_what_was_offered_and_come_back_from_the_csv(tmp_path: Path) -> None:
    folder = simulated(tmp_path, scenario(steps(0.3, 1.2, 0.3)))
    (point,) = load_points(open_run(folder))
    assert point.verdict == "valid"
    assert point.settings.load_kind == "steps"
    assert point.settings.load == "steps 0.3→1.2→0.3 ×10 s, 100/s"
    assert point.settings.offered_requests_per_s == pytest.approx(60.0)
    assert point.figures["requests_per_s"] == pytest.approx(60.0, rel=0.15)
    csv = tmp_path / "points.csv"
    csv.write_bytes(points_csv([point]))
    (again,) = read_points(csv)
    assert again.settings == point.settings
    assert again.settings.profile() == StepsProfile(steps=((10.0, 0.3), (10.0, 1.2), (10.0, 0.3)))
