#!/usr/bin/env python3
"""How often do the 95% intervals hold the truth? A batch queue in virtual time, measured often.

Poisson requests, batches of up to 8 that never wait, a step of 10 ms + 1 ms a request: at each load
every replication makes runs with seeds of their own through the serving loop, summarises them as a
sweep does, and asks which intervals hold the true value. The true mean E2E is that of the exact
embedded Markov chain, the true throughput the offered rate, the true p95 that of long runs. Beside
ours stands the bootstrap that takes requests for independent.

    python scripts/bench_coverage.py --replications 30

Exits 1 where ours hold less than 90% of the means, or 85% of the pooled p95, up to load 0.8.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.configurations import combine_repeats
from paretobench.analysis.metrics import summarize
from paretobench.analysis.sla import ServiceLevels
from paretobench.core.points import Point, Settings
from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, Trial
from paretobench.core.workloads import ArrivalProcess, FixedLength, WorkloadSpec
from paretobench.targets.simulated import SimulatedTarget

LOADS = (0.5, 0.8, 0.9)
BAR_UP_TO = 0.8
BASE_S, PER_REQUEST_S, MAX_BATCH_SIZE = 0.01, 0.001, 8
CAPACITY = MAX_BATCH_SIZE / (BASE_S + PER_REQUEST_S * MAX_BATCH_SIZE)  # requests a second
WARMUP = 300
NUM_BOOTSTRAPS = 200
TRUTH_REQUESTS = 2_000_000
MEANS_BAR, P95_BAR = 0.90, 0.85
BARS = {
    "t over runs: mean E2E": MEANS_BAR,
    "t over runs: requests/s": MEANS_BAR,
    "jackknife over runs: pooled p95": P95_BAR,
}
FLAGGED_RUNS, FLAGGED_ONE = "flagged, all runs", "flagged, one run"


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What the figures of endless runs would be."""

    mean_e2e_ms: float
    p95_e2e_ms: float
    requests_per_s: float


def measure(load: float, num_requests: int, seed: int, repeat: int) -> Point:
    """Return what one run measures."""
    trial = Trial(
        batching=BatchingConfig(
            policy="static", max_batch_size=MAX_BATCH_SIZE, max_waiting_time_s=0.0
        ),
        load=ArrivalProcess(kind="poisson", requests_per_s=load * CAPACITY),
        workload=WorkloadSpec(
            prompt_tokens=FixedLength(value=8), output_tokens=FixedLength(value=1)
        ),
        num_requests=num_requests,
        num_warmup=WARMUP,
        min_duration_s=0.0,
        timeout_s=1e12,
        repeat=repeat,
        seed=seed,
    )
    times = StepTimes(prefill_base_s=BASE_S, prefill_per_sequence_s=PER_REQUEST_S)
    trace = SimulatedTarget(times).measure(trial)
    return summarize(Settings.of(trial), trace, ServiceLevels())


def exact_mean_e2e_ms(load: float) -> float:
    """Return the mean E2E latency from the embedded Markov chain.

    The chain is how many are in the system when a service starts: of those, all but the batch, and
    who came meanwhile, start the next one; where there is nobody, the first to come does. Services
    and the idle times between make up all time, so the mean number in the system is a ratio of
    means over services, and Little's law turns it into a latency.
    """
    from scipy.stats import poisson

    rate, largest = load * CAPACITY, 1000
    present = np.arange(1, largest + 1)
    batch = np.minimum(present, MAX_BATCH_SIZE)
    service_s = BASE_S + PER_REQUEST_S * batch
    steps = np.zeros((largest, largest))
    for row, left in enumerate(present - batch):
        arrived = poisson.pmf(np.arange(largest - left + 1), rate * service_s[row])
        after = np.concatenate((np.zeros(left), arrived))  # by how many there are
        after[1] += after[0]
        steps[row] = after[1:] / after[1:].sum()
    balance = np.vstack([steps.T - np.eye(largest), np.ones(largest)])
    law = np.linalg.lstsq(balance, np.append(np.zeros(largest), 1.0), rcond=None)[0]
    idle_s = np.where(present <= MAX_BATCH_SIZE, np.exp(-rate * service_s), 0.0) / rate
    seconds = present * service_s + rate * service_s**2 / 2  # spent by all in the system
    return float(1e3 * (law @ seconds) / (law @ (service_s + idle_s)) / rate)


