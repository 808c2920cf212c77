"""Running a sweep: every trial measured or its failure recorded, each on disk before the next."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from paretobench.analysis.sla import service_levels
from paretobench.core.errors import (
    DeviceOutOfMemoryError,
    EnvironmentUnfitError,
    IncompleteError,
    ParetoBenchError,
    TrialError,
)
from paretobench.core.points import Point, Settings
from paretobench.core.values import Trace, Trial
from paretobench.core.workloads import at_capacity
from paretobench.results import RunWriter, open_run
from paretobench.scenario import Scenario
from paretobench.sweep.attempts import is_to_repeat, length_s, nothing, settings_of, twice_as_long
from paretobench.sweep.conditions import ConditionsRecorder, MeasureCeilings
from paretobench.sweep.like import Like, check_resumes
from paretobench.sweep.measured import MeasuredTrials
from paretobench.sweep.pilot import capacity_key, measure_capacity, needs_pilot
from paretobench.sweep.plan import scenario_hash, workload_shapes
from paretobench.sweep.preflight import describe_workload
from paretobench.sweep.stages import later_trials, next_block
from paretobench.targets.base import Target
from paretobench.targets.variants import VariantsTarget
from paretobench.telemetry.provenance import collect_provenance

_LOG = logging.getLogger(__name__)
SAME_SYSTEM = (
    "kind",
    "simulated",
    "model",
    "fitted_from_hash",
    "device_name",
    "dtype",
    "attention_backend",
    "linear_backend",
    "torch",
    "cuda",
    "transformers",
    "threads",
    "environment",
    "engines",
    "mps",
)


class SweepListener(Protocol):
    """Is told how the sweep goes; draws nothing while a trial is timed in this process."""

    def pilot_started(self) -> None:
        """Learn that the capacity is being measured."""

    def trial_started(self, trial: Trial) -> None:
        """Learn that a trial begins."""

    def trial_done(self, trial: Trial, point: Point, duration_s: float) -> None:
        """Learn what a trial gave and how long it took."""


def _tell_nobody(_planned: Sequence[Trial], _missing: Sequence[Trial]) -> None:
    pass


class Sweep:
    """The trials of one scenario, measured on one target, written to one run folder.

    `trials` are those that the scenario plans; `stages` says which follow. `on_plan` is told, as
    the plan grows, of all planned trials and of those still to be measured. Those of a replay are
    `like`'s.
    """

    def __init__(
        self,
        scenario: Scenario,
        trials: Sequence[Trial],
        target: Target,
        listener: SweepListener,
        ceilings: MeasureCeilings | None = None,
        on_plan: Callable[[Sequence[Trial], Sequence[Trial]], None] = _tell_nobody,
        like: Like | None = None,
    ) -> None:
        self._scenario = scenario
        self._trials = list(trials)
        self._on_plan = on_plan
        self._like = like
        self._no_capacity: dict[str, str] = {}
        self._target = target
        self._listener = listener
        self._levels = service_levels(scenario.model_dump(mode="json"))
        self._conditions = ConditionsRecorder(scenario, trials, ceilings)
        self._systems: dict[str, Any] = {}  # of several variants, what each was when first loaded

    def run(self, output_dir: Path, *, resume: bool, retry_failed: bool = False) -> None:
        """Measure every trial that is not on disk yet.

        The target is opened first: where the model cannot be loaded, nothing is written. With
        `ceilings` they are measured before that, and once more when all is measured.
        Raises UserInputError, EnvironmentUnfitError, IncompleteError; KeyboardInterrupt leaves a
        folder that resumes.
        """
        provenance = collect_provenance(
            package_dir=Path(__file__).resolve().parents[1], ignore_pids=()
        )
        if isinstance(self._target, VariantsTarget):  # it checks them, and loads none yet
            self._target.open()
            self._conditions.before_loading(output_dir, resume=resume)
        else:
            self._conditions.before_loading(output_dir, resume=resume)
            self._target.open()
        writer = self._open_folder(output_dir, resume=resume)
        try:
            self._describe(writer, provenance)
            entries = writer.manifest["trials"]
            self._trials += later_trials(self._scenario, self._trials, entries)
            self._conditions.begin(writer)
            writer.plan(self._trials)
            if retry_failed:
                self._forget_failed(writer)
            self._measure_all(writer)
            self._conditions.finish(writer, self._target)
            failed = any(entry["verdict"] == "failed" for entry in writer.manifest["trials"])
            writer.finish("incomplete" if failed else "complete")
        except KeyboardInterrupt:
            writer.finish("interrupted")
            raise
        except ParetoBenchError:
            with contextlib.suppress(IncompleteError):  # it may be the disk that refuses
                writer.finish("incomplete")
            raise
        finally:
            writer.close()

    def _open_folder(self, output_dir: Path, *, resume: bool) -> RunWriter:
        identity = scenario_hash(self._scenario)
        if resume and (output_dir / "manifest.json").exists():
            manifest = open_run(output_dir).manifest
            check_resumes(output_dir, manifest, self._like)
            before = manifest.get("provenance", {})
            if isinstance(self._target, VariantsTarget):
                self._systems = dict(before.get("systems") or {})
            else:
                _require_same_system(output_dir, before.get("system"), self._target.describe())
            return RunWriter.resume(output_dir, scenario_hash=identity)
        writer = RunWriter.create(
            output_dir,
            name=self._scenario.name,
            scenario=self._scenario.model_dump(mode="json"),
            scenario_hash=identity,
        )
        if self._like is not None:
            writer.manifest |= {"like": self._like.recorded, "capacity": dict(self._like.capacity)}
            writer.save()
        return writer

    def _describe(self, writer: RunWriter, provenance: dict[str, object]) -> None:
        seeds = {getattr(system, "seed", None) for _, system in self._scenario.variants}
        several = isinstance(self._target, VariantsTarget)
        writer.manifest["provenance"] = {
            **(
                {"systems": self._systems} if several else {"system": dict(self._target.describe())}
            ),
            **provenance,
            "seeds": {
                "measure": self._scenario.measure.seed,
                "model": seeds.pop() if len(seeds) == 1 else None,
            },
        }
        writer.manifest["workloads"] = [
            facts
            for workload in workload_shapes(self._scenario)
            for facts in describe_workload(workload)
        ]

    def _forget_failed(self, writer: RunWriter) -> None:
        for entry in writer.manifest["trials"]:
            if entry["verdict"] == "failed":
                writer.forget_trial(entry["trial_id"])
        writer.plan(self._trials)

    def _measure_all(self, writer: RunWriter) -> None:
        measured = MeasuredTrials(writer, self._levels)
        while True:
            missing = measured.missing(self._trials)
            self._on_plan(self._trials, missing)
            for trial in missing:
                self._measure_one(writer, measured, trial)
            if not self._plan_more(writer, measured):
                return

    def _plan_more(self, writer: RunWriter, measured: MeasuredTrials) -> bool:
        """Write down what is to be measured next; return whether there is anything."""
        measure = self._scenario.measure
        if not measure.confirm and measure.precision is None:
            return False
        block = next_block(
            self._scenario,
            self._trials,
            measured.points(self._trials),
            round_number=max((entry["round"] for entry in writer.manifest["trials"]), default=0),
            measured_s=measured.measured_s(self._trials),
        )
        if block is None:
            return False
        self._trials += block.trials
        writer.plan(self._trials, round_number=block.round_number)
        return True

    def _measure_one(self, writer: RunWriter, measured: MeasuredTrials, trial: Trial) -> None:
        try:
            self._select(writer, trial.variant)
        except TrialError as error:
            self._record_failure(measured, trial, str(error))
            return
        shape = capacity_key(trial)
        capacities = writer.manifest["capacity"]
        if needs_pilot(trial) and shape not in capacities and shape not in self._no_capacity:
            self._listener.pilot_started()
            try:
                capacities[shape] = measure_capacity(self._scenario, trial, self._target)
            except TrialError as error:
                self._no_capacity[shape] = f"the capacity could not be measured: {error}"
            writer.save()
        if needs_pilot(trial) and shape in self._no_capacity:
            self._record_failure(measured, trial, self._no_capacity[shape])
            return
        rate = capacities[shape]["requests_per_s"] if needs_pilot(trial) else None
        self._measure(measured, replace(trial, load=at_capacity(trial.load, rate)))

    def _select(self, writer: RunWriter, variant: str | None) -> None:
        """Have the variant loaded, and its system written down or found to be as it was."""
        if variant is not None and isinstance(self._target, VariantsTarget):
            self._target.select(variant)
            found = self._target.describe()[variant]
            _require_same_system(writer.path, self._systems.get(variant), found)
            if self._systems.get(variant) != found:
                self._systems[variant] = found
                writer.save()
        self._conditions.loaded(writer, self._target, variant)

    def _measure(self, measured: MeasuredTrials, trial: Trial) -> None:
        """Measure a trial, and once more at twice the length where it looks overloaded; a replay
        of such a one is measured at that length at once."""
        self._listener.trial_started(trial)
        started_s = time.monotonic()
        is_longer = self._like is not None and trial.trial_id in self._like.longer
        trace = self._serve_longer(trial) if is_longer else self._serve(trial)
        served_s, point = length_s(trace), measured.summarize(settings_of(trial, trace), trace)
        if is_to_repeat(trace, point):
            trace = self._serve_longer(trial)
            served_s += length_s(trace)
            point = measured.summarize(settings_of(trial, trace), trace)
        measured.add(trace, point, measured_s=served_s)
        self._listener.trial_done(trial, point, time.monotonic() - started_s)

    def _serve_longer(self, trial: Trial) -> Trace:
        return replace(self._serve(twice_as_long(trial)), attempt=2)

    def _serve(self, trial: Trial) -> Trace:
        try:
            return self._target.measure(trial)
        except DeviceOutOfMemoryError as error:
            return nothing(str(error), outcome="out_of_memory")
        except TrialError as error:
            _LOG.warning("trial %s failed: %s", trial, error)
            return nothing(str(error))

    def _record_failure(self, measured: MeasuredTrials, trial: Trial, reason: str) -> None:
        trace = nothing(reason)
        point = measured.summarize(Settings.of(trial), trace)
        measured.add(trace, point, measured_s=0.0)
        self._listener.trial_done(trial, point, 0.0)


def _require_same_system(
    output_dir: Path, before: Mapping[str, Any] | None, now: Mapping[str, Any]
) -> None:
    """Raise EnvironmentUnfitError where the run began on another system: one frontier of two
    machines would be neither's."""
    for name in SAME_SYSTEM:
        if before and before.get(name) != now.get(name):
            raise EnvironmentUnfitError(
                f"{output_dir}: began with {name} {before.get(name)!r}, found {now.get(name)!r}; "
                "resume where it began, or give another --output-dir"
            )
