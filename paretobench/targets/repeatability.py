"""The same thing measured twice over, and what the loop that measures costs."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Iterable
from typing import Protocol

from paretobench.analysis.metrics import summarize
from paretobench.analysis.sla import ServiceLevels
from paretobench.core.errors import TrialError
from paretobench.core.machine import AaRun, RunFigures
from paretobench.core.points import Settings
from paretobench.core.values import BatchingConfig, Trace, Trial
from paretobench.core.workloads import ClosedLoop, FixedLength, WorkloadSpec
from paretobench.runners.null import NullRunner
from paretobench.serving.clock import WallClock
from paretobench.targets.serve import serve_trial

BATCH_SIZE = 4
PROMPT_TOKENS, OUTPUT_TOKENS = 32, 16
_MOST_PAIRS, _FEWEST_PAIRS = 8, 3
_SECONDS_A_PAIR = 0.6
_PATIENCE = 2.0  # times the seconds asked for
_RUN_TIMEOUT_S = 20.0  # a run takes 0.3 s
_FEWEST_REQUESTS = 2 * BATCH_SIZE
_LOOP_REQUESTS_A_SLOT = 20  # about 300 steps


class Measuring(Protocol):
    """What a trial is measured by."""

    def measure(self, trial: Trial) -> Trace:
        """Return the trace of one trial. Raises TrialError."""
        ...


def loop_cost_us(batch_size: int) -> float:
    """Return the microseconds of a step of the loop with the null runner, requests included."""
    gc.collect()
    trial = _trial(batch_size, _LOOP_REQUESTS_A_SLOT * batch_size)
    begin_s = time.perf_counter()
    trace = serve_trial(trial, NullRunner(), WallClock())
    return (time.perf_counter() - begin_s) / len(trace.steps) * 1e6


def measure_aa(target: Measuring, seconds: float) -> AaRun:
    """Return pairs of runs that are the same in all, over about `seconds`.

    The first of a pair alternates (A B, B A, ...), so that a steady drift favours neither. A
    target that fails is in the result's `failure`.
    """
    num_pairs = round(min(_MOST_PAIRS, max(_FEWEST_PAIRS, seconds / _SECONDS_A_PAIR)))
    try:
        traces = _alternate(target, num_pairs, seconds)
        runs = [_figures_of(trial, trace) for trial, trace in traces]
    except TrialError as error:
        return AaRun(failure=str(error))
    pairs = [(runs[i], runs[i + 1]) for i in range(0, len(runs), 2)]
    samples = [s for _, trace in traces for s in trace.telemetry]
    reasons = [s.throttle_reasons for s in samples if s.throttle_reasons is not None]
    return AaRun(
        pairs=tuple((b, a) if i % 2 else (a, b) for i, (a, b) in enumerate(pairs)),
        batch_size=BATCH_SIZE,
        median_step_s=statistics.median(
            step.duration_s / step.num_steps for _, trace in traces for step in trace.steps
        ),
        throttle_reasons=frozenset(r for text in reasons for r in text.split("|"))
        if reasons
        else None,
        sm_clock_mhz=_highest(s.sm_clock_mhz for s in samples),
    )


def _alternate(target: Measuring, num_pairs: int, seconds: float) -> list[tuple[Trial, Trace]]:
    first = _trial(BATCH_SIZE, _FEWEST_REQUESTS)
    _figures_of(first, target.measure(first))  # the first run of a worker is slower
    begin_s = time.monotonic()
    target.measure(first)
    rate = (_FEWEST_REQUESTS + BATCH_SIZE) / (time.monotonic() - begin_s)
    num_requests = round(rate * seconds / (2 * num_pairs))
    trial = _trial(BATCH_SIZE, max(_FEWEST_REQUESTS, num_requests))
    runs: list[tuple[Trial, Trace]] = []
    begin_s = time.monotonic()
    while len(runs) < 2 * num_pairs:
        runs += [(trial, target.measure(trial)) for _ in range(2)]
        is_late = time.monotonic() - begin_s > _PATIENCE * seconds
        if is_late and len(runs) >= 2 * _FEWEST_PAIRS:  # others took the machine meanwhile
            break
    return runs


def _figures_of(trial: Trial, trace: Trace) -> RunFigures:
    if trace.outcome != "completed":
        raise TrialError(trace.reason or f"the run {trace.outcome.replace('_', ' ')}")
    figures = summarize(Settings.of(trial), trace, ServiceLevels()).figures
    throughput, p95 = figures["output_tokens_per_s"], figures["p95_e2e_ms"]
    if not throughput or not p95:
        raise TrialError("the run has no figures: its window has no length")
    return RunFigures(output_tokens_per_s=throughput, p95_e2e_ms=p95)


def _highest(values: Iterable[float | None]) -> float | None:
    return max((value for value in values if value is not None), default=None)


def _trial(batch_size: int, num_requests: int) -> Trial:
    return Trial(
        batching=BatchingConfig(policy="static", max_batch_size=batch_size, max_waiting_time_s=0.0),
        load=ClosedLoop(concurrency=batch_size, start_interval_s=0.0),
        workload=WorkloadSpec(
            prompt_tokens=FixedLength(value=PROMPT_TOKENS),
            output_tokens=FixedLength(value=OUTPUT_TOKENS),
        ),
        num_requests=num_requests,
        num_warmup=batch_size,
        min_duration_s=0.0,
        timeout_s=_RUN_TIMEOUT_S,
        repeat=0,
        seed=0,
    )
