"""Trials in virtual time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, Trace, Trial
from paretobench.core.workloads import FixedLength, LengthSpec, LoadSpec, WorkloadSpec
from paretobench.targets.simulated import SimulatedTarget

Simulate = Callable[..., Trace]


@pytest.fixture
def simulate() -> Simulate:
    """Serve one trial over a step-time model and return its trace."""

    def run(
        load: LoadSpec,
        times: StepTimes,
        *,
        max_batch_size: int = 1,
        max_waiting_time_s: float = 0.0,
        num_requests: int = 100,
        num_warmup: int = 20,
        output: LengthSpec | None = None,
        prompt: LengthSpec | None = None,
        timeout_s: float = 1e12,
        min_duration_s: float = 0.0,
        seed: int = 1,
    ) -> Trace:
        trial = Trial(
            batching=BatchingConfig(
                policy="static",
                max_batch_size=max_batch_size,
                max_waiting_time_s=max_waiting_time_s,
            ),
            load=load,
            workload=WorkloadSpec(
                prompt_tokens=prompt or FixedLength(value=8),
                output_tokens=output or FixedLength(value=1),
            ),
            num_requests=num_requests,
            num_warmup=num_warmup,
            min_duration_s=min_duration_s,
            timeout_s=timeout_s,
            repeat=0,
            seed=seed,
        )
        return SimulatedTarget(times).measure(trial)

    return run
