"""A replay serves what its baseline served, whatever the system, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from paretobench.core.errors import RunFolderError, UserInputError
from paretobench.core.points import Point, Settings
from paretobench.core.values import Trace, Trial
from paretobench.results import open_run
from paretobench.scenario import Overrides, Scenario, scenario_from_mapping
from paretobench.scenario.systems import LatencyModel
from paretobench.sweep.like import Like, plan_like, scenario_of
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.run import Sweep
from paretobench.targets.serve import step_times
from paretobench.targets.simulated import SimulatedTarget

DATA: dict[str, Any] = {
    "name": "base",
    "runner": {
        "kind": "latency_model",
        "prefill": {"base_ms": 4},
        "decode": {"base_ms": 4, "per_sequence_ms": 1},
    },
    "workload": {
        "prompt_tokens": {"kind": "fixed", "value": 8},
        "output_tokens": {"kind": "uniform", "low": 4, "high": 12},
    },
    "batching": {"max_batch_size": [2, 4]},
    "load": [{"kind": "closed_loop"}, {"kind": "poisson", "fraction_of_capacity": 0.4}],
    "measure": {"requests": 40, "warmup": 8, "seed": 7},
}
SLOWER = {"kind": "latency_model", "prefill": {"base_ms": 5}, "decode": {"base_ms": 5}}


class Target(SimulatedTarget):
    """Keeps what it was asked to serve."""

    def __init__(self, what: Scenario) -> None:
        assert isinstance(what.runner, LatencyModel)
        super().__init__(step_times(what.runner))
        self.served: list[Trial] = []

    def measure(self, trial: Trial) -> Trace:
        self.served.append(trial)
        return super().measure(trial)


class Quiet:
    def pilot_started(self) -> None: ...

    def trial_started(self, trial: Trial) -> None: ...

    def trial_done(self, trial: Trial, point: Point, duration_s: float) -> None: ...


def sweep(
    folder: Path, what: Scenario, like: Like | None = None, *, resume: bool = False
) -> list[Trial]:
    """Measure, and return the trials that the target was asked for, pilots too."""
    target = Target(what)
    trials = plan_trials(what) if like is None else like.trials
    Sweep(what, trials, target, Quiet(), like=like).run(folder, resume=resume)
    return target.served


def replay(run: Path, folder: Path, changes: Mapping[str, Any], seed: int | None = None) -> Like:
    scenario = scenario_from_mapping({**DATA, **changes})
    like = plan_like(open_run(run), scenario, seed=seed, simulated=True)
    sweep(folder, like.scenario, like)
    return like


def settings(folder: Path) -> list[Settings]:
    run = open_run(folder)
    return [run.read_trial(trial_id)[0] for trial_id in run.trial_ids()]


def requests(folder: Path) -> list[list[tuple[float, int, int]]]:
    """Return the arrivals and lengths of the first requests of each open-loop trial."""
    run = open_run(folder)
    traces = [run.read_trial(trial_id) for trial_id in run.trial_ids()]
    return [
        [(r.arrival_s, r.prompt_tokens, r.output_tokens) for r in trace.requests][:48]
        for found, trace in traces
        if found.load_kind == "poisson"
    ]


def asked(found: Settings) -> tuple[Any, ...]:
    """Return what a trial asked of its system, and in what order it stands."""
    return (
        found.max_batch_size,
        found.load,
        found.offered_requests_per_s,
        found.repeat,
        found.stage,
        found.seed,
        found.schedule_id,
    )


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run with pilot, exploring and confirming trials."""
    folder = tmp_path_factory.mktemp("runs") / "base"
    sweep(folder, scenario_from_mapping(DATA))
    return folder


