"""How often the band and the hypervolume's interval hold the truth, where the truth is known.

A front of 8 configurations, for each one that is 1.5% slower and 3% later and one that is 10%
slower and 20% later. Runs scatter lognormally, throughput by 3%, latency by 6%, the two against
each other (correlation -0.5). Prints, for 3, 5 and 10 runs each: the coverage of the hypervolume's
interval and, over 40 throughputs, of the band, and the mean probability to be non-dominated of
those truly on the front, of those just behind and of those far behind.
"""

from __future__ import annotations

import argparse

import numpy as np

from paretobench.analysis.configurations import Configuration, combine_repeats
from paretobench.analysis.front_uncertainty import Band, Floats, curve_uncertainties
from paretobench.analysis.hypervolume import hypervolume
from paretobench.core.points import Point, Settings

THROUGHPUT, LATENCY = "output_tokens_per_s", "p95_e2e_ms"
CAP_MS = 10_000.0
SCATTER = {THROUGHPUT: 0.03, LATENCY: 0.06}
CORRELATION = -0.5
NUM_FRONT = 8


def main() -> None:
    """Simulate and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=300)
    replications = parser.parse_args().replications
    gains, costs = true_figures()
    volume = hypervolume(gains, costs, cap=CAP_MS)
    levels = np.linspace(gains.min() * 1.01, gains.max() * 0.95, 40)
    least = np.array([costs[gains >= level].min() for level in levels])
    print(f"{replications} replications; nominal coverage 0.95")
    print("runs  hypervolume   band   on the front  just behind  far behind")
    for num_runs in (3, 5, 10):
        rng = np.random.default_rng(num_runs)
        held, covered, stood = [], [], []
        for _ in range(replications):
            (found,) = curve_uncertainties(
                drawn(gains, costs, num_runs, rng),
                throughput=THROUGHPUT,
                latency=LATENCY,
                cap=CAP_MS,
                rng=rng,
            )
            assert found.hypervolume is not None
            assert found.hypervolume.low is not None
            assert found.hypervolume.high is not None
            assert found.band is not None
            held.append(found.hypervolume.low <= volume <= found.hypervolume.high)
            covered.append(covers(found.band, levels, least))
            stood.append([found.probability[str(i)] for i in range(len(gains))])
        of_kind = np.mean(stood, axis=0).reshape(3, NUM_FRONT).mean(axis=1)
        print(
            f"{num_runs:4}  {np.mean(held):11.2f}  {np.mean(covered):5.2f}  "
            f"{of_kind[0]:12.2f}  {of_kind[1]:11.2f}  {of_kind[2]:10.2f}"
        )


def true_figures() -> tuple[Floats, Floats]:
    """Return throughput and latency of the front, of those just behind it, of those far behind."""
    sizes = 2.0 ** np.arange(NUM_FRONT)
    step_ms = 10 + 0.5 * sizes
    gain, cost = 1000 * sizes / step_ms, 45 * step_ms
    return np.concatenate([gain, gain * 0.985, gain * 0.9]), np.concatenate(
        [cost, cost * 1.03, cost * 1.2]
    )


def drawn(
    gains: Floats, costs: Floats, num_runs: int, rng: np.random.Generator
) -> list[Configuration]:
    """Return every configuration with as many runs, scattered about its true figures."""
    points = []
    for i, (gain, cost) in enumerate(zip(gains, costs, strict=True)):
        for repeat in range(num_runs):
            one, other = rng.standard_normal(2)
            against = CORRELATION * one + np.sqrt(1 - CORRELATION**2) * other
            figures = {
                THROUGHPUT: float(gain * np.exp(SCATTER[THROUGHPUT] * one)),
                LATENCY: float(cost * np.exp(SCATTER[LATENCY] * against)),
            }
            points.append(point(str(i), repeat, figures))
    return combine_repeats(points)


def point(name: str, repeat: int, figures: dict[str, float | None]) -> Point:
    """Return a valid run of a configuration, with two figures and no samples."""
    settings = Settings(
        trial_id=f"{name}.{repeat}",
        configuration_id=name,
        workload="",
        policy="static",
        max_batch_size=1,
        max_waiting_time_ms=0.0,
        kv_budget_tokens=None,
        max_prefill_tokens_per_step=None,
        load="",
        load_kind="closed_loop",
        concurrency=1,
        offered_requests_per_s=None,
        fraction_of_capacity=None,
        repeat=repeat,
        seed=repeat,
    )
    return Point(settings=settings, figures=figures, low_percentiles=(), verdict="valid", reason="")


def covers(band: Band, levels: Floats, least: Floats) -> float:
    """Return the share of the levels at which the least latency lies in the band."""
    at = np.searchsorted(band.throughput, levels)
    low, high = np.array([*band.low, np.inf])[at], np.array([*band.high, np.inf])[at]
    return float(((low <= least) & (least <= high)).mean())


if __name__ == "__main__":
    main()
