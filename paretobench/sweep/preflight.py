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
            "constant, gamma or trace), found closed_loop: a closed loop's clients do not keep to "
            "one class; give another load, or leave separate out"
        )
    architecture = model_architecture(scenario)
    positions = None if architecture is None else max_positions(architecture)
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
    """Raise UserInputError where a trial's schedule cannot be drawn, such as a broken trace."""
    seen: set[str] = set()
    for trial in trials:
        if trial.load.kind == "trace" and str(trial.load) not in seen:
            seen.add(str(trial.load))
            make_schedule(trial)


def model_architecture(scenario: Scenario) -> dict[str, Any] | None:
    """Return the model's configuration where it is at hand, None for a hub id or no model.

    Raises CheckpointError for a folder that holds no model.
    """
    if scenario.model is None or scenario.model.hub is not None:
        return None
    if scenario.model.preset is not None:
        return PRESETS[scenario.model.preset]
    assert scenario.model.path is not None
    architecture: dict[str, Any] = check_checkpoint(Path(scenario.model.path))
    return architecture


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
