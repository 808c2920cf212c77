"""Measuring one configuration of a run again, for longer: the same system, load and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from paretobench.core.errors import EnvironmentUnfitError, RunFolderError
from paretobench.core.hashing import content_hash
from paretobench.core.points import OF_ONE_RUN, Settings
from paretobench.core.step_times import StepTimes
from paretobench.core.units import to_s
from paretobench.core.values import Trial
from paretobench.core.workloads import ArrivalProcess, LoadSpec
from paretobench.results import RunFolder
from paretobench.scenario import Scenario
from paretobench.scenario.loader import scenario_from_mapping
from paretobench.sweep.loads import loads_of
from paretobench.sweep.pilot import settled_load
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.run import SAME_SYSTEM
from paretobench.targets.base import Target
from paretobench.targets.measured import worker_target
from paretobench.targets.simulated import SimulatedTarget, simulated_target
from paretobench.targets.worker_target import WorkerTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """A scenario of one configuration, and its trials."""

    scenario: Scenario
    trials: tuple[Trial, ...]


def plan_replay(
    run: RunFolder, settings: Settings, *, goal: str, name: str, factor: float, repeats: int
) -> Replay:
    """Return the trials that measure a configuration of a run again, with fresh seeds.

    Each has `factor` times the requests; there are `repeats`. A rate that was a fraction of the
    capacity is the rate that the run measured, in requests/s. `goal` is the operating point that
    the scenario keeps; `name` is its own, and decides the seeds.
    Raises RunFolderError where the run's scenario plans no such configuration, ScenarioError where
    it cannot be read.
    """
    source = str(run.path / "manifest.json")
    content = dict(run.manifest.get("scenario") or {})
    scenario = scenario_from_mapping(content, source=source)
    planned = _find(run, scenario, settings)
    load = settled_load(planned, run.manifest.get("capacity") or {})
    if isinstance(load, ArrivalProcess):
        load = replace(load, fraction_of_capacity=None)
    narrowed = _narrowed(scenario, planned, load)
    measure = scenario.measure
    narrowed |= {
        "name": name,
        "operating_points": {goal: content["operating_points"][goal]},
        "measure": {
            **measure.model_dump(mode="json"),
            "requests": max(1, round(factor * planned.num_requests)),
            "min_duration_s": factor * measure.min_duration_s,
            "timeout_s": factor * measure.timeout_s,
            "repeats": repeats,
            "precision": None,
            "confirm": False,
            "seed": int(content_hash([run.manifest.get("scenario_hash"), name])[:7], 16),
        },
    }
    again = scenario_from_mapping(narrowed, source=source)
    same = (planned.batching, planned.workload, planned.variant)
    trials = [
        t
        for t in plan_trials(again)
        if (t.batching, t.workload, t.variant) == same and t.load == load
    ]
    assert len(trials) == repeats, "the narrowed scenario plans this configuration once a repeat"
    return Replay(scenario=again, trials=tuple(trials))


def replay_target(run: RunFolder, replay: Replay) -> Target:
    """Return what measures the replay: a simulation where the run was one, else the system, which
    must be the run's.

    Opening it raises EnvironmentUnfitError where this is another system.
    """
    provenance = run.manifest.get("provenance") or {}
    ((variant, system),) = replay.scenario.variants
    before = (provenance.get("systems") or {}).get(variant) or provenance.get("system") or {}
    if before.get("simulated"):
        if before.get("step_fit"):
            return SimulatedTarget(_fitted_times(before["step_fit"]), before)
        return simulated_target(replay.scenario)
    same = _same_system_as(before, where=str(run.path))
    return worker_target(replay.scenario, system, replay.trials, same)


def _same_system_as(before: Mapping[str, Any], *, where: str) -> type[WorkerTarget]:
    """Return a worker that opens only on the system that was measured before."""

    class SameSystem(WorkerTarget):
        def open(self) -> None:
            super().open()
            found = self.describe()
            for name in SAME_SYSTEM:
                if before.get(name) != found.get(name):
                    self.close()
                    raise EnvironmentUnfitError(
                        f"{where}: was measured with {name} {before.get(name)!r}, found "
                        f"{found.get(name)!r}: what holds here need not hold there; verify on the "
                        "system that it was measured on, or sweep on this one"
                    )

    return SameSystem


def _find(run: RunFolder, scenario: Scenario, settings: Settings) -> Trial:
    wanted, capacities = _identity(settings), run.manifest.get("capacity") or {}
    for trial in plan_trials(scenario):
        if (trial.variant, trial.batching.policy) == (settings.variant, settings.policy):
            load = settled_load(trial, capacities)
            if load is not None and _identity(Settings.of(replace(trial, load=load))) == wanted:
                return trial
    raise RunFolderError(
        f"{run.path}: its scenario plans no configuration {settings.configuration_id} "
        f"({settings.load}, batch {settings.max_batch_size}); the run is of another version of "
        "paretobench: sweep again, then verify"
    )


def _identity(settings: Settings) -> dict[str, Any]:
    return {name: value for name, value in asdict(settings).items() if name not in OF_ONE_RUN}


def _narrowed(scenario: Scenario, trial: Trial, load: LoadSpec | None) -> dict[str, Any]:
    """Return the scenario's mapping with this trial's system, load, size and wait alone."""
    data = scenario.model_dump(mode="json")
    for key in ("model", "runner"):
        if isinstance(data[key], list):
            data[key] = [system for system in data[key] if system["name"] == trial.variant]
    section = next(s for s in scenario.load if trial.load in loads_of(s, trial.batching))
    data["load"] = section.model_dump(mode="json")
    if isinstance(load, ArrivalProcess):
        data["load"] |= {"requests_per_s": [load.requests_per_s], "fraction_of_capacity": None}
    batching = data["batching"]
    sizes = [s for s in batching["max_batch_size"] if s == trial.batching.max_batch_size]
    waits = batching["max_waiting_time_ms"]
    waits = [ms for ms in waits if to_s(ms) == trial.batching.max_waiting_time_s] or waits
    batching |= {
        "max_batch_size": sizes or batching["max_batch_size"],
        "max_waiting_time_ms": waits,
    }
    return data


def _fitted_times(step_fit: Mapping[str, Any]) -> StepTimes:
    """Return the step times that a manifest's `step_fit` holds in milliseconds."""
    by_size = step_fit.get("decode_by_batch_size_ms") or {}
    return StepTimes(
        decode_by_batch_size=tuple((int(rows), to_s(ms)) for rows, ms in by_size.items()),
        **{
            name: to_s(step_fit[f"{name.removesuffix('_s')}_ms"])
            for name in asdict(StepTimes())
            if name != "decode_by_batch_size"
        },
    )