def rewritten(run: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return a run that is the other's manifest with a change, and nothing else."""
    folder.mkdir()
    manifest = json.loads((run / "manifest.json").read_text())
    change(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_another_system_serves_the_same_requests(baseline: Path, tmp_path: Path) -> None:
    other = {"runner": SLOWER, "measure": {"requests": 999, "seed": 1, "confirm": True}}
    replay(baseline, tmp_path / "like", other)
    before, after = settings(baseline), settings(tmp_path / "like")
    assert {found.stage for found in before} == {"explore", "confirm"}
    assert [asked(found) for found in after] == [asked(found) for found in before]
    assert requests(tmp_path / "like") == requests(baseline)
    assert not {f.trial_id for f in before} & {f.trial_id for f in after}  # another system


def test_no_pilot_is_run_and_nothing_is_chosen_anew(baseline: Path, tmp_path: Path) -> None:
    def explored(manifest: dict[str, Any]) -> None:
        """Leave out what was measured again, and ask for more precision than there is."""
        manifest["trials"] = [e for e in manifest["trials"] if e["stage"] == "explore"]
        manifest["scenario"]["measure"] |= {"precision": {"throughput": 1e-6}, "max_repeats": 5}

    run = open_run(rewritten(baseline, tmp_path / "run", explored))
    scenario = scenario_from_mapping({**DATA, "runner": SLOWER})
    like = plan_like(run, scenario, seed=None, simulated=True)
    served = sweep(tmp_path / "like", like.scenario, like)
    assert [t.repeat for t in served if t.repeat < 0] == []  # -1 is a pilot's
    assert len({t.trial_id for t in served}) == len(run.manifest["trials"])
    again = open_run(tmp_path / "like").manifest
    assert again["capacity"] == run.manifest["capacity"]
    assert (again["like"]["name"], again["like"]["seed"]) == ("base", 7)
    assert str(baseline.parent) not in json.dumps(again)


def test_fresh_schedules_are_at_the_same_rates_and_can_be_replayed(
    baseline: Path, tmp_path: Path
) -> None:
    replay(baseline, tmp_path / "fresh", {}, seed=8)
    replay(tmp_path / "fresh", tmp_path / "second", {})
    before, fresh, second = map(settings, (baseline, tmp_path / "fresh", tmp_path / "second"))
    assert [f.offered_requests_per_s for f in fresh] == [b.offered_requests_per_s for b in before]
    assert not {f.schedule_id for f in fresh} & {b.schedule_id for b in before}
    assert [asked(f) for f in second] == [asked(f) for f in fresh]
    assert requests(tmp_path / "second") == requests(tmp_path / "fresh")


def test_what_was_measured_at_twice_the_length_is_replayed_at_that_length_at_once(
    baseline: Path, tmp_path: Path
) -> None:
    replay(baseline, tmp_path / "fresh", {}, seed=8)
    entries = open_run(tmp_path / "fresh").manifest["trials"]
    twice = [entry["attempt"] == 2 for entry in entries]
    assert 0 < sum(twice) < len(twice)
    scenario = scenario_from_mapping(DATA)
    like = plan_like(open_run(tmp_path / "fresh"), scenario, seed=None, simulated=True)
    served = sweep(tmp_path / "second", like.scenario, like)
    usual = {trial.num_requests for trial in like.trials}
    assert [t.num_requests in usual for t in served] == [not is_twice for is_twice in twice]


def test_what_one_side_lacks_is_left_out_and_said(baseline: Path, tmp_path: Path) -> None:
    like = replay(baseline, tmp_path / "like", {"batching": {"max_batch_size": [4, 8]}})
    assert {trial.batching.max_batch_size for trial in like.trials} == {4}
    left_out, not_measured = like.notes
    assert left_out.startswith("left out: ")
    assert "batch 2" in left_out
    assert "batch 8" not in left_out
    assert not_measured.startswith("not measured: 2 configurations")
    assert "batch 8" in not_measured
    with pytest.raises(UserInputError, match=r"found none \(static batch 2"):
        replay(baseline, tmp_path / "none", {"batching": {"max_batch_size": [16]}})


def test_a_run_of_another_version_is_found_by_its_labels(baseline: Path, tmp_path: Path) -> None:
    def of_before(manifest: dict[str, Any]) -> None:
        for entry in manifest["trials"]:  # ids of other content, no seed recorded
            del entry["seed"]
            entry |= {"configuration_id": "0" * 12, "trial_id": "1" * 12}

    old = rewritten(baseline, tmp_path / "old", of_before)
    replay(old, tmp_path / "like", {})
    assert [asked(f) for f in settings(tmp_path / "like")] == [asked(f) for f in settings(baseline)]


def test_the_seeds_are_those_that_the_run_recorded(baseline: Path, tmp_path: Path) -> None:
    def drawn_otherwise(manifest: dict[str, Any]) -> None:
        for number, entry in enumerate(manifest["trials"]):
            entry["seed"] = 1000 + number

    run = open_run(rewritten(baseline, tmp_path / "run", drawn_otherwise))
    like = plan_like(run, scenario_from_mapping(DATA), seed=None, simulated=True)
    assert [t.seed for t in like.trials] == [*range(1000, 1000 + len(run.manifest["trials"]))]


def test_a_trace_is_the_file_that_lies_here(tmp_path: Path) -> None:
    folders = [tmp_path / "there", tmp_path / "here"]
    for folder in folders:
        folder.mkdir()
        rows = "".join(f"2024-05-10 00:00:{i / 4:09.6f},8,{4 + i % 5}\n" for i in range(120))
        (folder / "trace.csv").write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows)
    there, here = (
        scenario_from_mapping(
            {**DATA, "load": {"kind": "trace", "path": str(folder / "trace.csv")}}
        )
        for folder in folders
    )
    sweep(tmp_path / "run", there)
    like = plan_like(open_run(tmp_path / "run"), here, seed=None, simulated=True)
    assert like.notes == ()
    assert all(str(getattr(t.load, "path", "")).startswith(str(folders[1])) for t in like.trials)
    assert [t.schedule_id for t in like.trials] == [
        found.schedule_id for found in settings(tmp_path / "run")
    ]


def test_a_run_can_be_replayed_without_its_scenario_file(baseline: Path) -> None:
    run = open_run(baseline)
    narrowed = scenario_of(run, Overrides(max_batch_size=[4]))
    like = plan_like(run, narrowed, seed=None, simulated=True)
    assert {t.trial_id for t in like.trials} == {
        found.trial_id for found in settings(baseline) if found.max_batch_size == 4
    }


def test_a_replay_resumes_as_the_replay_it_is(baseline: Path, tmp_path: Path) -> None:
    like = replay(baseline, tmp_path / "like", {})
    kept = open_run(tmp_path / "like").trial_ids()
    folder = tmp_path / "like" / "trials" / kept[2]
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    served = sweep(tmp_path / "like", like.scenario, like, resume=True)
    assert [trial.trial_id for trial in served] == [kept[2]]
    other = plan_like(open_run(baseline), like.scenario, seed=9, simulated=True)
    with pytest.raises(RunFolderError, match=r"fresh schedules of seed 9.* found a replay of base"):
        sweep(tmp_path / "like", other.scenario, other, resume=True)
    with pytest.raises(RunFolderError, match="expected no replay, found a replay of base"):
        sweep(tmp_path / "like", like.scenario, resume=True)


@pytest.mark.parametrize(
    ("change", "simulated", "said"),
    [
        ({"state": "interrupted"}, True, "found one that is interrupted"),
        ({}, False, "found one that was simulated; .* `paretobench simulate --like`"),
    ],
)
def test_a_run_that_cannot_be_replayed_is_refused(
    baseline: Path, tmp_path: Path, change: dict[str, Any], simulated: bool, said: str
) -> None:
    run = open_run(rewritten(baseline, tmp_path / "run", lambda m: m.update(change)))
    with pytest.raises(UserInputError, match=said):
        plan_like(run, scenario_from_mapping(DATA), seed=None, simulated=simulated)
