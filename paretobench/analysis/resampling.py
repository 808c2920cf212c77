"""What a configuration's figures might have been: its runs drawn again, all figures together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.percentiles import percentile_of
from paretobench.analysis.pooling import PooledRuns, pool
from paretobench.core.intervals import Interval
from paretobench.core.metrics import metric_of, qualified, split_name
from paretobench.core.points import Point

NORMAL_975 = 1.959964


def knows_how_runs_differ(configuration: Configuration) -> bool:
    """Return whether a resample draws among runs: of one run alone, it cannot."""
    return len(configuration.runs) > 1


def resample(
    configuration: Configuration,
    metrics: Sequence[str],
    rng: np.random.Generator,
    num_resamples: int,
) -> NDArray[np.float64]:
    """Return the figures of resampled runs, shape [num_resamples, metrics]; NaN: not measured.

    Whole runs are drawn with replacement, the same for every figure of a row, so that what moves
    together in the runs does so here: a percentile is that of the pooled samples of the runs drawn,
    any other figure their mean. Of one run alone (see `knows_how_runs_differ`) each figure is drawn
    by itself, as wide as its block interval: that says nothing of how runs differ, and a figure
    without an interval stays what it is. A percentile whose interval has no upper end varies as far
    up as down, and no less than the mean of that latency: the least that can be said.
    """
    if not knows_how_runs_differ(configuration):
        columns = [
            _drawn_alone(
                configuration.figures.get(metric),
                configuration.intervals.get(metric),
                _half_width_of_mean(configuration, metric),
                rng.standard_normal(num_resamples),
            ).clip(max=1.0 if metric_of(metric).unit == "share" else np.inf)
            for metric in metrics
        ]
        return np.stack(columns, axis=1)
    num_runs = len(configuration.runs)
    counts = rng.multinomial(num_runs, np.full(num_runs, 1 / num_runs), size=num_resamples)
    return counted(configuration, metrics, counts)


def counted(
    configuration: Configuration, metrics: Sequence[str], counts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the figures where run r counts `counts[draw, r]` times, shape [draws, metrics]."""
    pooled: dict[str, PooledRuns | None] = {}
    return np.stack([_column(configuration.runs, m, counts, pooled) for m in metrics], axis=1)


def _column(
    runs: Sequence[Point],
    metric: str,
    counts: NDArray[np.int64],
    pooled: dict[str, PooledRuns | None],
) -> NDArray[np.float64]:
    """Return a figure where each run counts as often as `counts` [draws, runs] says."""
    wanted = percentile_of(metric)
    if wanted is not None:
        kind, share = wanted
        if kind not in pooled:
            pooled[kind] = pool(runs, kind)
        of_kind = pooled[kind]
        if of_kind is not None:
            return of_kind.percentiles(counts, share)
    values = [run.figures.get(metric) for run in runs]
    present = np.array([value is not None for value in values])
    known = np.array([np.nan if value is None else value for value in values])[present]
    weights = counts[:, present]
    # 0 × inf is not a number: a run that was not drawn does not count
    shares = np.where(weights > 0, weights * np.where(weights > 0, known, 0.0), 0.0)
    totals = weights.sum(axis=1)
    means: NDArray[np.float64] = np.full(len(counts), np.nan)
    np.divide(shares.sum(axis=1), totals, out=means, where=totals > 0)
    return means


def _drawn_alone(
    value: float | None,
    interval: Interval | None,
    least_half: float,
    normal: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return draws about a figure, as wide as its interval; none of them below 0.

    `least_half` is the least half-width, as a share of it, where the interval has no upper end.
    """
    if value is None:
        return np.full(normal.shape, np.nan)
    if interval is None or not np.isfinite(value):
        return np.full(normal.shape, value)
    if value <= 0:
        half = (interval.high - interval.low) / 2
        draws: NDArray[np.float64] = value + half / NORMAL_975 * normal
        return draws
    above, below = (abs(end / value - 1) for end in (interval.high, interval.low))
    half = (above + below) / 2 if np.isfinite(above) else max(below, least_half)
    logarithmic: NDArray[np.float64] = value * np.exp(half / NORMAL_975 * normal)
    return logarithmic


def _half_width_of_mean(configuration: Configuration, metric: str) -> float:
    """Return how far the mean of a percentile's latency may be off, as a share of it; 0: not known.

    It has the width of blocks at both ends, whatever lies beyond the percentile.
    """
    wanted = percentile_of(metric)
    if wanted is None:
        return 0.0
    of_class, kind = split_name(wanted[0])
    name = f"mean_{kind}_ms" if of_class is None else qualified(of_class, f"mean_{kind}_ms")
    mean, interval = configuration.figures.get(name), configuration.intervals.get(name)
    half = np.inf if not mean or interval is None else interval.relative_half_width(mean)
    return float(half) if np.isfinite(half) else 0.0
