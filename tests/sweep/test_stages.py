"""What a sweep measures next: the frontier again, more repeats, an overload once more."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paretobench.analysis.configurations import Configuration, combine_repeats
from paretobench.core.errors import ScenarioError
from paretobench.core.points import Point, Settings
from paretobench.core.values import Trace, Trial
from paretobench.report.markdown import report_markdown
from paretobench.report.model import Report, assemble
from paretobench.report.points import frontier_csv, load_points
from paretobench.results import open_run
from paretobench.scenario import Scenario, scenario_from_mapping
from paretobench.sweep.estimate import estimate_sweep
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.run import Sweep
from paretobench.sweep.stages import next_block
from paretobench.targets.serve import step_times
from paretobench.targets.simulated import SimulatedTarget

DATA: dict[str, Any] = {
    "name": "stages",
    "runner": {
        "kind": "latency_model",
        "prefill": {"base_ms": 4},
        "decode": {"base_ms": 4, "per_sequence_ms": 2},
    },
    "workload": {
        "prompt_tokens": {"kind": "fixed", "value": 8},
        "output_tokens": {"kind": "uniform", "low": 4, "high": 12},
    },
    "batching": {"max_batch_size": [2, 4, 8]},
    "load": {"kind": "closed_loop"},
}
MEASURE = {"requests": 32, "warmup": 8}


def scenario(measure: Mapping[str, Any] | None = None, **changes: Any) -> Scenario:
    return scenario_from_mapping({**DATA, "measure": {**MEASURE, **(measure or {})}, **changes})


class Target(SimulatedTarget):
    """A device that is `luck(trial)` times as fast in a trial; it stops at the n-th call."""

    def __init__(
        self, what: Scenario, luck: Callable[[Trial], float], stop_at: int | None = None
    ) -> None:
        assert what.runner is not None
        self._usual = step_times(what.runner)
        super().__init__(self._usual)
        self._luck, self._stop_at = luck, stop_at
        self.served: list[Trial] = []

    def measure(self, trial: Trial) -> Trace:
        if len(self.served) == self._stop_at:
            raise KeyboardInterrupt
        self.served.append(trial)
        return self._serve(trial, self._usual.slowed(self._luck(trial)))


class Quiet:
    def pilot_started(self) -> None: ...

    def trial_started(self, trial: Trial) -> None: ...

    def trial_done(self, trial: Trial, point: Point, duration_s: float) -> None: ...


def usual(_: Trial) -> float:
    return 1.0


def sweep(
    folder: Path,
    what: Scenario,
    luck: Callable[[Trial], float] = usual,
    *,
    stop_at: int | None = None,
    resume: bool = False,
) -> list[Trial]:
    target = Target(what, luck, stop_at)
    try:
        Sweep(what, plan_trials(what), target, Quiet()).run(folder, resume=resume)
    except KeyboardInterrupt:
        assert stop_at is not None
    return target.served


def configurations(folder: Path) -> dict[int, Configuration]:
    found = combine_repeats(load_points(open_run(folder)))
    return {c.settings.max_batch_size: c for c in found}


def lucky_eight(trial: Trial) -> float:
    return 3.0 if trial.batching.max_batch_size == 8 and trial.stage == "explore" else 1.0


def told(folder: Path) -> tuple[Report, str]:
    report = assemble(open_run(folder))
    return report, report_markdown(report).decode()


def test_a_lucky_first_run_is_not_what_is_published(tmp_path: Path) -> None:
    sweep(tmp_path / "run", scenario(), lucky_eight)
    published = configurations(tmp_path / "run")
    # 8 × 8 tokens of the mean batch: its longest request is about 11 tokens, a step 20 ms
    assert published[8].is_confirmed
    assert published[8].figures["output_tokens_per_s"] == pytest.approx(64 / 0.2, rel=0.25)
    first = [p for p in load_points(open_run(tmp_path / "run")) if p.settings.stage == "explore"]
    lucky = next(p for p in first if p.settings.max_batch_size == 8)
    assert lucky.figures["output_tokens_per_s"] == pytest.approx(3 * 64 / 0.2, rel=0.25)
    # the lucky one had hidden all others; they came to light in the second round
    rounds = {
        entry["label"].split(",")[0]: entry["round"]
        for entry in open_run(tmp_path / "run").manifest["trials"]
        if entry["stage"] == "confirm"
    }
    assert rounds["static batch 8"] == 1
    assert rounds["static batch 4"] == 2
    report, text = told(tmp_path / "run")
    assert all(c.is_confirmed for c in report.frontier)
    assert (
        "3 configurations that stood on the frontier were measured again with fresh seeds" in text
    )


def test_what_a_goal_chose_off_the_frontier_is_measured_again(tmp_path: Path) -> None:
    # equal clients: batch 2 queues most and is dominated, but its own steps are the shortest
    load = {"kind": "closed_loop", "concurrency": 8}
    least = {"decode": {"minimize": "p99_tpot_ms"}}
    what = scenario(load=load, operating_points=least)
    served = sweep(tmp_path / "run", what)
    again = {t.batching.max_batch_size for t in served if t.stage == "confirm"}
    report, text = told(tmp_path / "run")
    assert 2 not in {c.settings.max_batch_size for c in report.frontier}
    assert 2 in again
    assert 4 not in again  # neither on the frontier nor chosen
    assert "measured again with fresh seeds: " in text
    sweep(tmp_path / "once", scenario({"confirm": False}, load=load, operating_points=least))
    assert "not measured again (these figures chose it): " in told(tmp_path / "once")[1]


def test_no_seed_of_the_first_measurement_is_used_again(tmp_path: Path) -> None:
    served = sweep(tmp_path / "run", scenario({"repeats": 2}))
    seeds = {
        stage: {t.seed for t in served if t.stage == stage} for stage in ("explore", "confirm")
    }
    assert len(seeds["confirm"]) == 2
    assert not seeds["explore"] & seeds["confirm"]
    assert {c.num_repeats for c in configurations(tmp_path / "run").values()} == {2}


def test_an_overload_found_when_measured_again_takes_the_point_off_the_frontier(
    tmp_path: Path,
) -> None:
    def slow(trial: Trial) -> float:
        return 0.2 if trial.stage == "confirm" else 1.0

    load = {"kind": "poisson", "requests_per_s": 25}
    what = scenario({"requests": 200}, load=load, batching={"max_batch_size": 8})
    sweep(tmp_path / "run", what, slow)
    report, text = told(tmp_path / "run")
    assert [p.verdict for p in report.points] == ["valid", "overloaded"]
    assert report.frontier == ()
    assert "poisson 25/s, measured again | overloaded |" in text


def test_without_confirm_nothing_is_measured_again_and_the_report_says_so(tmp_path: Path) -> None:
    assert len(sweep(tmp_path / "run", scenario({"confirm": False}))) == 3
    _, text = told(tmp_path / "run")
    assert "frontier configurations not measured again (`measure.confirm` is off)" in text


STAGED = {"precision": {"throughput": 0.04}, "max_repeats": 3}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Any]:
    """The trials of a sweep of all stages that nothing stopped, and its manifest's entries."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    served = sweep(folder, scenario(STAGED), lucky_eight)
    assert sum(t.stage == "confirm" for t in served) > 3
    return [t.trial_id for t in served], open_run(folder).manifest["trials"]


