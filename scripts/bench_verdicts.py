"""How often clean trials are called invalid, and faulty ones valid, in virtual time.

Clean trials: Poisson arrivals at 30, 60 and 90% of the capacity, static batches of 1, 4 and 16
with and without a wait, continuous ones of 4, 16 and 32, warm-up `auto`, a seed each. A trial that
looks overloaded is measured again at twice the length, as a sweep does. A run at 90% is four times
as long as one at 30%: its waits are related over longer times.
Faulty ones are the same at 30 and 60% with one fault each. Prints the false alarms by verdict and
the share of faults that got their verdict; exits with 1 if over 2% of the clean ones are not valid.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from paretobench.analysis.metrics import summarize
from paretobench.analysis.sla import ServiceLevels
from paretobench.core.points import Point, Settings
from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, TelemetrySample, Trace, Trial
from paretobench.core.workloads import (
    ArrivalProcess,
    ClosedLoop,
    FixedLength,
    LoadSpec,
    UniformLength,
    WorkloadSpec,
)
from paretobench.runners.latency_model import LatencyModelRunner
from paretobench.serving.clock import VirtualClock
from paretobench.targets.serve import serve_trial

LIMIT = 0.02
TIMES = StepTimes(
    prefill_base_s=0.002,
    prefill_per_token_s=2e-5,
    decode_base_s=0.004,
    decode_per_sequence_s=2e-4,
    decode_per_kv_token_s=1e-7,
)
BATCHINGS = [
    BatchingConfig(policy=policy, max_batch_size=size, max_waiting_time_s=wait_s)
    for policy, size, wait_s in (
        ("static", 1, 0.0),
        ("static", 4, 0.0),
        ("static", 4, 0.05),
        ("static", 16, 0.0),
        ("static", 16, 0.05),
        ("continuous", 4, 0.0),
        ("continuous", 16, 0.0),
        ("continuous", 32, 0.0),
    )
]
NUM_REQUESTS = {0.3: 1000, 0.6: 2000, 0.9: 4000}
FAULTS = {  # each with the verdict it should get
    "stall of 3 s": "nonstationary",
    "steps 30% slower by the end": "nonstationary",
    "load of 110%": "overloaded",
    "clocks held down by heat": "throttled",
}


@dataclass(frozen=True, slots=True)
class Case:
    batching: BatchingConfig
    load: float
    seed: int
    fault: str | None = None


class SlowedRunner(LatencyModelRunner):
    """Steps as long as `slowed(start_s, duration_s)` says; none is skipped."""

    run_alike = None  # type: ignore[assignment]

    def __init__(self, clock: VirtualClock, slowed: Callable[[float, float], float]) -> None:
        super().__init__(TIMES, lambda seconds: clock.sleep(slowed(clock.now(), seconds)))


def trial_of(batching: BatchingConfig, load: LoadSpec, num_requests: int, seed: int) -> Trial:
    return Trial(
        batching=batching,
        load=load,
        workload=WorkloadSpec(
            prompt_tokens=FixedLength(value=32), output_tokens=UniformLength(low=8, high=32)
        ),
        num_requests=num_requests,
        num_warmup=max(200, num_requests // 10),
        warmup_e2e=5.0,
        min_duration_s=0.0,
        timeout_s=1e12,
        repeat=0,
        seed=seed,
    )


def serve(trial: Trial) -> Trace:
    clock = VirtualClock()
    return serve_trial(trial, LatencyModelRunner(TIMES, clock.sleep), clock)


@cache
def capacity(batching: BatchingConfig) -> float:
    """Return the requests a second of full batches back to back."""
    load = ClosedLoop(concurrency=batching.max_batch_size)
    trace = serve(trial_of(batching, load, 400 + 20 * batching.max_batch_size, seed=1))
    assert trace.window is not None
    return sum(r.measured for r in trace.requests) / trace.window.duration_s


def measure(case: Case, *, attempt: int) -> Point:
    load = 1.1 if case.fault == "load of 110%" else case.load
    rate = load * capacity(case.batching)
    trial = trial_of(
        case.batching,
        ArrivalProcess(kind="poisson", requests_per_s=rate),
        NUM_REQUESTS[case.load] * attempt,
        seed=2 * case.seed + attempt,
    )
    trace = replace(_serve_with(case, trial, rate), attempt=attempt)
    return summarize(Settings.of(trial), trace, ServiceLevels())


def _serve_with(case: Case, trial: Trial, rate: float) -> Trace:
    warm_up_s, span_s = trial.num_warmup / rate, trial.num_requests / rate
    stall_s = warm_up_s + span_s * np.random.default_rng(case.seed).uniform(0.1, 0.9)

    to_come = [stall_s]

    def stalls(start_s: float, duration_s: float) -> float:
        if to_come and start_s >= to_come[0]:
            to_come.pop()
            return duration_s + 3.0
        return duration_s

    def drifts(start_s: float, duration_s: float) -> float:
        return duration_s * (1 + 0.3 * max(start_s - warm_up_s, 0.0) / span_s)

    def heats(start_s: float, duration_s: float) -> float:
        return duration_s * (1.2 if start_s > warm_up_s + span_s / 2 else 1.0)

    slowed = dict(zip(FAULTS, (stalls, drifts, None, heats), strict=True)).get(case.fault or "")
    if slowed is None:
        return serve(trial)
    clock = VirtualClock()
    trace = serve_trial(trial, SlowedRunner(clock, slowed), clock)
    if slowed is not heats:
        return trace
    hot = TelemetrySample(t_s=warm_up_s + 0.7 * span_s, throttle_reasons="sw_thermal_slowdown")
    return replace(trace, telemetry=(hot,))


def verdict_of(case: Case) -> str:
    point = measure(case, attempt=1)
    if point.verdict == "overloaded":
        point = measure(case, attempt=2)
    return point.verdict


def cases(num_clean: int, num_faulty: int) -> list[Case]:
    shapes = list(itertools.product(BATCHINGS, NUM_REQUESTS))
    quiet = [(batching, load) for batching, load in shapes if load < 0.9]
    clean = [Case(*shapes[i % len(shapes)], seed=i) for i in range(num_clean)]
    faulty = [
        Case(*quiet[i % len(quiet)], seed=i, fault=fault)
        for fault in FAULTS
        for i in range(num_faulty)
    ]
    return clean + faulty


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clean", type=int, default=300, help="clean trials")
    parser.add_argument("--faulty", type=int, default=32, help="trials with each fault")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    planned = cases(args.clean, args.faulty)
    with multiprocessing.Pool(args.processes) as pool:
        verdicts = pool.map(verdict_of, planned, chunksize=2)
    found = Counter((case.fault, verdict) for case, verdict in zip(planned, verdicts, strict=True))
    alarms = {v: n for (fault, v), n in found.items() if fault is None and v != "valid"}
    share = sum(alarms.values()) / args.clean
    print(f"{args.clean} clean trials, requests by load: {NUM_REQUESTS}")
    print(f"  false alarms: {share:.1%} (at most {LIMIT:.0%}) {alarms or ''}")
    for case, verdict in zip(planned, verdicts, strict=True):
        if case.fault is None and verdict != "valid":
            print(f"    {verdict}: {case.batching} at {case.load:.0%}, seed {case.seed}")
    for fault, expected in FAULTS.items():
        told = {v: n for (f, v), n in found.items() if f == fault}
        print(f"  {fault}: {told.get(expected, 0)} of {args.faulty} {expected} {told}")
    sys.exit(share > LIMIT)


if __name__ == "__main__":
    main()
