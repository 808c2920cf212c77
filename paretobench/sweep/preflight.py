"""What can be known to be wrong before anything is loaded or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paretobench.core.errors import ScenarioError
from paretobench.core.step_times import StepTimes
from paretobench.core.units import to_ms
from paretobench.core.values import Trial
from paretobench.core.workloads import TrafficSpec, classes_of
from paretobench.runners.checkpoint import check_checkpoint, max_positions
from paretobench.scenario import Scenario
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.systems import LatencyModel, Model
from paretobench.sweep.plan import workload_shapes
from paretobench.targets.serve import step_times
from paretobench.workload.lengths import length_facts, max_request_tokens, min_shapes
from paretobench.workload.schedule import make_schedule


def check_scenario(scenario: Scenario) -> None:
    """Raise UserInputError where files are missing, requests do not fit the model, or a load does
    not fit the arrangement.

    Reads traces and the checkpoint's configuration; loads no weights.
    """
    kinds = [load.kind for load in scenario.load]
    if "separate" in scenario.batching.arrangement and "closed_loop" in kinds:
        raise ScenarioError(
            f"{scenario.name}: batching.arrangement separate needs an open-loop load (poisson, "
            "constant, gamma, steps, sine, burst or trace), found closed_loop: its clients do not "
            "keep to one class; give another load, or leave separate out"
        )
    positions = _fewest_positions(scenario)
    for workload in workload_shapes(scenario):
        longest = max_request_tokens(workload)
        if positions is not None and longest > positions:
            raise ScenarioError(
                f"{scenario.name}: workload must fit the model's {positions} positions, found up "
                f"to {longest} tokens of prompt and output ({workload}); shorten them or cap them"
            )
        for budget in scenario.batching.kv_budget_tokens:
            if budget is not None and budget < longest:
                raise ScenarioError(
                    f"{scenario.name}: batching.kv_budget_tokens must hold the longest request, "
                    f"{longest} tokens of prompt and output ({workload}), found {budget}; raise it"
                )
    _check_targets(scenario)


def check_trials(trials: Sequence[Trial]) -> None:
    """Raise UserInputError where a trial's schedule cannot be drawn, such as a broken trace, or
    where a trial cannot be done in its time."""
    seen: set[str] = set()
    for trial in trials:
        if trial.min_duration_s >= trial.timeout_s:
            raise ScenarioError(
                f"measure.timeout_s must be longer than what is measured at least, "
                f"{trial.min_duration_s:g} s of {trial.load}, found {trial.timeout_s:g}; raise it"
            )
        if trial.load.kind == "trace" and str(trial.load) not in seen:
            seen.add(str(trial.load))
            make_schedule(trial)


def model_architecture(system: Model | LatencyModel) -> dict[str, Any] | None:
    """Return a model's configuration where it is at hand, None for a hub id or a latency model.

    Raises CheckpointError for a folder that holds no model.
    """
    if isinstance(system, LatencyModel) or system.hub is not None:
        return None
    if system.preset is not None:
        return PRESETS[system.preset]
    assert system.path is not None
    architecture: dict[str, Any] = check_checkpoint(Path(system.path))
    return architecture


def _check_targets(scenario: Scenario) -> None:
    """Raise ScenarioError where latency models say that no batch can meet a controller's SLA.

    What a model that is measured can do is not known before: its trials get a verdict, and so do
    those of the slower one of several systems.
    """
    models = [system for _, system in scenario.variants if isinstance(system, LatencyModel)]
    if not models or scenario.batching.controller == [None]:
        return
    shortest = [shape for workload in workload_shapes(scenario) for shape in min_shapes(workload)]
    fastest_ms = to_ms(
        min(_alone_s(step_times(model), *shape) for model in models for shape in shortest)
    )
    for section in scenario.batching.controller:
        if section is None:
            continue
        sla_ms = section.latency_sla_ms or scenario.sla.e2e_ms
        if sla_ms is not None and sla_ms < fastest_ms:
            raise ScenarioError(
                f"{scenario.name}: batching.controller {section.kind} must have a latency_sla_ms "
                f"that a batch can meet, found {sla_ms:g} where the shortest request alone takes "
                f"{fastest_ms:.4g} ms on this latency model; raise it"
            )


def _alone_s(times: StepTimes, prompt_tokens: int, output_tokens: int) -> float:
    """Return how long a request takes that has the runner to itself."""
    prefill_s = times.duration_s(
        num_joining=1, prompt_tokens=prompt_tokens, num_decoding=0, kv_tokens=0
    )
    return prefill_s + sum(
        times.duration_s(
            num_joining=0, prompt_tokens=0, num_decoding=1, kv_tokens=prompt_tokens + done
        )
        for done in range(1, output_tokens)
    )


def _fewest_positions(scenario: Scenario) -> int | None:
    architectures = [model_architecture(system) for _, system in scenario.variants]
    known = [max_positions(architecture) for architecture in architectures if architecture]
    return min((positions for positions in known if positions is not None), default=None)


def describe_workload(workload: TrafficSpec) -> list[dict[str, Any]]:
    """Return what the lengths of each class really are, for the manifest."""
    return [
        {
            "workload": str(workload),
            "class": c.name,
            "share": c.share,
            "prompt_tokens": _facts(c.lengths.prompt_tokens, "prompt"),
            "output_tokens": _facts(c.lengths.output_tokens, "output"),
        }
        for c in classes_of(workload)
    ]


def _facts(spec: Any, column: str) -> dict[str, Any]:
    facts = asdict(length_facts(spec, column=column))
    facts["max"] = facts.pop("maximum")
    return facts
