"""From a scenario to its trials: the product of everything that stands in a list."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from paretobench.core.hashing import content_hash
from paretobench.core.profiles import RateProfile
from paretobench.core.values import BatchingConfig, Stage, Trial
from paretobench.core.warmup import WARMUP_E2E, WARMUP_REQUESTS, WARMUP_SHARE
from paretobench.core.workloads import (
    ArrivalProcess,
    ClosedLoop,
    FixedLength,
    LengthSpec,
    LoadSpec,
    LognormalLength,
    MixSpec,
    RequestClass,
    TraceLength,
    TrafficSpec,
    UniformLength,
    WorkloadSpec,
)
from paretobench.scenario import Scenario
from paretobench.scenario.classes import TrafficClass
from paretobench.scenario.schema import Measure, PerSlot
from paretobench.scenario.systems import LatencyModel, Model
from paretobench.scenario.traffic import (
    FixedTokens,
    Lengths,
    LognormalTokens,
    TraceTokens,
    UniformTokens,
    Workload,
)
from paretobench.sweep.batchings import batching_configs
from paretobench.sweep.loads import loads_of

_CYCLE_WARMUP = 10  # requests; the same for every batch size, so that all measure the same cycle


def plan_trials(scenario: Scenario) -> list[Trial]:
    """Return the trials of a scenario, one block a repeat, each block in a seeded random order.

    Within a block the trials of a variant stand together, since loading a model takes long. Rates
    given as a fraction of the capacity are not settled yet.
    """
    rng = np.random.default_rng(scenario.measure.seed)
    trials: list[Trial] = []
    for repeat in range(scenario.measure.repeats):
        block = [
            _trial(scenario, batching, load, workload, repeat)
            for workload in workload_shapes(scenario)
            for batching in batching_configs(scenario)
            for section in scenario.load
            for load in loads_of(section, batching)
        ]
        # two sections may come to the same load, such as concurrency 4 and match_batch
        block = list({trial.trial_id: trial for trial in block}.values())
        of_all = [
            replace(trial, variant=variant, system=system_identity(system))
            for variant, system in scenario.variants
            for trial in block
        ]
        trials += shuffled(of_all, rng)
    return trials


def repeat_of(scenario: Scenario, trial: Trial, *, repeat: int, stage: Stage) -> Trial:
    """Return the trial's configuration measured anew: other arrivals and lengths, all else alike.

    `trial` is one of `plan_trials`. Stage `confirm` shares no seed with any exploring trial.
    """
    return replace(
        trial,
        repeat=repeat,
        stage=stage,
        seed=_schedule_seed(scenario.measure.seed, repeat, trial.load, trial.workload, stage),
    )


def shuffled(trials: Sequence[Trial], rng: np.random.Generator) -> list[Trial]:
    """Return the trials in random order, those of a variant together."""
    variants = list(dict.fromkeys(trial.variant for trial in trials))
    ordered: list[Trial] = []
    for at in rng.permutation(len(variants)):
        of_variant = [trial for trial in trials if trial.variant == variants[at]]
        ordered += [of_variant[i] for i in rng.permutation(len(of_variant))]
    return ordered


def pilot_trial(scenario: Scenario, trial: Trial, max_batch_size: int) -> Trial:
    """Return the trial that measures the saturated throughput of a batch size with the system and
    the workload of `trial`.

    Full batches back to back, under the first of the policies (adaptive batches are static ones);
    classes share them.
    """
    policy = scenario.batching.policy[0]
    return replace(
        _trial(
            scenario,
            BatchingConfig(
                policy="static" if policy == "adaptive" else policy,
                max_batch_size=max_batch_size,
                max_waiting_time_s=0.0,
                mix_classes=True,
            ),
            ClosedLoop(concurrency=max_batch_size),
            trial.workload,
            repeat=-1,
        ),
        system=trial.system,
        variant=trial.variant,
        num_requests=max(3 * max_batch_size, 16),
        num_warmup=max_batch_size,
        warmup_e2e=0.0,
        min_duration_s=0.0,
    )


def workload_shapes(scenario: Scenario) -> list[TrafficSpec]:
    """Return the shapes of requests that a scenario sweeps."""
    if scenario.workload is not None:
        return [*_shapes(scenario.workload)]
    names = list(scenario.classes)
    return [
        MixSpec(
            classes=tuple(
                RequestClass(name=name, share=scenario.classes[name].share, lengths=lengths)
                for name, lengths in zip(names, combination, strict=True)
            )
        )
        for combination in itertools.product(*(_shapes(c) for c in scenario.classes.values()))
    ]


def _shapes(section: Workload | TrafficClass) -> Iterator[WorkloadSpec]:
    for prompt in _lengths(section.prompt_tokens):
        for output in _lengths(section.output_tokens):
            yield WorkloadSpec(prompt_tokens=prompt, output_tokens=output)


def scenario_hash(scenario: Scenario) -> str:
    """Return a hash of all that decides what is measured; where files lie does not."""
    return content_hash(_without_folders(scenario.model_dump(mode="json", exclude={"description"})))


def system_identity(system: Model | LatencyModel) -> dict[str, Any]:
    """Return what is measured, as it stands in a trial's identity."""
    identity: dict[str, Any] = _without_folders(system.model_dump(mode="json", exclude={"name"}))
    return identity


