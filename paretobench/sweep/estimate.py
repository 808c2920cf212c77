"""How long a sweep will take, before anything is measured: the sweep simulated with step times
assumed from the model's size."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from paretobench.analysis.metrics import summarize
from paretobench.analysis.sla import service_levels
from paretobench.core.errors import TrialError
from paretobench.core.points import Point, Settings
from paretobench.core.step_times import StepTimes
from paretobench.core.values import Trial
from paretobench.core.workloads import at_capacity
from paretobench.scenario import Scenario
from paretobench.scenario.presets import num_parameters
from paretobench.scenario.schema import Measure
from paretobench.scenario.systems import LatencyModel, Model
from paretobench.sweep.attempts import is_to_repeat, length_s, twice_as_long
from paretobench.sweep.pilot import capacity_key, measure_capacity, needs_pilot
from paretobench.sweep.preflight import model_architecture
from paretobench.sweep.stages import next_block
from paretobench.targets.serve import step_times
from paretobench.targets.simulated import SimulatedTarget

_LOAD_MODEL_S = 15.0  # starting the worker, importing torch, filling the weights


@dataclass(frozen=True, slots=True, kw_only=True)
class AssumedDevice:
    """Round figures of an ordinary device, good to a factor of about two."""

    name: str
    read_bytes_per_s: float
    flops_per_s: float
    dispatch_s_per_layer: float
    bytes_per_parameter: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How long each planned trial will take about, and those that are likely to follow.

    `alone_s` is what a trial of each configuration takes without pilot and loading. `later` are the
    trials of the frontier measured again, in `later_s` seconds; `at_most_s` what all takes where
    every repeat that `measure.precision` may ask for is measured, None where it asks for none.
    """

    trials: tuple[Trial, ...]
    durations_s: tuple[float, ...]
    alone_s: Mapping[str, float] = field(default_factory=dict)
    later: tuple[Trial, ...] = ()
    later_s: float = 0.0
    at_most_s: float | None = None
    basis: str = ""

    @property
    def planned_s(self) -> float:
        """Seconds of all planned trials."""
        return math.fsum(self.durations_s)

    def of(self, trials: Sequence[Trial]) -> dict[str, float]:
        """Return the seconds of trials by their id; of one not planned, its configuration's."""
        planned = dict(zip((t.trial_id for t in self.trials), self.durations_s, strict=True))
        return {
            t.trial_id: planned.get(t.trial_id, self.alone_s.get(t.configuration_id, 0.0))
            for t in trials
        }


def no_time(trials: Sequence[Trial]) -> Estimate:
    """Return the estimate of a sweep in virtual time."""
    return Estimate(trials=tuple(trials), durations_s=(0.0,) * len(trials))


def estimate_sweep(scenario: Scenario, trials: Sequence[Trial]) -> Estimate:
    """Return the seconds that the sweep will take about, and what that rests on.

    The first trial of a variant's workload shape also carries its pilot, and the first trial after
    another variant's the loading. A trial that looks overloaded counts twice over again. Hub
    models, of which only the id is known, count as 8 B parameters. The frontier that is measured
    again is that of the simulated trials.
    """
    rehearsal = _Rehearsal(scenario)
    durations_s, points = rehearsal.measure(trials)
    later = rehearsal.later(trials, points)
    later_s = math.fsum(rehearsal.alone_s[trial.configuration_id] for trial in later)
    if len(scenario.variants) > 1:
        later_s += math.fsum(map(rehearsal.loading_s, later, (None, *later)))
    planned_s = math.fsum(durations_s)
    return Estimate(
        trials=tuple(trials),
        durations_s=tuple(durations_s),
        alone_s=rehearsal.alone_s,
        later=tuple(later),
        later_s=later_s,
        at_most_s=_at_most_s(scenario.measure, planned_s, later_s),
        basis=rehearsal.basis,
    )


def _at_most_s(measure: Measure, planned_s: float, later_s: float) -> float | None:
    """Return the seconds with every repeat that the precision may take, None without one."""
    if measure.precision is None:
        return None
    least_s = planned_s + later_s
    most_s = least_s * measure.max_repeats / measure.repeats
    return most_s if measure.budget_s is None else max(least_s, min(most_s, measure.budget_s))


