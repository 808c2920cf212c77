"""How much of the plane a frontier wins: one figure for a whole curve."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def hypervolume(throughput: ArrayLike, latency: ArrayLike, *, cap: float) -> float:
    """Return the area that the points win over throughput 0 and latency `cap`.

    That is the integral over the throughput x of ln(cap / L(x)), where L(x) is the least latency of
    the points with at least x (Zitzler and Thiele 1999, with log latency). Throughput × natural
    logarithm; divided by the most throughput it is the mean of that logarithm. What lies beyond
    the cap, or is not finite, wins nothing. Latencies must be positive.

    >>> round(hypervolume([100, 200], [1000 / np.e, 1000], cap=1000 * np.e), 9)
    300.0
    """
    gain, cost = np.asarray(throughput, dtype=float), np.asarray(latency, dtype=float)
    assert gain.shape == cost.shape == (gain.size,)  # [points]
    return float(hypervolume_of_each(gain[None, :], cost[None, :], cap=cap)[0])


def hypervolume_of_each(
    throughput: NDArray[np.float64], latency: NDArray[np.float64], *, cap: float
) -> NDArray[np.float64]:
    """Return the hypervolume of each draw; throughput and latency are [draws, points]."""
    assert throughput.shape == latency.shape  # [draws, points]
    wins = np.isfinite(throughput) & (throughput > 0) & (latency < cap)
    gain = np.where(wins, throughput, 0.0)
    height = np.log(cap / np.where(wins, latency, cap))
    assert np.isfinite(height).all()  # a latency of 0 would win without bound
    order = np.argsort(-gain, axis=-1, kind="stable")
    gain = np.take_along_axis(gain, order, axis=-1)
    best = np.maximum.accumulate(np.take_along_axis(height, order, axis=-1), axis=-1)
    below = np.concatenate([gain[:, 1:], np.zeros((len(gain), 1))], axis=-1)
    area: NDArray[np.float64] = ((gain - below) * best).sum(axis=-1)
    return area
