"""What can be known to be wrong before anything is loaded or written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paretobench.core.errors import ScenarioError
from paretobench.core.values import Trial
from paretobench.core.workloads import TrafficSpec, classes_of
from paretobench.runners.checkpoint import check_checkpoint, max_positions
from paretobench.scenario import Scenario
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.schema import LatencyModel, Model
from paretobench.sweep.plan import workload_shapes
from paretobench.workload.lengths import length_facts, max_request_tokens
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