class _Rehearsal:
    """The sweep in virtual time, with step times assumed from each model's size."""

    def __init__(self, scenario: Scenario) -> None:
        assumed = {variant: _assumed_times(system) for variant, system in scenario.variants}
        self.basis = "; ".join(dict.fromkeys(basis for _, basis in assumed.values()))
        self._scenario = scenario
        self._targets = {variant: SimulatedTarget(times) for variant, (times, _) in assumed.items()}
        self._levels = service_levels(scenario.model_dump(mode="json"))
        self._capacities: dict[str, float | None] = {}
        self.alone_s: dict[str, float] = {}  # of the trials measured, by configuration

    def loading_s(self, trial: Trial, before: Trial | None) -> float:
        """Return how long it takes to load the trial's model, where another was measured before."""
        if self._scenario.model is None:
            return 0.0
        return _LOAD_MODEL_S if before is None or before.variant != trial.variant else 0.0

    def measure(self, trials: Sequence[Trial]) -> tuple[list[float], list[Point]]:
        """Return the seconds that each trial takes about, and the points of those that run."""
        durations_s, points = [], []
        for trial, before in zip(trials, (None, *trials), strict=False):
            duration_s = self._pilot_s(trial) + self.loading_s(trial, before)
            capacity = self._capacities.get(capacity_key(trial))
            if needs_pilot(trial) and capacity is None:
                trial_s = trial.timeout_s
            else:
                settled = replace(trial, load=at_capacity(trial.load, capacity))
                trial_s, point = self._serve(settled)
                points.append(point)
            self.alone_s.setdefault(trial.configuration_id, trial_s)
            durations_s.append(duration_s + trial_s)
        return durations_s, points

    def later(self, trials: Sequence[Trial], points: Sequence[Point]) -> list[Trial]:
        """Return the trials of the frontier measured again, whose first points these are."""
        at_once = self._scenario.measure.model_copy(update={"precision": None})
        scenario = self._scenario.model_copy(update={"measure": at_once})
        planned, known, round_number = list(trials), list(points), 0
        while block := next_block(
            scenario, planned, known, round_number=round_number, measured_s=0.0
        ):
            planned += block.trials
            known += self.measure(block.trials)[1]
            round_number = block.round_number
        return planned[len(trials) :]

    def _pilot_s(self, trial: Trial) -> float:
        """Return how long the pilot takes that this trial is the first to need."""
        shape = capacity_key(trial)
        if not needs_pilot(trial) or shape in self._capacities:
            return 0.0
        try:
            pilot = measure_capacity(self._scenario, trial, self._targets[trial.variant])
        except TrialError:
            self._capacities[shape] = None
            return 0.0
        self._capacities[shape] = pilot["requests_per_s"]
        return float(4 / 3 * pilot["num_requests"] / pilot["requests_per_s"])

    def _serve(self, trial: Trial) -> tuple[float, Point]:
        target, settings = self._targets[trial.variant], Settings.of(trial)
        trace = target.measure(trial)
        point = summarize(settings, trace, self._levels)
        if not is_to_repeat(trace, point):
            return length_s(trace), point
        again = replace(target.measure(twice_as_long(trial)), attempt=2)
        return length_s(trace) + length_s(again), summarize(settings, again, self._levels)


def _assumed_times(system: Model | LatencyModel) -> tuple[StepTimes, str]:
    if isinstance(system, LatencyModel):
        return step_times(system), "the scenario's latency model"
    architecture = model_architecture(system)
    parameters, layers = 8e9, 32
    if architecture is not None and "intermediate_size" in architecture:
        parameters = num_parameters(architecture)
        layers = architecture["num_hidden_layers"]
    device = _assumed_device(system)
    weights_s = parameters * device.bytes_per_parameter / device.read_bytes_per_s
    token_s = 2 * parameters / device.flops_per_s
    times = StepTimes(
        prefill_base_s=weights_s + layers * device.dispatch_s_per_layer,
        prefill_per_token_s=token_s,
        decode_base_s=weights_s + layers * device.dispatch_s_per_layer,
        decode_per_sequence_s=token_s,
    )
    return times, (
        f"assumes {parameters / 1e6:,.0f} M parameters on {device.name}: "
        f"{device.read_bytes_per_s / 1e9:,.0f} GB/s, {device.flops_per_s / 1e12:,.1f} TFLOP/s; "
        "good to a factor of about two"
    )


def _assumed_device(model: Model) -> AssumedDevice:
    has_gpu = Path("/dev/nvidiactl").exists()
    if model.device.startswith("cuda") or (model.device == "auto" and has_gpu):
        return AssumedDevice(
            name="a data-centre GPU",
            read_bytes_per_s=2e12,
            flops_per_s=2e14,
            dispatch_s_per_layer=4e-4,
            bytes_per_parameter=4 if model.dtype == "float32" else 2,
        )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4
    return AssumedDevice(
        name=f"{cores} CPU cores",
        read_bytes_per_s=3e10,
        flops_per_s=1e11 * cores,
        dispatch_s_per_layer=4e-4,
        bytes_per_parameter=2 if model.dtype in ("bfloat16", "float16") else 4,
    )
