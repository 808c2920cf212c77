"""The worker that measures a scenario's trials on one of its systems."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.core.values import Trial
from paretobench.scenario import Scenario
from paretobench.scenario.systems import LatencyModel, Model
from paretobench.targets.engines import planned_engines, shared_batch_sizes
from paretobench.targets.worker_target import WorkerTarget
from paretobench.workload.lengths import max_prompt_tokens, max_request_tokens


def worker_target(
    scenario: Scenario,
    system: Model | LatencyModel,
    trials: Sequence[Trial],
    kind: type[WorkerTarget] = WorkerTarget,
) -> WorkerTarget:
    """Return a worker of one system that is prepared for all that the trials ask of it."""
    prefill_limits = [t.batching.max_prefill_tokens_per_step for t in trials]
    return kind(
        system,
        # pilots run at the scenario's sizes, whatever the trials have
        batch_sizes=tuple(sorted({*scenario.batching.max_batch_size, *shared_batch_sizes(trials)})),
        max_request_tokens=max(max_request_tokens(t.workload) for t in trials),
        max_prompt_tokens=max(max_prompt_tokens(t.workload) for t in trials),
        max_prefill_tokens_per_step=None
        if None in prefill_limits
        else max(limit for limit in prefill_limits if limit is not None),
        engines=planned_engines(trials),
    )
