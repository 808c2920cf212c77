"""What this machine can serve at most: the rate that `fraction_of_capacity` is a fraction of."""

from __future__ import annotations

from typing import Any

from paretobench.analysis.metrics import SlaLimits, summarize
from paretobench.core.errors import TrialError
from paretobench.core.points import Settings
from paretobench.core.values import Trial
from paretobench.core.workloads import ArrivalProcess, WorkloadSpec
from paretobench.scenario import Scenario
from paretobench.sweep.plan import pilot_trial
from paretobench.targets.base import Target


def needs_pilot(trial: Trial) -> bool:
    """Return whether the trial's rate is a fraction of the capacity."""
    return isinstance(trial.load, ArrivalProcess) and trial.load.fraction_of_capacity is not None


def measure_capacity(scenario: Scenario, workload: WorkloadSpec, target: Target) -> dict[str, Any]:
    """Return the saturated throughput at the largest swept batch size that runs.

    Full batches back to back in a closed loop. Raises TrialError where no batch size runs.
    """
    reasons: list[str] = []
    for max_batch_size in sorted(scenario.batching.max_batch_size, reverse=True):
        trial = pilot_trial(scenario, workload, max_batch_size)
        try:
            trace = target.measure(trial)
        except TrialError as error:
            reasons.append(f"batch {max_batch_size}: {error}")
            continue
        point = summarize(Settings.of(trial), trace, SlaLimits())
        if point.verdict == "valid" and point.figures["requests_per_s"]:
            return {
                "requests_per_s": point.figures["requests_per_s"],
                "output_tokens_per_s": point.figures["output_tokens_per_s"],
                "max_batch_size": max_batch_size,
                "num_requests": point.figures["num_measured"],
            }
        reasons.append(f"batch {max_batch_size}: {point.reason}")
    raise TrialError(f"the capacity could not be measured ({'; '.join(reasons)})")