def _trial(
    scenario: Scenario,
    batching: BatchingConfig,
    load: LoadSpec,
    workload: TrafficSpec,
    repeat: int,
) -> Trial:
    measure = scenario.measure
    num_requests = _num_requests(measure, batching.max_batch_size)
    return Trial(
        batching=batching,
        load=load,
        workload=workload,
        num_requests=num_requests,
        num_warmup=_num_warmup(measure, num_requests, batching, load),
        warmup_e2e=WARMUP_E2E if measure.warmup == "auto" and _profile_of(load) is None else 0.0,
        min_duration_s=_min_duration_s(measure, load),
        timeout_s=measure.timeout_s,
        repeat=repeat,
        seed=_schedule_seed(measure.seed, repeat, load, workload, "explore"),
    )


def _schedule_seed(
    seed: int, repeat: int, load: LoadSpec, workload: TrafficSpec, stage: Stage
) -> int:
    """Return a seed that all variants and batching configurations under one load share.

    They serve the same arrivals and lengths, so that none is ahead by a luckier draw. (Their
    prompts differ all the same: those follow from the trial.)
    """
    drawn = {**asdict(load), "concurrency": None}  # clients do not change what they ask
    if drawn.get("profile") is None:
        drawn.pop("profile", None)  # a steady load's schedule is that of before there were others
    content = {"seed": seed, "repeat": repeat, "load": drawn, "workload": asdict(workload)}
    if stage != "explore":
        content["stage"] = stage
    return int(content_hash(content)[:8], 16)


def _num_requests(measure: Measure, max_batch_size: int) -> int:
    if isinstance(measure.requests, PerSlot):
        return max(measure.requests.per_slot * max_batch_size, measure.requests.minimum)
    return measure.requests


def _num_warmup(
    measure: Measure, num_requests: int, batching: BatchingConfig, load: LoadSpec
) -> int:
    """Return how many requests are served before the window: the start is not the steady state."""
    if isinstance(measure.warmup, int):
        return measure.warmup
    if _profile_of(load) is not None:
        return _CYCLE_WARMUP
    filling = load.concurrency if isinstance(load, ClosedLoop) else batching.max_batch_size
    least = max(filling, math.ceil(WARMUP_SHARE * num_requests))
    return least if measure.warmup == "quick" else max(least, WARMUP_REQUESTS)


def _min_duration_s(measure: Measure, load: LoadSpec) -> float:
    """Return the least length of the window: a whole cycle where the rate varies."""
    profile = _profile_of(load)
    return max(measure.min_duration_s, 0.0 if profile is None else profile.cycle_s)


def _profile_of(load: LoadSpec) -> RateProfile | None:
    return load.profile if isinstance(load, ArrivalProcess) else None


def _lengths(lengths: Lengths) -> Iterator[LengthSpec]:
    match lengths:
        case FixedTokens():
            for value in lengths.value:
                yield FixedLength(value=value)
        case UniformTokens():
            yield UniformLength(low=lengths.low, high=lengths.high)
        case LognormalTokens():
            yield LognormalLength(
                mean=lengths.mean, cv=lengths.cv, low=lengths.low, high=lengths.high
            )
        case TraceTokens():
            yield TraceLength(path=Path(lengths.path), cap=lengths.cap)


def _without_folders(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {
            key: Path(value).name
            if key == "path" and isinstance(value, str)
            else _without_folders(value)
            for key, value in data.items()
        }
    if isinstance(data, list):
        return [_without_folders(item) for item in data]
    return data
