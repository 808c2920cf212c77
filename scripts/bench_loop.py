"""What the serving loop itself costs: microseconds a step, and seconds to simulate a long trial.

Everything runs in one process on one core. The null runner computes nothing, so a step's time is
the loop's own; the ratio of a step at 64 sequences to one at 1 tells what a sequence costs.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time

from paretobench.core.step_times import StepTimes
from paretobench.runners.latency_model import LatencyModelRunner
from paretobench.serving.clock import VirtualClock
from paretobench.targets.loop_cost import loop_trial, step_cost_s
from paretobench.targets.serve import serve_trial

STEP_LIMIT_US = 30.0
SIMULATION_LIMIT_S = 20.0


def step_us(batch_size: int, num_requests: int) -> float:
    """Return the microseconds of a step of the loop with the null runner."""
    gc.collect()
    return step_cost_s(loop_trial(batch_size, num_requests)) * 1e6


def simulate_s(batch_size: int, num_requests: int) -> float:
    """Return the seconds that simulating a static-batching trial takes."""
    gc.collect()
    times = StepTimes(prefill_base_s=0.005, decode_base_s=0.01, decode_per_sequence_s=0.0005)
    clock = VirtualClock()
    begin_s = time.perf_counter()
    serve_trial(loop_trial(batch_size, num_requests), LatencyModelRunner(times, clock.sleep), clock)
    return time.perf_counter() - begin_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=7, help="interleaved pairs [default: 7]")
    pairs = parser.parse_args().pairs
    step_us(64, 640)  # imports and caches
    ones, many = [], []
    for _ in range(pairs):
        ones.append(step_us(1, 300))
        many.append(step_us(64, 19_200))
    ratio = statistics.median(m / o for m, o in zip(many, ones, strict=True))
    at_64 = statistics.median(many)
    print(f"loop, 1 sequence:   {statistics.median(ones):6.1f} us a step (median of {pairs})")
    print(f"loop, 64 sequences: {at_64:6.1f} us a step (limit {STEP_LIMIT_US:g})")
    print(f"ratio 64 : 1 sequences: {ratio:.2f} (median of pairs)")
    simulated_s = [simulate_s(32, 100_000) for _ in range(3)]
    taken_s = statistics.median(simulated_s)
    print(f"100,000 requests simulated: {taken_s:.1f} s at batch 32 (limit {SIMULATION_LIMIT_S:g})")
    alone_s = simulate_s(1, 100_000)
    print(f"100,000 requests simulated: {alone_s:.1f} s at batch 1 (limit {SIMULATION_LIMIT_S:g})")
    raise SystemExit(at_64 > STEP_LIMIT_US or max(taken_s, alone_s) > SIMULATION_LIMIT_S)


if __name__ == "__main__":
    main()
