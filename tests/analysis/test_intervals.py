"""Intervals against classical formulas, known variances and resampling written out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from paretobench.analysis.blocks import block_error
from paretobench.analysis.configurations import combine_repeats
from paretobench.analysis.intervals import jackknife_error, pooled_percentile, t_interval
from paretobench.analysis.pooling import PooledRuns
from paretobench.analysis.resampling import resample
from paretobench.analysis.run_intervals import (
    counted_in,
    mean_interval,
    percentile_interval,
    rate_interval,
)
from paretobench.core.intervals import Interval
from paretobench.core.points import Point
from paretobench.core.values import Window

MakePoint = Callable[..., Point]
RNG_SEED = 7


def rng() -> np.random.Generator:
    return np.random.default_rng(RNG_SEED)


def autoregressive(correlation: float, size: int) -> np.ndarray:
    from scipy.signal import lfilter

    return np.asarray(lfilter([1.0], [1.0, -correlation], rng().standard_normal(size + 500)))[500:]


def test_the_interval_over_runs_is_scipys() -> None:
    values = [12.1, 11.4, 13.0, 12.2]
    low, high = stats.t.interval(0.95, 3, loc=np.mean(values), scale=stats.sem(values))
    found = t_interval(values)
    assert found is not None
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def test_one_run_or_an_infinite_one_has_no_interval_of_the_mean() -> None:
    assert t_interval([3.0]) is None
    assert t_interval([3.0, math.inf]) is None
    assert mean_interval(np.array([1.0] * 30 + [math.inf])) is None


def test_the_jackknife_of_a_mean_is_the_classical_standard_error() -> None:
    values = rng().exponential(size=9)
    left_out = (values.sum() - values) / 8
    assert jackknife_error(values.mean(), left_out) == pytest.approx(stats.sem(values), rel=1e-12)


def test_the_jackknife_of_a_pooled_percentile_leaves_out_whole_runs() -> None:
    runs = [rng().exponential(size=n) + shift for n, shift in ((40, 0), (60, 0.1), (50, 0.3))]
    value, interval = pooled_percentile(PooledRuns.of(runs), 95.0)
    left_out = [np.percentile(np.concatenate(runs[:i] + runs[i + 1 :]), 95) for i in range(3)]
    half = stats.t.ppf(0.975, 2) * math.sqrt(2 / 3 * np.sum((left_out - np.mean(left_out)) ** 2))
    assert value == pytest.approx(np.percentile(np.concatenate(runs), 95))
    assert interval.high - value == pytest.approx(half, rel=1e-9)
    assert interval.low == pytest.approx(max(0.0, value - half), rel=1e-9)


def test_percentiles_of_counted_runs_are_those_of_the_samples_written_out() -> None:
    generator = rng()
    runs = [generator.integers(0, 9, size=n).astype(float) for n in (1, 7, 0, 13)]
    counts = generator.multinomial(4, [0.25] * 4, size=50)
    for share in (50.0, 95.0, 100.0):
        found = PooledRuns.of(runs).percentiles(counts, share)
        for row, value in zip(counts, found, strict=True):
            out = np.concatenate([np.repeat(run, n) for run, n in zip(runs, row, strict=True)])
            assert value == pytest.approx(
                np.percentile(out, share) if out.size else math.nan, nan_ok=True
            )


@pytest.mark.parametrize("length", [1, 7, 40])
def test_the_error_of_blocks_is_that_of_the_circular_bootstrap_drawn(length: int) -> None:
    series = autoregressive(0.6, 280)
    starts = rng().integers(series.size, size=(5000, series.size // length))
    means = np.zeros(len(starts))
    for offset in range(length):
        means += series[(starts + offset) % series.size].mean(axis=1) / length
    drawn = means.std() / math.sqrt(1 - length / series.size)
    assert block_error(series, length).standard_error == pytest.approx(drawn, rel=0.04)


def test_independent_samples_have_the_error_that_independence_gives() -> None:
    series = rng().exponential(size=4000)
    assert block_error(series).standard_error == pytest.approx(stats.sem(series), rel=0.1)


def test_the_error_of_dependent_samples_counts_their_dependence() -> None:
    # an AR(1) mean varies as if each innovation counted 1 / (1 - correlation) times
    series = autoregressive(0.9, 40_000)
    exact = 1 / (1 - 0.9) / math.sqrt(series.size)
    assert block_error(series).standard_error == pytest.approx(exact, rel=0.15)
    assert stats.sem(series) < 0.3 * exact


def test_a_percentiles_interval_is_the_order_statistics_of_a_binomial() -> None:
    samples = rng().permutation(np.arange(10_000.0))
    interval = percentile_interval(samples, 95.0)
    assert interval is not None
    half = 1.96 * math.sqrt(0.95 * 0.05 * 10_000)
    assert interval.low == pytest.approx(9500 - half, abs=0.2 * half)
    assert interval.high == pytest.approx(9500 + half, abs=0.2 * half)


def test_too_few_samples_beyond_a_percentile_leave_it_without_an_upper_end() -> None:
    interval = percentile_interval(rng().random(60), 99.0)
    assert interval is not None
    assert interval.high == math.inf
    assert interval.low < 1.0


def test_failed_requests_make_an_end_infinite() -> None:
    samples = np.where(rng().random(1000) < 0.06, math.inf, 1.0 + rng().random(1000))
    alone = percentile_interval(samples, 95.0)
    _, together = pooled_percentile(PooledRuns.of([samples, rng().random(1000)]), 95.0)
    assert alone is not None
    assert alone.high == together.high == math.inf
    assert math.isfinite(alone.low)
    assert together.low < 1.0


def test_poisson_events_have_the_interval_of_their_count() -> None:
    window = Window(start_s=10.0, end_s=1010.0)
    times_s = rng().uniform(10.0, 1010.0, size=5000)
    interval = rate_interval(counted_in(times_s, window, 1000), window)
    assert interval is not None
    assert (interval.low + interval.high) / 2 == pytest.approx(5.0)
    assert (interval.high - interval.low) / 2 == pytest.approx(
        1.96 * math.sqrt(5000) / 1000, rel=0.2
    )


def runs_of(make_point: MakePoint, *latencies_s: np.ndarray) -> list[Point]:
    return [
        replace(
            make_point(
                100.0 + i, 1e3 * float(np.percentile(s, 95)), repeat=i, trial_id=f"t{i}",
                figures={"mean_e2e_ms": 1e3 * float(s.mean())},
            ),
            samples={"e2e": s},
        )
        for i, s in enumerate(latencies_s)
    ]  # fmt: skip


def test_a_percentile_of_repeats_is_that_of_their_pooled_requests(make_point: MakePoint) -> None:
    slow, fast = np.linspace(1.0, 2.0, 50), np.linspace(0.1, 0.2, 950)
    configuration = combine_repeats(runs_of(make_point, slow, fast))[0]
    pooled = 1e3 * np.percentile(np.concatenate([slow, fast]), 95)
    assert configuration.figures["p95_e2e_ms"] == pytest.approx(pooled)
    assert configuration.figures["mean_e2e_ms"] == pytest.approx(1e3 * (1.5 + 0.15) / 2)
    assert configuration.intervals["p95_e2e_ms"].method == "jackknife_over_runs"
    assert configuration.intervals["mean_e2e_ms"].method == "t_over_runs"


def test_without_samples_a_percentile_is_the_mean_of_the_repeats(make_point: MakePoint) -> None:
    points = [make_point(100.0, 10.0 + i, repeat=i, trial_id=f"t{i}") for i in range(3)]
    configuration = combine_repeats(points)[0]
    assert configuration.figures["p95_e2e_ms"] == 11.0
    assert configuration.intervals["p95_e2e_ms"] == t_interval([10.0, 11.0, 12.0])


def test_resampled_figures_are_those_of_the_runs_drawn(make_point: MakePoint) -> None:
    latencies = [rng().random(30) + i for i in range(3)]
    configuration = combine_repeats(runs_of(make_point, *latencies))[0]
    drawn = resample(configuration, ["output_tokens_per_s", "p95_e2e_ms"], rng(), 400)
    possible: dict[float, set[float]] = {}
    for picked in itertools.product(range(3), repeat=3):
        pooled = np.concatenate([latencies[i] for i in picked])
        of_mean = possible.setdefault(round(100.0 + sum(picked) / 3, 9), set())
        of_mean.add(round(1e3 * float(np.percentile(pooled, 95)), 6))
    assert drawn.shape == (400, 2)
    assert len(np.unique(drawn, axis=0)) == 10  # multisets of three runs out of three
    assert all(round(p, 6) in possible[round(m, 9)] for m, p in drawn)


def test_a_run_alone_is_resampled_as_wide_as_its_interval(make_point: MakePoint) -> None:
    series = 100 + 10 * rng().standard_normal(400)
    found = mean_interval(series)
    assert found is not None
    point = make_point(float(series.mean()), 50.0)
    point = replace(point, intervals={"output_tokens_per_s": found})
    drawn = resample(
        combine_repeats([point])[0], ["output_tokens_per_s", "p95_e2e_ms"], rng(), 4000
    )
    assert drawn[:, 0].std() == pytest.approx((found.high - found.low) / 2 / 1.96, rel=0.1)
    assert set(drawn[:, 1]) == {50.0}


def test_a_percentile_without_an_upper_end_varies_no_less_than_its_mean(
    make_point: MakePoint,
) -> None:
    def spread(of_mean: float) -> float:
        intervals = {
            "p95_e2e_ms": Interval(low=49.0, high=np.inf, method="block_within_run"),
            "mean_e2e_ms": Interval(
                low=40.0 - of_mean, high=40.0 + of_mean, method="block_within_run"
            ),
        }
        point = make_point(100.0, 50.0, figures={"mean_e2e_ms": 40.0})
        alone = combine_repeats([replace(point, intervals=intervals)])[0]
        return float(np.log(resample(alone, ["p95_e2e_ms"], rng(), 4000)).std())

    assert spread(12.0) == pytest.approx(0.30 / 1.96, rel=0.05)
    assert spread(0.1) == pytest.approx(0.02 / 1.96, rel=0.05)  # the part below is wider


@pytest.mark.parametrize(
    ("load_kind", "requests", "is_noted"),
    [("poisson", 2000, True), ("poisson", 20_000, False), ("closed_loop", 2000, False)],
)
def test_a_run_too_short_for_its_utilisation_is_noted(
    make_point: MakePoint, load_kind: str, requests: int, is_noted: bool
) -> None:
    figures = {"busy_fraction": 0.95, "batch_occupancy": 0.95, "num_measured": requests}
    point = make_point(100.0, 10.0, figures=figures, load_kind=load_kind)
    notes = combine_repeats([point])[0].interval_notes
    assert [n.startswith("utilisation too high for this length") for n in notes] == [
        True
    ] * is_noted
