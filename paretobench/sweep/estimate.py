"""How long a sweep will take, before anything is measured: the sweep simulated with step times
assumed from the model's size."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from paretobench.core.errors import TrialError
from paretobench.core.step_times import StepTimes
from paretobench.core.values import Trial
from paretobench.core.workloads import at_capacity
from paretobench.scenario import Scenario
from paretobench.scenario.presets import num_parameters
from paretobench.scenario.systems import LatencyModel, Model
from paretobench.sweep.pilot import capacity_key, measure_capacity, needs_pilot
from paretobench.sweep.preflight import model_architecture
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


def estimate_durations_s(scenario: Scenario, trials: Sequence[Trial]) -> tuple[list[float], str]:
    """Return the seconds that each trial will take about, and what that rests on.

    The first trial of a variant's workload shape also carries its pilot, and the first trial after
    another variant's the loading. Hub models, of which only the id is
    known, count as 8 B parameters.
    """
    assumed = {variant: _assumed_times(system) for variant, system in scenario.variants}
    targets = {variant: SimulatedTarget(times) for variant, (times, _) in assumed.items()}
    capacities: dict[str, float | None] = {}
    durations = []
    for trial, before in zip(trials, (None, *trials), strict=False):
        duration_s = 0.0
        if scenario.model is not None and (before is None or before.variant != trial.variant):
            duration_s += _LOAD_MODEL_S
        shape, target = capacity_key(trial), targets[trial.variant]
        if needs_pilot(trial) and shape not in capacities:
            try:
                pilot = measure_capacity(scenario, trial, target)
            except TrialError:
                capacities[shape] = None
            else:
                capacities[shape] = pilot["requests_per_s"]
                duration_s += 4 / 3 * pilot["num_requests"] / pilot["requests_per_s"]
        capacity = capacities.get(shape)
        if needs_pilot(trial) and capacity is None:
            durations.append(duration_s + trial.timeout_s)
            continue
        trace = target.measure(replace(trial, load=at_capacity(trial.load, capacity)))
        ends = [step.start_s + step.duration_s for step in trace.steps]
        durations.append(duration_s + max(ends, default=0.0))
    return durations, "; ".join(dict.fromkeys(basis for _, basis in assumed.values()))


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
