"""How far the p99 of one run lies off, by the number of requests and the load.

A batch queue in virtual time (Poisson arrivals, batches of up to 8, a batch takes 10 ms + 1 ms a
request), served by the loop of every sweep. Long runs are cut into pieces of 1,000, 10,000 and
100,000 requests, and each piece is taken for a run of its own. Printed for each load: how many
independent requests a piece is worth (`analysis.effective_size`), half the width of the interval
that holds 95% of the pieces' p99 (1.96 standard deviations, as a share of the p99 of all), and how
many pieces are off by over 10%.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.effective_size import size_for_percentile
from paretobench.analysis.metrics import summarize
from paretobench.analysis.sla import ServiceLevels
from paretobench.core.points import Settings
from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, Trial
from paretobench.core.workloads import ArrivalProcess, FixedLength, WorkloadSpec
from paretobench.targets.simulated import SimulatedTarget

BATCH, BASE_S, PER_REQUEST_S = 8, 0.010, 0.001
TARGET = SimulatedTarget(StepTimes(prefill_base_s=BASE_S, prefill_per_sequence_s=PER_REQUEST_S))
CAPACITY = BATCH / (BASE_S + BATCH * PER_REQUEST_S)
ONE = FixedLength(value=1)
OFF_BY = 0.1
Latencies = NDArray[np.float64]


def latencies_s(load: float, num_requests: int, seed: int) -> Latencies:
    """Return the E2E latencies of one run in the order of arrival."""
    trial = Trial(
        batching=BatchingConfig(policy="static", max_batch_size=BATCH, max_waiting_time_s=0.0),
        load=ArrivalProcess(kind="poisson", requests_per_s=load * CAPACITY),
        workload=WorkloadSpec(prompt_tokens=ONE, output_tokens=ONE),
        num_requests=num_requests,
        num_warmup=1000,
        min_duration_s=0.0,
        timeout_s=1e9,
        repeat=0,
        seed=seed,
    )
    point = summarize(Settings.of(trial), TARGET.measure(trial), ServiceLevels())
    return np.asarray(point.samples["e2e"])


def rows(load: float, runs: Sequence[Latencies], sizes: Sequence[int]) -> Iterator[str]:
    """Yield a table row for each number of requests that the runs hold at least three times."""
    true_s = float(np.quantile(np.concatenate(runs), 0.99))
    for size in sizes:
        pieces = [p for run in runs for p in np.split(run, run.size // size)]
        if len(pieces) < 3:
            continue
        found = np.array([np.quantile(piece, 0.99) for piece in pieces])
        worth = [size_for_percentile([piece], 0.99, true_s) for piece in pieces]
        half_width = 1.96 * float(found.std(ddof=1)) / true_s
        off = float((np.abs(found / true_s - 1) > OFF_BY).mean())
        yield f"{load:4.1f}  {size:8,}  {np.median(worth):9,.0f}  ±{half_width:4.0%}  {off:11.0%}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", type=float, nargs="+", default=[0.5, 0.7, 0.8, 0.9])
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--requests", type=int, default=1_000_000, help="of one long run")
    parser.add_argument("--runs", type=int, default=2)
    arguments = parser.parse_args()
    started_s = time.monotonic()
    print("load  requests  effective    p99  off by >10%")
    for load in arguments.loads:
        runs = [latencies_s(load, arguments.requests, seed) for seed in range(arguments.runs)]
        for row in rows(load, runs, arguments.sizes):
            print(row, flush=True)
    took_s = time.monotonic() - started_s
    print(f"{arguments.runs} × {arguments.requests:,} requests, {took_s:.0f} s")


if __name__ == "__main__":
    main()
