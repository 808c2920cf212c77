"""What this machine can serve at most: the rate that `fraction_of_capacity` is a fraction of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretobench.analysis.metrics import summarize
from paretobench.analysis.sla import ServiceLevels
from paretobench.core.errors import DeviceOutOfMemoryError, TrialError, WorkerDiedError
from paretobench.core.points import Settings
from paretobench.core.values import Trace, Trial
from paretobench.core.workloads import LoadSpec, at_capacity, needs_capacity
from paretobench.scenario import Scenario
from paretobench.sweep.plan import pilot_trial
from paretobench.targets.base import Target


def needs_pilot(trial: Trial) -> bool:
    """Return whether the trial's rate is a fraction of a capacity that is still to be measured."""
    return needs_capacity(trial.load)


def capacity_key(trial: Trial) -> str:
    """Return what one capacity holds for: the trial's workload, and its variant if it has one."""
    return f"{'' if trial.variant is None else f'{trial.variant}: '}{trial.workload}"


def settled_load(trial: Trial, capacities: Mapping[str, Any]) -> LoadSpec | None:
    """Return the trial's load at the capacity that a manifest's `capacity` holds for it; None where
    it needs one that was not measured."""
    if not needs_pilot(trial):
        return trial.load
    capacity = capacities.get(capacity_key(trial))
    return None if capacity is None else at_capacity(trial.load, capacity["requests_per_s"])


def measure_capacity(scenario: Scenario, trial: Trial, target: Target) -> dict[str, Any]:
    """Return the saturated throughput at the largest swept batch size that runs.

    It is that of the system and the workload of `trial`: full batches back to back in a closed
    loop; `passed_over` says why larger sizes did not run. Raises TrialError where no batch size
    runs, or the worker dies twice: a smaller batch in place of one that crashed would pass for
    this machine's capacity.
    """
    reasons: list[str] = []
    for max_batch_size in sorted(scenario.batching.max_batch_size, reverse=True):
        pilot = pilot_trial(scenario, trial, max_batch_size)
        try:
            trace = _measure_twice_if_the_worker_dies(pilot, target)
        except DeviceOutOfMemoryError as error:
            reasons.append(f"batch {max_batch_size}: {error}")
            continue
        point = summarize(Settings.of(pilot), trace, ServiceLevels())
        ran = point.verdict not in ("failed", "out_of_memory")  # a pilot is short, and knows it
        if ran and point.figures["requests_per_s"]:
            return {
                "requests_per_s": point.figures["requests_per_s"],
                "output_tokens_per_s": point.figures["output_tokens_per_s"],
                "max_batch_size": max_batch_size,
                "num_requests": point.figures["num_measured"],
                "passed_over": reasons,
            }
        reasons.append(f"batch {max_batch_size}: {point.reason}")
    raise TrialError(f"no batch size runs: {'; '.join(reasons)}")


def _measure_twice_if_the_worker_dies(trial: Trial, target: Target) -> Trace:
    try:
        return target.measure(trial)
    except WorkerDiedError:
        return target.measure(trial)