@pytest.mark.parametrize("at", [0.4, 0.8])
def test_a_sweep_stopped_anywhere_measures_only_what_is_missing(
    tmp_path: Path, whole: tuple[list[str], Any], at: float
) -> None:
    trial_ids, entries = whole
    stop_at = int(at * len(trial_ids))
    first = sweep(tmp_path / "run", scenario(STAGED), lucky_eight, stop_at=stop_at)
    rest = sweep(tmp_path / "run", scenario(STAGED), lucky_eight, resume=True)
    assert len(first) == stop_at
    assert [t.trial_id for t in (*first, *rest)] == trial_ids
    assert open_run(tmp_path / "run").manifest["trials"] == entries


def noisy(*sizes: int) -> Callable[[Trial], float]:
    """Return a device whose speed differs from run to run at these batch sizes."""
    return lambda t: 1.0 + (0.2 * (t.repeat % 2) if t.batching.max_batch_size in sizes else 0.0)


FIXED = {**DATA["workload"], "output_tokens": {"kind": "fixed", "value": 8}}


def test_only_what_is_not_precise_yet_is_repeated(tmp_path: Path) -> None:
    precision = {"precision": {"throughput": 0.2}, "max_repeats": 5, "confirm": False}
    sweep(tmp_path / "run", scenario(precision, workload=FIXED), noisy(4))
    # two runs that agree are enough, one alone is not
    counts = {size: c.num_repeats for size, c in configurations(tmp_path / "run").items()}
    assert {size: counts[size] for size in (2, 8)} == {2: 2, 8: 2}
    # 1, 1.2, 1, 1.2: the t-interval is ± 1.15 of the mean after two runs, 0.26 after three, 0.17
    # after four
    assert counts[4] == 4
    assert {c.precision for c in told(tmp_path / "run")[0].configurations} == {"met"}


