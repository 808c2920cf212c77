"""Trials in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, Request, Trace, Trial, Window
from paretobench.core.workloads import FixedLength, LengthSpec, LoadSpec, WorkloadSpec
from paretobench.runners.base import StepResult
from paretobench.runners.latency_model import LatencyModelRunner
from paretobench.serving.clock import VirtualClock
from paretobench.serving.loop import ServingLoop
from paretobench.serving.policies import make_policy
from paretobench.serving.sources import OpenLoopSource
from paretobench.targets.simulated import SimulatedTarget
from paretobench.workload.schedule import OpenSchedule

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


@dataclass(frozen=True, kw_only=True)
class SeenStep:
    """A step as the runner saw it, by request ids."""

    start_s: float
    end_s: float
    preempted: tuple[int, ...]  # right before it
    joined: tuple[int, ...]
    held: tuple[int, ...]  # all that have a slot, joiners included, in order of joining
    gone: frozenset[int]  # left before it
    result: StepResult


class _WitnessedRunner(LatencyModelRunner):
    """Runs every step by itself (it does not skip), and keeps an account of its own."""

    run_alike = None  # type: ignore[assignment]

    def __init__(self, times: StepTimes, clock: VirtualClock) -> None:
        super().__init__(times, clock.sleep)
        self._clock = clock
        self._held: list[int] = []
        self._gone: frozenset[int] = frozenset()
        self._preempted: tuple[int, ...] = ()
        self.seen: list[SeenStep] = []

    def step(self, join: Sequence[Request]) -> StepResult:
        start_s, joined = self._clock.now(), tuple(r.request_id for r in join)
        self._held += joined
        result = super().step(join)
        self.seen.append(
            SeenStep(
                start_s=start_s,
                end_s=self._clock.now(),
                preempted=self._preempted,
                joined=joined,
                held=tuple(self._held),
                gone=self._gone,
                result=result,
            )
        )
        self._preempted = ()
        return result

    def preempt(self, request_ids: Sequence[int]) -> None:
        super().preempt(request_ids)
        self._held = [i for i in self._held if i not in request_ids]
        self._preempted += tuple(request_ids)

    def leave(self, request_ids: Sequence[int]) -> None:
        super().leave(request_ids)
        self._held = [i for i in self._held if i not in request_ids]
        assert self._gone.isdisjoint(request_ids), "nobody leaves twice"
        self._gone |= frozenset(request_ids)


ServeSchedule = Callable[..., tuple[Trace, list[SeenStep]]]


@pytest.fixture(scope="session")
def serve_schedule() -> ServeSchedule:
    """Serve a schedule in virtual time: return the trace, and the steps unless it skips any."""

    def serve(
        requests: Sequence[Request],
        config: BatchingConfig,
        times: StepTimes,
        *,
        several_classes: bool = True,
        skips: bool = False,
    ) -> tuple[Trace, list[SeenStep]]:
        clock = VirtualClock()
        runner = _WitnessedRunner(times, clock)
        plain = LatencyModelRunner(times, clock.sleep) if skips else runner
        plain.start_trial(
            max_batch_size=config.max_batch_size,
            max_request_tokens=max(r.prompt_tokens + r.output_tokens for r in requests),
            prompts=lambda _: None,  # type: ignore[arg-type,return-value]
            kv_budget_tokens=config.kv_budget_tokens,
            max_prefill_tokens_per_step=config.max_prefill_tokens_per_step,
            preemption=config.preemption,
        )
        schedule = OpenSchedule(
            requests=tuple(requests),
            num_warmup=0,
            num_measured=len(requests),
            window=Window(start_s=requests[0].arrival_s, end_s=requests[-1].arrival_s),
        )
        trace = ServingLoop(
            source=OpenLoopSource(schedule),
            policy=make_policy(config, several_classes=several_classes),
            runner=plain,
            clock=clock,
            timeout_s=1e6,
            preemption=config.preemption,
        ).run()
        return trace, runner.seen

    return serve
