"""A configuration's figures from its runs, each with a 95% interval.

Several runs have seeds of their own, so they are independent, whatever is alike within them. Rates,
shares and means are the mean of the runs' with a t-interval. A percentile is that of all samples
pooled, with a jackknife that leaves out one run at a time; where the samples are not at hand (no
raw files, and always for ITL, of which there is one a token) it is the mean of the runs' as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.percentiles import is_low, percentile_of
from paretobench.analysis.pooling import PooledRuns, pool
from paretobench.analysis.run_intervals import t_quantile
from paretobench.core.intervals import ESTIMATED, Interval
from paretobench.core.metrics import metric_of, split_name
from paretobench.core.points import Point

Figures = dict[str, float | None]


def combine_figures(runs: Sequence[Point]) -> tuple[Figures, dict[str, Interval]]:
    """Return what the runs of a configuration measured together, and its intervals.

    One run alone keeps its own figures and intervals, and so does a figure that one run has alone.
    A mean with an infinite run has no interval.
    """
    names = dict.fromkeys(name for run in runs for name in run.figures)
    figures: Figures = {}
    intervals: dict[str, Interval] = {}
    pooled: dict[str, PooledRuns | None] = {}
    for name in names:
        wanted = percentile_of(name)
        if wanted is not None and wanted[0] not in pooled and len(runs) > 1:
            pooled[wanted[0]] = pool(runs, wanted[0])
        with_figure = [run for run in runs if run.figures.get(name) is not None]
        of_kind = None if wanted is None else pooled.get(wanted[0])
        interval: Interval | None
        if len(with_figure) == 1:
            figures[name] = with_figure[0].figures[name]
            interval = with_figure[0].intervals.get(name)
        elif of_kind is not None and wanted is not None and with_figure:
            figures[name], interval = pooled_percentile(of_kind, wanted[1])
        else:
            values = [v for run in with_figure if (v := run.figures[name]) is not None]
            figures[name] = math.fsum(values) / len(values) if values else None
            interval = _t_of_figure(name, values)
        if interval is not None:
            intervals[name] = interval
    return figures, intervals


def low_percentiles(runs: Sequence[Point]) -> tuple[str, ...]:
    """Return the percentiles with fewer than 10 samples beyond: of all runs' samples together, or
    where these are not at hand, of any run's."""
    names = dict.fromkeys(name for run in runs for name in run.low_percentiles)
    return tuple(name for name in names if _is_low(runs, name))


def _is_low(runs: Sequence[Point], name: str) -> bool:
    wanted = percentile_of(name)
    if wanted is None or not all(wanted[0] in run.samples for run in runs):
        return True
    return is_low(sum(run.samples[wanted[0]].size for run in runs), wanted[1])


def _t_of_figure(name: str, values: Sequence[float]) -> Interval | None:
    if split_name(name)[1] not in ESTIMATED:
        return None
    return t_interval(values, most=1.0 if metric_of(name).unit == "share" else math.inf)


def t_interval(values: Sequence[float], *, most: float = math.inf) -> Interval | None:
    """Return the t-interval of the mean of independent values that lie between 0 and `most`.

    None for fewer than two, or where one is infinite.

    >>> interval = t_interval([9.0, 10.0, 11.0])
    >>> round(interval.low, 3), round(interval.high, 3)
    (7.516, 12.484)
    """
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    mean = math.fsum(values) / len(values)
    half = t_quantile(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    return Interval(low=max(mean - half, 0.0), high=min(mean + half, most), method="t_over_runs")


def pooled_percentile(runs: PooledRuns, share: float) -> tuple[float, Interval]:
    """Return the percentile of the samples of all runs, two at least, and its interval.

    The error is that of the jackknife's pseudo-values, with one degree of freedom fewer than there
    are runs. Where the percentile is infinite, or is once a run is left out, the upper end is
    infinite and the lower one the lowest percentile of one run.
    """
    drawn = np.flatnonzero(runs.num_until[:, -1] > 0)  # a run without samples has no say
    num_runs = drawn.size
    assert num_runs > 1
    alone = np.zeros((num_runs, len(runs.num_until)), dtype=np.int64)
    alone[np.arange(num_runs), drawn] = 1
    every = alone.sum(axis=0)
    value = float(runs.percentiles(every[None, :], share)[0])
    left_out = runs.percentiles(every - alone, share)
    if not (math.isfinite(value) and np.isfinite(left_out).all()):
        low = float(runs.percentiles(alone, share).min())
        return value, Interval(low=min(low, value), high=math.inf, method="jackknife_over_runs")
    half = t_quantile(num_runs - 1) * jackknife_error(value, left_out)
    return value, Interval(
        low=max(value - half, 0.0), high=value + half, method="jackknife_over_runs"
    )


def jackknife_error(value: float, left_out: NDArray[np.float64]) -> float:
    """Return the standard error of a figure of several runs, from what it is without each of them.

    It is that of the mean of the pseudo-values n · value - (n - 1) · left_out (Tukey 1958).

    >>> round(jackknife_error(2.0, np.array([2.5, 2.0, 1.5])), 4)
    0.5774
    """
    num_runs = left_out.size
    pseudo_values = num_runs * value - (num_runs - 1) * left_out
    return float(np.std(pseudo_values, ddof=1)) / math.sqrt(num_runs)
