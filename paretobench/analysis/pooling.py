"""Percentiles of the samples of several runs taken together, each run counted any number of times.

Leaving a run out (jackknife) and drawing runs with replacement (bootstrap) are both a matter of how
often each run counts: the samples are sorted once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretobench.core.points import Point


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledRuns:
    """The samples of several runs, sorted together.

    `num_until[r, i]` is how many of run r's samples are among the first i + 1 of `values`.
    """

    values: NDArray[np.float64]  # [samples], rising
    num_until: NDArray[np.int32]  # [runs, samples]

    @classmethod
    def of(cls, runs: Sequence[NDArray[np.float64]]) -> PooledRuns:
        """Return the samples of the runs, pooled. There is at least one."""
        values = np.concatenate(runs)
        run_of = np.repeat(np.arange(len(runs)), [run.size for run in runs])
        order = np.argsort(values, kind="stable")
        num_until = np.empty((len(runs), values.size), dtype=np.int32)
        for run, row in enumerate(num_until):
            np.cumsum(run_of[order] == run, out=row)
        return cls(values=values[order], num_until=num_until)

    def percentiles(self, counts: NDArray[np.int64], share: float) -> NDArray[np.float64]:
        """Return the percentile where run r's samples count `counts[draw, r]` times, [draws].

        It is that of `percentiles.percentile` on the samples written out as often; NaN where no
        sample counts.

        >>> runs = PooledRuns.of([np.array([1.0, 4.0]), np.array([2.0, np.inf])])
        >>> runs.percentiles(np.array([[1, 1], [2, 0], [0, 3]]), 50.0)
        array([3. , 2.5, inf])
        """
        totals = counts @ self.num_until[:, -1]  # [draws]
        known = totals > 0
        found = np.full(totals.shape, np.nan)
        place = (totals[known] - 1) * share / 100
        below = np.floor(place).astype(np.int64)
        weight = place - below
        low = self._order_statistic(counts[known], below)
        high = self._order_statistic(counts[known], np.ceil(place).astype(np.int64))
        finite = np.isfinite(high) | (weight == 0)
        step = np.where(np.isfinite(high), high, 0.0) - np.where(np.isfinite(low), low, 0.0)
        found[known] = np.where(finite, low + np.where(weight == 0, 0.0, weight * step), np.inf)
        return found

    def _order_statistic(
        self, counts: NDArray[np.int64], rank: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Return each draw's sample of a rank counted from 0, by bisection over the samples."""
        first = np.zeros(rank.shape, dtype=np.int64)
        last = np.full(rank.shape, self.values.size - 1)
        while np.any(first < last):
            middle = (first + last) // 2
            reached = np.einsum("dr,rd->d", counts, self.num_until[:, middle]) > rank
            last = np.where(reached, middle, last)
            first = np.where(reached, first, np.minimum(middle + 1, last))
        return self.values[first]


def pool(runs: Sequence[Point], kind: str) -> PooledRuns | None:
    """Return the runs' latencies of a kind, pooled; None where not every run's are at hand."""
    if not all(kind in run.samples for run in runs):
        return None
    samples = [run.samples[kind] for run in runs]
    return PooledRuns.of(samples) if sum(s.size for s in samples) else None
