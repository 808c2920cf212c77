"""How fast virtual time runs: a million requests through the serving loop, in one process.

Continuous batching at 32, output lengths of mean 128 tokens, Poisson arrivals at 85% of capacity.
Prints the seconds, the peak memory and the requests a second, and beside them the same loop with
every step run by itself (fewer requests, interleaved; the ratio is the median of pairs).
"""

from __future__ import annotations

import argparse
import gc
import resource
import statistics
import time

from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, Trace, Trial
from paretobench.core.workloads import (
    ArrivalProcess,
    ClosedLoop,
    FixedLength,
    LoadSpec,
    LognormalLength,
    WorkloadSpec,
)
from paretobench.runners.latency_model import LatencyModelRunner
from paretobench.runners.null import NullRunner
from paretobench.serving.clock import VirtualClock
from paretobench.targets.serve import serve_trial

LIMIT_S = 60.0
LIMIT_BYTES = 2 * 2**30
TIMES = StepTimes(
    prefill_base_s=0.001,
    prefill_per_token_s=2e-5,
    decode_base_s=0.01,
    decode_per_sequence_s=2e-4,
    decode_per_kv_token_s=1e-7,
)
LOAD = 0.85  # of the capacity that a closed loop finds


class OneByOne(NullRunner):
    """The same step times with every step run by itself."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._inner = LatencyModelRunner(TIMES, clock.sleep)
        for name in ("start_trial", "step", "leave", "settle", "preempt", "capacity"):
            setattr(self, name, getattr(self._inner, name))


def trial_of(num_requests: int, load: LoadSpec) -> Trial:
    return Trial(
        batching=BatchingConfig(policy="continuous", max_batch_size=32, max_waiting_time_s=0.0),
        load=load,
        workload=WorkloadSpec(
            prompt_tokens=FixedLength(value=32),
            output_tokens=LognormalLength(mean=128, cv=0.8, low=1, high=1024),
        ),
        num_requests=num_requests,
        num_warmup=100,
        min_duration_s=0.0,
        timeout_s=1e12,
        repeat=0,
        seed=0,
    )


def simulate(num_requests: int, load: LoadSpec, *, skips: bool = True) -> tuple[float, Trace]:
    """Return the seconds that a simulation takes, its schedule included, and its trace."""
    gc.collect()
    clock = VirtualClock()
    runner = LatencyModelRunner(TIMES, clock.sleep) if skips else OneByOne(clock)
    begin_s = time.process_time()
    trace = serve_trial(trial_of(num_requests, load), runner, clock)
    return time.process_time() - begin_s, trace


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--pairs", type=int, default=5, help="interleaved pairs [default: 5]")
    args = parser.parse_args()
    _, pilot = simulate(3_000, ClosedLoop(concurrency=32))
    assert pilot.window is not None
    capacity = sum(r.measured for r in pilot.requests) / pilot.window.duration_s
    load = ArrivalProcess(kind="poisson", requests_per_s=LOAD * capacity)
    ratios = []
    for _ in range(args.pairs):
        fast_s, fast = simulate(20_000, load)
        slow_s, slow = simulate(20_000, load, skips=False)
        assert [r.finished_s for r in fast.requests] == [r.finished_s for r in slow.requests]
        ratios.append(slow_s / fast_s)
    print(f"skipping steps alike: {statistics.median(ratios):.1f} times as fast (median of pairs)")
    del fast, slow
    taken_s, trace = simulate(args.requests, load)
    finished = sum(r.status == "finished" for r in trace.requests)
    tokens = sum(len(r.token_times_s) for r in trace.requests)
    steps = sum(s.num_steps for s in trace.steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    mean_batch = sum(s.batch_size * s.duration_s for s in trace.steps) / sum(
        s.duration_s for s in trace.steps
    )
    print(
        f"{finished:,} requests, {tokens:,} tokens ({tokens / finished:.0f} a request) in "
        f"{steps:,} steps, {len(trace.steps):,} of them run; mean batch {mean_batch:.1f}"
    )
    print(f"{taken_s:.1f} s of one core (limit {LIMIT_S:g} s for 1,000,000)")
    print(f"{peak / 2**30:.2f} GiB at most (limit {LIMIT_BYTES / 2**30:g})")
    raise SystemExit(taken_s > LIMIT_S or peak > LIMIT_BYTES)


if __name__ == "__main__":
    main()