def long_run(load: float) -> NDArray[np.float64]:
    """Return the E2E latencies in ms of one long run, by which the true p95 is found.

    It is the queue's own recursion, not the serving loop.
    """
    rng = np.random.default_rng(round(100 * load))
    arrivals_s = np.cumsum(rng.exponential(1 / (load * CAPACITY), TRUTH_REQUESTS))
    came_s, finished_s = arrivals_s.tolist(), np.empty(TRUTH_REQUESTS)
    first, now_s = 0, 0.0
    while first < TRUTH_REQUESTS:
        now_s = max(now_s, came_s[first])
        after = first + 1
        full = min(first + MAX_BATCH_SIZE, TRUTH_REQUESTS)
        while after < full and came_s[after] <= now_s:
            after += 1
        now_s += BASE_S + PER_REQUEST_S * (after - first)
        finished_s[first:after] = now_s
        first = after
    latencies_ms: NDArray[np.float64] = 1e3 * (finished_s - arrivals_s)
    return latencies_ms


def replicate(
    load: float, truth: Truth, num_runs: int, num_requests: int, replication: int
) -> Counter[str]:
    """Return which intervals of one replication hold the truth, and which are flagged."""
    seeds = np.random.SeedSequence((round(100 * load), replication)).generate_state(num_runs)
    points = [measure(load, num_requests, int(s), repeat) for repeat, s in enumerate(seeds)]
    together, alone = combine_repeats(points)[0], combine_repeats(points[:1])[0]
    held: Counter[str] = Counter()

    def note(name: str, low: float, high: float, true: float) -> None:
        held[name] += low <= true <= high

    for name, configuration, metric in (
        ("t over runs: mean E2E", together, "mean_e2e_ms"),
        ("t over runs: requests/s", together, "requests_per_s"),
        ("jackknife over runs: pooled p95", together, "p95_e2e_ms"),
        ("blocks, one run: mean E2E", alone, "mean_e2e_ms"),
        ("blocks, one run: p95", alone, "p95_e2e_ms"),
        ("blocks, one run: requests/s", alone, "requests_per_s"),
    ):
        interval = configuration.intervals[metric]
        note(name, interval.low, interval.high, getattr(truth, metric))
    rng = np.random.default_rng(int(seeds[0]))
    latencies_ms = 1e3 * points[0].samples["e2e"]
    drawn = latencies_ms[rng.integers(latencies_ms.size, size=(NUM_BOOTSTRAPS, latencies_ms.size))]
    note("i.i.d. bootstrap: mean E2E", *_middle(drawn.mean(axis=1)), truth.mean_e2e_ms)
    note("i.i.d. bootstrap: p95", *_middle(np.percentile(drawn, 95, axis=1)), truth.p95_e2e_ms)
    held[FLAGGED_RUNS] += bool(together.interval_notes)
    held[FLAGGED_ONE] += bool(alone.interval_notes)
    return held


def _middle(draws: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.percentile(draws, (2.5, 97.5))
    return float(low), float(high)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=300)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--requests", type=int, default=2000, help="in each run")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args(arguments)
    began = time.monotonic()
    found: dict[float, Counter[str]] = {}
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for load in LOADS:
            pooled = long_run(load)
            truth = Truth(
                mean_e2e_ms=exact_mean_e2e_ms(load),
                p95_e2e_ms=float(np.percentile(pooled, 95)),
                requests_per_s=load * CAPACITY,
            )
            print(
                f"load {load}: mean E2E {truth.mean_e2e_ms:.2f} ms exact, {pooled.mean():.2f} in "
                f"{pooled.size:,} requests; p95 {truth.p95_e2e_ms:.2f} ms",
                file=sys.stderr,
            )
            one = partial(replicate, load, truth, options.runs, options.requests)
            replications = range(options.replications)
            found[load] = Counter()
            for held in pool.imap_unordered(one, replications):
                found[load].update(held)
            print(f"load {load}: {dict(found[load])}", file=sys.stderr, flush=True)
    print(
        f"{options.replications} replications of {options.runs} runs of {options.requests:,} "
        f"requests; share of intervals that hold the truth, ± its standard error\n"
    )
    return _print_table(found, options.replications, time.monotonic() - began)


def _print_table(found: dict[float, Counter[str]], replications: int, took_s: float) -> int:
    names = sorted(
        set().union(*found.values()), key=lambda n: (n in (FLAGGED_RUNS, FLAGGED_ONE), n)
    )
    print(f"{'':34}" + "".join(f"load {load:<12}" for load in found))
    missed = []
    for name in names:
        cells = ""
        for load, held in found.items():
            share = held[name] / replications
            error = math.sqrt(share * (1 - share) / replications)
            cells += f"{share:.3f} ± {error:.3f}    "
            if load <= BAR_UP_TO and share < BARS.get(name, 0.0):
                missed.append(f"{name} at load {load}: {share:.3f}, expected {BARS[name]:.2f}")
        print(f"{name:34}{cells}".rstrip())
    print(f"\nin {took_s:.0f} s")
    for line in missed:
        print(f"TOO FEW: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