def test_a_budget_ends_the_repeats_and_the_report_says_how_far_they_are(tmp_path: Path) -> None:
    precision = {"precision": {"throughput": 0.001}, "max_repeats": 9, "confirm": False}
    without = scenario(precision, workload=FIXED)
    block_s = estimate_sweep(without, plan_trials(without)).planned_s
    budget = scenario({**precision, "budget_s": 1.5 * block_s}, workload=FIXED)
    sweep(tmp_path / "run", budget, noisy(4))
    assert {c.num_repeats for c in configurations(tmp_path / "run").values()} == {2}
    report, text = told(tmp_path / "run")
    assert {c.settings.max_batch_size: c.precision for c in report.configurations} == {
        2: "met", 4: "imprecise", 8: "met"
    }  # fmt: skip
    assert "1 of 3 valid configurations imprecise" in text
    assert "asked ± 0.1%" in text
    rows = list(csv.DictReader(frontier_csv(report.frontier, lambda _: None).decode().splitlines()))
    assert {row["max_batch_size"]: row["precision"] for row in rows}["4"] == "imprecise"


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        ({"precision": {"throughput": 0.1}, "max_repeats": 3, "repeats": 4}, "max_repeats ≥ 4"),
        ({"precision": {"throughput": 0.1}, "max_repeats": 1}, "max_repeats ≥ 2"),
        ({"precision": {}}, "must name a figure in precision"),
    ],
)
def test_a_precision_that_cannot_be_reached_is_refused(
    measure: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        scenario(measure)


# a batch of 4 takes 40 ms: the capacity is 100 requests/s
OVERLOAD: dict[str, Any] = {
    "runner": {"kind": "latency_model", "prefill": {"base_ms": 20}, "decode": {"base_ms": 20}},
    "workload": {
        "prompt_tokens": {"kind": "fixed", "value": 8},
        "output_tokens": {"kind": "fixed", "value": 2},
    },
    "batching": {"max_batch_size": 4},
}


def test_an_overload_is_measured_once_more_at_twice_the_length(tmp_path: Path) -> None:
    measure = {"requests": 100, "confirm": False, "min_duration_s": 1.5}
    what = scenario(measure, load={"kind": "poisson", "requests_per_s": 150}, **OVERLOAD)
    served = sweep(tmp_path / "run", what)
    (trial,) = plan_trials(what)
    assert [t.num_requests for t in served] == [100, 200]
    assert [t.min_duration_s for t in served] == [1.5, 3.0]
    assert served[1] == replace(
        trial, num_requests=200, min_duration_s=3.0, timeout_s=2 * trial.timeout_s
    )
    settings, trace = open_run(tmp_path / "run").read_trial(trial.trial_id)
    assert settings.trial_id == trial.trial_id
    assert trace.attempt == 2
    assert settings.schedule_id == served[1].schedule_id != trial.schedule_id
    assert sum(record.measured for record in trace.requests) >= 400  # 3 s at 150/s
    (point,) = load_points(open_run(tmp_path / "run"))
    assert point.verdict == "overloaded"
    assert sweep(tmp_path / "run", what, resume=True) == []


def test_a_false_alarm_is_cleared_by_the_second_measurement(tmp_path: Path) -> None:
    what = scenario(
        {"requests": 100, "confirm": False},
        load={"kind": "poisson", "requests_per_s": 60},
        **OVERLOAD,
    )

    def slow_at_first(trial: Trial) -> float:
        return 0.3 if trial.num_requests == 100 else 1.0

    served = sweep(tmp_path / "run", what, slow_at_first)
    assert [t.num_requests for t in served] == [100, 200]
    (point,) = load_points(open_run(tmp_path / "run"))
    assert point.verdict == "valid"
    assert point.figures["num_measured"] == 200


def test_a_trial_that_ran_out_of_time_is_not_measured_again(tmp_path: Path) -> None:
    measure = {"requests": 400, "confirm": False, "timeout_s": 3}
    what = scenario(measure, load={"kind": "poisson", "requests_per_s": 300}, **OVERLOAD)
    assert len(sweep(tmp_path / "run", what)) == 1
    (point,) = load_points(open_run(tmp_path / "run"))
    assert point.verdict == "overloaded"


def test_killed_between_two_attempts_both_are_measured_again(tmp_path: Path) -> None:
    what = scenario(
        {"requests": 100, "confirm": False},
        load={"kind": "poisson", "requests_per_s": 150},
        **OVERLOAD,
    )
    assert len(sweep(tmp_path / "run", what, stop_at=1)) == 1
    assert [t.num_requests for t in sweep(tmp_path / "run", what, resume=True)] == [100, 200]


def test_the_estimate_foresees_the_frontier(tmp_path: Path) -> None:
    estimate = estimate_sweep(scenario(), plan_trials(scenario()))
    served = sweep(tmp_path / "run", scenario())
    assert len(served) == 6
    assert [t.trial_id for t in (*estimate.trials, *estimate.later)] == [t.trial_id for t in served]
    assert estimate.later_s == pytest.approx(estimate.planned_s)


def test_the_estimate_counts_an_overload_twice_over() -> None:
    load = {"kind": "poisson", "requests_per_s": 180}
    what = scenario({"requests": 100}, load=load, **OVERLOAD)
    estimate = estimate_sweep(what, plan_trials(what))
    # 100 requests take a second at the capacity, 200 two; then the load is kept up until they end
    assert estimate.planned_s > 3
    assert estimate.later == ()


def test_there_is_no_fourth_round() -> None:
    what = scenario()
    trials = plan_trials(what)
    points = [
        Point(
            settings=Settings.of(trial),
            figures={"output_tokens_per_s": 1.0, "p95_e2e_ms": 1.0},
            low_percentiles=(),
            verdict="valid",
            reason="",
        )
        for trial in trials
    ]
    after = [
        next_block(what, trials, points, round_number=done, measured_s=0.0) for done in range(4)
    ]
    assert [None if b is None else b.round_number for b in after] == [1, 2, 3, None]
