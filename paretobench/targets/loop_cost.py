"""What the serving loop itself costs: a closed loop over a runner that computes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence

from paretobench.core.values import BatchingConfig, Trial
from paretobench.core.workloads import ClosedLoop, FixedLength, UniformLength, WorkloadSpec
from paretobench.runners.null import NullRunner
from paretobench.serving.clock import WallClock
from paretobench.targets.serve import serve_trial

_SECONDS_EACH = 0.1
_MIN_TRIALS = 3


def loop_trial(batch_size: int, num_requests: int, *, policy: str = "static") -> Trial:
    """Return a trial that keeps `batch_size` requests of 8 to 32 tokens in the loop."""
    return Trial(
        batching=BatchingConfig(policy=policy, max_batch_size=batch_size, max_waiting_time_s=0.0),
        load=ClosedLoop(concurrency=batch_size, start_interval_s=0.0),
        workload=WorkloadSpec(
            prompt_tokens=FixedLength(value=32), output_tokens=UniformLength(low=8, high=32)
        ),
        num_requests=num_requests,
        num_warmup=batch_size,
        min_duration_s=0.0,
        timeout_s=1e9,
        repeat=0,
        seed=0,
    )


def step_cost_s(trial: Trial) -> float:
    """Return the seconds that a step of the loop takes, with all that it does between steps:
    arrivals taken in, batches decided, tokens noted, requests delivered."""
    steps = serve_trial(trial, NullRunner(), WallClock()).steps
    return (steps[-1].start_s + steps[-1].duration_s - steps[0].start_s) / len(steps)


def measure_loop_cost(batch_sizes: Sequence[int], *, policy: str = "static") -> dict[int, float]:
    """Return the seconds of a step by batch size, after about 0.1 s for each.

    It is that of the fastest of several short trials: what others took of the processor meanwhile
    is not the loop's own. The caller sees to garbage collection.
    """
    return {size: _least_cost_s(size, policy) for size in batch_sizes}


def _least_cost_s(batch_size: int, policy: str) -> float:
    trial = loop_trial(batch_size, max(64, 8 * batch_size), policy=policy)
    step_cost_s(trial)  # imports and caches
    costs_s: list[float] = []
    end_s = time.monotonic() + _SECONDS_EACH
    while len(costs_s) < _MIN_TRIALS or time.monotonic() < end_s:
        costs_s.append(step_cost_s(trial))
    return min(costs_s)
