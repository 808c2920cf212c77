"""Intervals of one run's figures, from blocks of neighbours within it."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.blocks import block_error
from paretobench.analysis.percentiles import PERCENTILES, percentile_of_sorted
from paretobench.core.intervals import Interval
from paretobench.core.units import to_ms
from paretobench.core.values import Window

FEWEST_SAMPLES = 16  # two a block, and as few blocks as there may be
_MOST_BINS = 1000
_ALIKE = 1e-3  # latencies of one batch differ by less, those of two hardly ever


def t_quantile(degrees_of_freedom: float) -> float:
    """Return how many standard errors a 95% interval reaches to either side.

    >>> round(t_quantile(4), 3)
    2.776
    """
    from scipy.special import stdtrit

    return float(stdtrit(degrees_of_freedom, 0.975))


def latency_intervals(samples: Mapping[str, NDArray[np.float64]]) -> dict[str, Interval]:
    """Return the intervals, in ms, of the mean and the percentiles of each kind of latency.

    `samples` are in seconds, in the order of arrival. Fewer than 16 give none.
    """
    found: dict[str, Interval] = {}
    for kind, of_kind in samples.items():
        mean = mean_interval(to_ms(1.0) * of_kind)
        if mean is not None:
            found[f"mean_{kind}_ms"] = mean
        ordered = np.sort(to_ms(1.0) * of_kind)
        for statistic, share in PERCENTILES.items():
            interval = percentile_interval(to_ms(1.0) * of_kind, share, ordered)
            if interval is not None:
                found[f"{statistic}_{kind}_ms"] = interval
    return found


def mean_interval(series: NDArray[np.float64], *, most: float = math.inf) -> Interval | None:
    """Return the interval of the mean of a series that lies between 0 and `most`.

    None for fewer than 16 samples, or where one is infinite: then so is the mean.
    """
    if series.size < FEWEST_SAMPLES or not np.isfinite(series).all():
        return None
    error = block_error(series)
    mean = float(series.mean())
    half = t_quantile(error.degrees_of_freedom) * error.standard_error
    return Interval(
        low=max(mean - half, 0.0), high=min(mean + half, most), method="block_within_run"
    )


def percentile_interval(
    samples: NDArray[np.float64], share: float, ordered: NDArray[np.float64] | None = None
) -> Interval | None:
    """Return the interval of a percentile; None for fewer than 16 samples.

    `ordered` are the samples sorted, where these are at hand.

    How large a share of the samples lies below the percentile is a mean, whose error the blocks
    give; the interval runs between the percentiles of the share's interval (Woodruff 1952). Its
    upper end is infinite where that share exceeds 1: too few samples lie beyond to bound it.

    >>> batches = np.repeat([1.0, 2.0, 1.0, 2.0], 8)  # alike within: the top is a tie
    >>> percentile_interval(batches, 95).high
    inf
    """
    if samples.size < FEWEST_SAMPLES:
        return None
    if ordered is None:
        ordered = np.sort(samples)
    value = percentile_of_sorted(ordered, share)
    assert value is not None
    # a batch ends as one: where those at the percentile are alike, what is below them varies
    below = (
        [np.isfinite(samples)]
        if math.isinf(value)
        else [samples <= value, samples < value * (1 - _ALIKE)]
    )
    error = max((block_error(part.astype(float)) for part in below), key=lambda e: e.standard_error)
    half = 100 * t_quantile(error.degrees_of_freedom) * error.standard_error
    low = percentile_of_sorted(ordered, max(share - half, 0.0))
    high = percentile_of_sorted(ordered, share + half) if share + half <= 100 else math.inf
    assert low is not None
    assert high is not None
    return Interval(low=low, high=high, method="block_within_run")


def num_bins(num_requests: int) -> int:
    """Return into how many parts the window of so many measured requests is divided."""
    return min(num_requests, _MOST_BINS)


def counted_in(
    times_s: NDArray[np.float64],
    window: Window,
    bins: int,
    weights: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return how many events fell into each of the window's `bins` equal parts, or their weight.

    >>> counted_in(np.array([0.0, 0.4, 1.0, 1.1]), Window(start_s=0.0, end_s=1.0), 2)
    array([1., 1.])
    """
    inside = (times_s > window.start_s) & (times_s <= window.end_s)
    # an event at the end of a part belongs to it, as one at the window's end to the window
    place = np.ceil((times_s[inside] - window.start_s) / window.duration_s * bins).astype(int) - 1
    within = None if weights is None else weights[inside]
    counted = np.bincount(place.clip(0, max(bins - 1, 0)), weights=within, minlength=bins)
    return counted.astype(float)


def rate_interval(counted: NDArray[np.float64], window: Window) -> Interval | None:
    """Return the interval of the rate of which `counted` fell into equal parts of the window.

    None for fewer than 16 parts.
    """
    return mean_interval(counted * (counted.size / window.duration_s))
