"""Replaying a run: its trials, loads and schedules once more, on the same system or another.

A replay measures what its baseline measured, and nothing else: no pilot is run, no configuration
is chosen to be measured again, no repeat is added. What of it the scenario does not plan is left
out, and so is what only the scenario plans.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from paretobench.core.errors import RunFolderError, UserInputError
from paretobench.core.hashing import content_hash
from paretobench.core.values import Stage, Trial
from paretobench.results import RunFolder
from paretobench.scenario import Overrides, Scenario
from paretobench.scenario.loader import scenario_from_mapping
from paretobench.sweep.pilot import settled_load
from paretobench.sweep.plan import plan_trials, repeat_of

_SHOWN = 3  # names of what is left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Like:
    """A replay: its scenario, its trials with settled loads, and what the manifest says of it.

    `recorded` tells which run is replayed, without its path; `capacity` is that run's. `notes` say
    what is left out. `longer` are the trials that the run measured again at twice the length: they
    are served at that length at once.
    """

    scenario: Scenario
    trials: tuple[Trial, ...]
    longer: frozenset[str]
    recorded: Mapping[str, Any]
    capacity: Mapping[str, Any]
    notes: tuple[str, ...]


def scenario_of(run: RunFolder, overrides: Overrides) -> Scenario:
    """Return the run's own scenario with the overrides applied. Raises ScenarioError."""
    content = run.manifest.get("scenario") or {}
    data = {key: value for key, value in content.items() if value is not None}
    overrides.apply(data)
    return scenario_from_mapping(data, source=str(run.path / "manifest.json"))


def plan_like(run: RunFolder, scenario: Scenario, *, seed: int | None, simulated: bool) -> Like:
    """Return the replay of a run under the systems and configurations of `scenario`.

    Its loads are those that the run settled, and so are the numbers of requests. With `seed` the
    schedules are fresh ones of that seed, else the run's own. Raises UserInputError where the run
    is not finished, is a simulation and this is none or the other way round, or has nothing in
    common with the scenario.
    """
    _check(run, simulated=simulated)
    before = scenario_of(run, Overrides())
    measure = before.measure.model_copy(
        update={
            "confirm": False,
            "precision": None,
            "seed": before.measure.seed if seed is None else seed,
        }
    )
    again = scenario.model_copy(update={"measure": measure})
    planned = {_configuration(trial): trial for trial in plan_trials(again)}
    replay = _Replay(run, _Baseline(before), again, planned, fresh=seed is not None)
    if not replay.trials:
        raise UserInputError(
            f"{run.path}: expected configurations that {scenario.name} plans too, found none "
            f"({_listed([*replay.unplanned, *replay.unsettled])}); give the scenario of that run, "
            "or leave it out"
        )
    known = {_configuration(trial) for trial in replay.trials}
    extra = [str(trial) for key, trial in planned.items() if key not in known]
    return Like(
        scenario=again,
        trials=tuple(replay.trials),
        longer=frozenset(replay.longer),
        recorded={
            **{key: run.manifest.get(key) for key in ("name", "scenario_hash", "created_at")},
            "seed": measure.seed,
            "fresh_schedules": seed is not None,
        },
        capacity=dict(run.manifest.get("capacity") or {}),
        notes=tuple(_notes(str(run.manifest.get("name")), replay, extra)),
    )


def check_resumes(folder: Path, manifest: Mapping[str, Any], like: Like | None) -> None:
    """Raise RunFolderError unless a run is resumed as the replay, or the sweep, that began it."""
    began = manifest.get("like")
    if began == (None if like is None else dict(like.recorded)):
        return
    found = "no replay" if began is None else f"a replay of {_told(began)}"
    wanted = "no replay" if like is None else f"a replay of {_told(like.recorded)}"
    raise RunFolderError(
        f"{folder}: expected {wanted}, found {found}; resume with the --like and --seed that "
        "began it, or give another --output-dir"
    )


