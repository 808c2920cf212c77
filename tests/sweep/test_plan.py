"""The trials of a scenario: the product of its lists, in a seeded order."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from paretobench.core.errors import ScenarioError
from paretobench.core.workloads import ArrivalProcess, ClosedLoop
from paretobench.scenario import Scenario, scenario_from_mapping
from paretobench.sweep.estimate import estimate_sweep
from paretobench.sweep.plan import pilot_trial, plan_trials, scenario_hash
from paretobench.sweep.preflight import check_scenario, describe_workload
from paretobench.workload.schedule import OpenSchedule, make_schedule

DATA: dict[str, Any] = {
    "name": "plan",
    "model": {"preset": "nano"},
    "workload": {
        "prompt_tokens": {"kind": "fixed", "value": 32},
        "output_tokens": {"kind": "uniform", "low": 8, "high": 32},
    },
    "batching": {"max_batch_size": [1, 4, 16], "max_waiting_time_ms": [0, 50]},
    "load": [
        {"kind": "closed_loop", "concurrency": ["match_batch", 8]},
        {"kind": "poisson", "fraction_of_capacity": [0.5, 0.8]},
    ],
}


def scenario(**changes: Any) -> Scenario:
    return scenario_from_mapping({**DATA, **changes})


def test_everything_in_a_list_is_swept() -> None:
    trials = plan_trials(scenario())
    assert len(trials) == 3 * 2 * 4
    assert len({trial.trial_id for trial in trials}) == len(trials)


def test_lengths_are_swept_too_and_compete_apart() -> None:
    workload = {**DATA["workload"], "prompt_tokens": {"kind": "fixed", "value": [32, 64]}}
    trials = plan_trials(scenario(workload=workload))
    assert set(Counter(str(trial.workload) for trial in trials).values()) == {24}


def test_two_loads_that_come_to_the_same_are_measured_once() -> None:
    loads = {"kind": "closed_loop", "concurrency": ["match_batch", 4]}
    trials = plan_trials(scenario(load=loads))
    assert len(trials) == 2 * (2 + 1 + 2)  # at batch 4 both are four clients


def test_the_order_is_random_and_the_seeds() -> None:
    trials = plan_trials(scenario())
    assert trials == plan_trials(scenario())
    sizes = [trial.batching.max_batch_size for trial in trials]
    assert sizes != sorted(sizes)
    shuffled = plan_trials(scenario(measure={"seed": 1}))
    assert [str(t) for t in shuffled] != [str(t) for t in trials]


def test_repeats_come_in_blocks_with_seeds_of_their_own() -> None:
    trials = plan_trials(scenario(measure={"repeats": 3}))
    assert [trial.repeat for trial in trials] == [0] * 24 + [1] * 24 + [2] * 24
    seeds = [{trial.seed for trial in trials if trial.repeat == i} for i in range(3)]
    assert not seeds[0] & seeds[1] | seeds[0] & seeds[2] | seeds[1] & seeds[2]
    assert len({trial.configuration_id for trial in trials}) == 24


def test_batching_configurations_are_compared_on_the_same_arrivals_and_lengths() -> None:
    measure = {"requests": 20, "warmup": 5}
    trials = plan_trials(scenario(load={"kind": "poisson", "requests_per_s": 5}, measure=measure))
    schedules = [make_schedule(trial) for trial in trials]
    assert all(isinstance(schedule, OpenSchedule) for schedule in schedules)
    served = {
        tuple((r.arrival_s, r.output_tokens) for r in schedule.requests[:26])
        for schedule in schedules
        if isinstance(schedule, OpenSchedule)
    }
    assert len(trials) == 6
    assert len(served) == 1
    assert len({trial.trial_id for trial in trials}) == 6  # what prompts are seeded with


def test_clients_ask_the_same_however_many_they_are() -> None:
    trials = plan_trials(scenario(load={"kind": "closed_loop"}))
    assert len({trial.seed for trial in trials}) == 1


def test_requests_grow_with_the_batch_and_a_quick_warm_up_fills_it() -> None:
    measure = {"requests": {"per_slot": 6, "minimum": 32}, "warmup": "quick"}
    by_size = {
        t.batching.max_batch_size: t
        for t in plan_trials(scenario(measure=measure))
        if isinstance(t.load, ArrivalProcess)
    }
    assert {size: t.num_requests for size, t in by_size.items()} == {1: 32, 4: 32, 16: 96}
    assert {size: t.num_warmup for size, t in by_size.items()} == {1: 4, 4: 4, 16: 16}


@pytest.mark.parametrize(
    ("requests", "batch", "least"), [(100, 4, 200), (3000, 4, 300), (9, 256, 256)]
)
def test_warm_up_is_200_requests_a_tenth_or_a_batch_and_five_latencies(
    requests: int, batch: int, least: int
) -> None:
    batching = {"max_batch_size": batch}
    load = {"kind": "poisson", "requests_per_s": 5}
    (auto,) = plan_trials(scenario(measure={"requests": requests}, batching=batching, load=load))
    assert (auto.num_warmup, auto.warmup_e2e) == (least, 5.0)
    quick = {"requests": requests, "warmup": "quick"}
    (short,) = plan_trials(scenario(measure=quick, batching=batching, load=load))
    assert short.warmup_e2e == 0.0
    assert short.num_warmup == max(batch, -(-requests // 10))


def test_match_batch_has_a_client_a_slot() -> None:
    for trial in plan_trials(scenario(load={"kind": "closed_loop"})):
        assert isinstance(trial.load, ClosedLoop)
        assert trial.load.concurrency == trial.batching.max_batch_size


def test_the_id_of_a_rate_is_its_fraction_not_the_machine() -> None:
    from dataclasses import replace

    from paretobench.core.workloads import at_capacity

    trial = next(t for t in plan_trials(scenario()) if isinstance(t.load, ArrivalProcess))
    settled = replace(trial, load=at_capacity(trial.load, 40.0))
    assert settled.trial_id == trial.trial_id
    assert settled.load.requests_per_s == 40.0 * trial.load.fraction_of_capacity  # type: ignore


def test_the_hash_changes_with_what_is_measured_not_with_where_files_lie() -> None:
    base = scenario_hash(scenario(model={"path": "/a/model"}))
    assert scenario_hash(scenario(model={"path": "/b/model"})) == base
    assert scenario_hash(scenario(model={"path": "/a/other"})) != base


def test_requests_longer_than_the_model_are_refused_before_measuring() -> None:
    workload = {**DATA["workload"], "prompt_tokens": {"kind": "fixed", "value": 41000}}
    with pytest.raises(ScenarioError, match=r"40960 positions, found up to 41032 tokens"):
        check_scenario(scenario(workload=workload))


def test_a_request_that_just_fits_is_accepted() -> None:
    workload = {**DATA["workload"], "prompt_tokens": {"kind": "fixed", "value": 40960 - 32}}
    check_scenario(scenario(workload=workload))


def test_the_workloads_real_mean_is_described() -> None:
    workload = plan_trials(scenario())[0].workload
    (facts,) = describe_workload(workload)
    assert facts["output_tokens"]["mean"] == pytest.approx(20.0)


def test_the_estimate_covers_every_trial_and_grows_with_the_requests() -> None:
    quick = scenario(measure={"warmup": "quick"})
    few = estimate_sweep(quick, plan_trials(quick))
    long = scenario(measure={"warmup": "quick", "requests": {"per_slot": 60, "minimum": 320}})
    many = estimate_sweep(long, plan_trials(long))
    assert len(few.durations_s) == 24
    assert min(few.durations_s) > 0
    assert many.planned_s > 5 * few.planned_s
    assert "19 M parameters" in few.basis


VARIANTS: dict[str, Any] = {"preset": "nano", "dtype": ["float32", "bfloat16"]}


def test_the_trials_of_a_variant_stand_together_in_each_block() -> None:
    trials = plan_trials(scenario(model=VARIANTS, measure={"repeats": 4}))
    runs = [
        [t.variant for t in trials[at : at + 24]] for at in range(0, len(trials), 24)
    ]  # 24 trials of each variant in each of the 4 blocks
    assert len(trials) == 4 * 2 * 24
    assert all(len(set(run)) == 1 for run in runs)
    first = [run[0] for run in runs[::2]]
    assert set(first) == {"float32", "bfloat16"}  # their order is drawn anew for each block
    assert len({t.trial_id for t in trials}) == len(trials)


def test_variants_serve_the_same_schedules() -> None:
    trials = plan_trials(scenario(model=VARIANTS))
    seeds = [
        {(str(t.batching), str(t.load), t.seed) for t in trials if t.variant == name}
        for name in ("float32", "bfloat16")
    ]
    assert seeds[0] == seeds[1]
    assert {t.variant: t.system["dtype"] for t in trials} == {
        "float32": "float32",
        "bfloat16": "bfloat16",
    }


def test_a_pilot_is_of_its_trials_variant() -> None:
    listed = scenario(model=VARIANTS)
    trial = plan_trials(listed)[0]
    pilot = pilot_trial(listed, trial, 16)
    assert (pilot.variant, pilot.system) == (trial.variant, trial.system)
    assert pilot.load == ClosedLoop(concurrency=16)


def test_the_estimate_loads_each_variant_and_pilots_it() -> None:
    # none of these is overloaded, and so measured twice
    light = {"load": {"kind": "poisson", "fraction_of_capacity": 0.05}}
    one = scenario(model={"preset": "nano", "dtype": "float32"}, **light)
    two = scenario(model=VARIANTS, **light)
    alone, both = (estimate_sweep(s, plan_trials(s)).planned_s for s in (one, two))
    assert 1.4 * alone < both < 2.1 * alone


def test_the_smallest_of_several_models_limits_the_requests() -> None:
    workload = {**DATA["workload"], "prompt_tokens": {"kind": "fixed", "value": 41000}}
    models = [{"preset": "llama-3.2-1b"}, {"preset": "nano"}]
    with pytest.raises(ScenarioError, match=r"40960 positions"):
        check_scenario(scenario(model=models, workload=workload))
