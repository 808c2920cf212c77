"""One trial through the serving loop: the same code under either clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from paretobench.core.errors import DeviceOutOfMemoryError
from paretobench.core.step_times import StepTimes
from paretobench.core.values import Trace, Trial
from paretobench.core.workloads import classes_of
from paretobench.runners.base import Runner
from paretobench.scenario.systems import LatencyModel
from paretobench.serving.clock import Clock, WallClock
from paretobench.serving.loop import ServingLoop
from paretobench.serving.policies import make_policy
from paretobench.serving.sources import make_source
from paretobench.targets.engines import engine_batching, engine_workload
from paretobench.workload.lengths import max_prompt_tokens, max_request_tokens
from paretobench.workload.prompts import PromptPool
from paretobench.workload.schedule import make_schedule


def serve_trial(
    trial: Trial,
    runner: Runner,
    clock: Clock,
    *,
    vocab_size: int = 2,
    engine: str | None = None,
    common_start: Callable[[], float] | None = None,
) -> Trace:
    """Return the trace of a trial, its time counted from the clock's zero.

    `engine` names the class that this runner serves where each has an engine of its own. A wall
    clock's zero is when all is prepared; or, of the host's monotonic clock, what `common_start`
    returns, which is called then: engines that are given one moment begin together.
    Running out of memory or of time is an outcome of the trace, not an error.
    """
    batching = trial.batching if engine is None else engine_batching(trial.batching, engine)
    workload = trial.workload if engine is None else engine_workload(trial.workload, engine)
    prompts = PromptPool(
        vocab_size=vocab_size,
        seed=int(trial.trial_id, 16),  # trials may share a schedule, but never their prompts
        max_prompt_tokens=max_prompt_tokens(workload),
    )
    source = make_source(make_schedule(trial), only=engine)
    try:
        runner.start_trial(
            max_batch_size=batching.max_batch_size,
            max_request_tokens=max_request_tokens(workload),
            prompts=prompts,
            kv_budget_tokens=batching.kv_budget_tokens,
            max_prefill_tokens_per_step=batching.max_prefill_tokens_per_step,
            preemption=batching.preemption,
        )
    except DeviceOutOfMemoryError as error:
        return Trace(requests=(), steps=(), window=None, outcome="out_of_memory", reason=str(error))
    if isinstance(clock, WallClock):
        clock.restart(at_s=None if common_start is None else common_start())
    trace = ServingLoop(
        source=source,
        policy=make_policy(batching, several_classes=len(classes_of(trial.workload)) > 1),
        runner=runner,
        clock=clock,
        timeout_s=trial.timeout_s,
        preemption=batching.preemption,
    ).run()
    if isinstance(clock, WallClock):
        return replace(trace, started_monotonic_s=clock.started_monotonic_s)
    return trace


def step_times(model: LatencyModel) -> StepTimes:
    """Return a scenario's latency model in seconds."""
    prefill, decode = model.prefill, model.decode
    return StepTimes(
        prefill_base_s=prefill.base_ms / 1e3,
        prefill_per_sequence_s=prefill.per_sequence_ms / 1e3,
        prefill_per_token_s=prefill.per_token_ms / 1e3,
        decode_base_s=decode.base_ms / 1e3,
        decode_per_sequence_s=decode.per_sequence_ms / 1e3,
        decode_per_kv_token_s=decode.per_kv_token_ms / 1e3,
        mixed_saving_s=model.mixed_saving_ms / 1e3,
        decode_by_batch_size=tuple(
            (rows, ms / 1e3) for rows, ms in sorted((decode.by_batch_size or {}).items())
        ),
    )