class _Replay:
    """The trials of a run that are measured again, and the names of those that are not."""

    def __init__(
        self,
        run: RunFolder,
        baseline: _Baseline,
        scenario: Scenario,
        planned: Mapping[str, Trial],
        *,
        fresh: bool,
    ) -> None:
        self.trials: list[Trial] = []
        self.longer: list[str] = []  # their ids
        self.unplanned: list[str] = []
        self.unsettled: list[str] = []
        capacities = run.manifest.get("capacity") or {}
        for entry in run.manifest["trials"]:
            before = baseline.trial(entry)
            here = None if before is None else planned.get(_configuration(before))
            load = None if here is None else settled_load(here, capacities)
            if before is None or here is None:
                self.unplanned.append(str(entry.get("label")))
            elif load is None:
                self.unsettled.append(str(entry.get("label")))
            else:
                again = repeat_of(scenario, here, repeat=before.repeat, stage=before.stage)
                seed = again.seed if fresh else before.seed
                trial = replace(again, seed=seed, load=load)
                self.trials.append(trial)
                if entry.get("attempt") == 2:
                    self.longer.append(trial.trial_id)


class _Baseline:
    """Finds the trials that a manifest's entries stand for."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        planned = plan_trials(scenario)
        configurations = {trial.configuration_id: trial for trial in planned}
        labels = Counter(map(str, configurations.values()))
        self._by_id = configurations
        # ids of another version of paretobench may be others; a name that is one's alone will do
        self._by_label = {str(t): t for t in configurations.values() if labels[str(t)] == 1}

    def trial(self, entry: Mapping[str, Any]) -> Trial | None:
        """Return the trial of an entry with the seed that drew its schedule, None if not found."""
        base = self._by_id.get(str(entry.get("configuration_id"))) or self._by_label.get(
            str(entry.get("label"))
        )
        if base is None:
            return None
        stage: Stage = "confirm" if entry.get("stage") == "confirm" else "explore"
        trial = repeat_of(self._scenario, base, repeat=int(entry["repeat"]), stage=stage)
        return trial if entry.get("seed") is None else replace(trial, seed=int(entry["seed"]))


def _check(run: RunFolder, *, simulated: bool) -> None:
    missing = [entry for entry in run.manifest["trials"] if entry.get("state") != "done"]
    if run.manifest.get("state") not in ("complete", "incomplete") or missing:
        raise RunFolderError(
            f"{run.path}: expected a run whose trials are all measured, found one that is "
            f"{run.manifest.get('state')} with {len(missing)} of {len(run.manifest['trials'])} "
            "missing; go on with it first (--resume)"
        )
    provenance = run.manifest.get("provenance") or {}
    systems = [provenance.get("system"), *(provenance.get("systems") or {}).values()]
    was_simulated = any(system and system.get("simulated") for system in systems)
    if was_simulated != simulated:
        what, verb = ("simulated", "simulate") if was_simulated else ("measured", "sweep")
        raise UserInputError(
            f"{run.path}: expected a run that was {'simulated' if simulated else 'measured'}, "
            f"found one that was {what}; replay it with `paretobench {verb} --like`"
        )


def _configuration(trial: Trial) -> str:
    """Return what a configuration is matched by: all but the system and the measurement."""
    load = asdict(trial.load)
    if load.get("fraction_of_capacity") is not None:
        load["requests_per_s"] = None
    return content_hash(
        [trial.variant, asdict(trial.batching), load["kind"], load, asdict(trial.workload)]
    )


def _notes(name: str, replay: _Replay, extra: Sequence[str]) -> list[str]:
    notes = []
    for labels, said in (
        (replay.unplanned, "that this scenario does not plan"),
        (replay.unsettled, f"whose rate {name} could not settle"),
    ):
        if labels:
            trials = f"{len(labels)} trial{'' if len(labels) == 1 else 's'}"
            notes.append(f"left out: {trials} of {name} {said} ({_listed(labels)})")
    if extra:
        configurations = f"{len(extra)} configuration{'' if len(extra) == 1 else 's'}"
        notes.append(f"not measured: {configurations} that {name} lacks ({_listed(extra)})")
    return notes


def _told(recorded: Mapping[str, Any]) -> str:
    fresh = f", fresh schedules of seed {recorded['seed']}" if recorded["fresh_schedules"] else ""
    return f"{recorded['name']} (begun {recorded['created_at']}{fresh})"


def _listed(labels: Sequence[str]) -> str:
    names = list(dict.fromkeys(labels))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return "; ".join(names[:_SHOWN]) + more
