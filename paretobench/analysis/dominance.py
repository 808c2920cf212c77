"""Who is beaten by whom: any number of objectives, many draws at once, and almost.

`analysis.frontier` is the authority on the frontier of the two objectives; what stands here
answers what that one does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from paretobench.analysis.frontier import frontier_indices

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]


def non_dominated_indices(objectives: ArrayLike, maximise: Sequence[bool]) -> list[int]:
    """Return the indices of non-dominated points in the order given; of equal points, the first.

    `objectives` has shape [points, d], `maximise` says for each of the d whether more is better. A
    point with a value that is not finite never stands.

    >>> non_dominated_indices([[1, 1, 9], [2, 5, 1], [2, 5, 1], [1, 1, 3]], [True, False, True])
    [0, 1]
    """
    costs = np.asarray(objectives, dtype=float) * np.where(maximise, -1.0, 1.0)
    assert costs.ndim == 2  # [points, d]
    usable = np.flatnonzero(np.isfinite(costs).all(axis=1))
    costs = costs[usable]
    no_worse = np.ones((len(usable), len(usable)), dtype=bool)  # [beaten, by]
    for cost in costs.T:
        no_worse &= cost[None, :] <= cost[:, None]
    equal = no_worse & no_worse.T
    earlier = np.tri(len(usable), k=-1, dtype=bool)
    beaten = (no_worse & ~equal) | (equal & earlier)
    return [int(i) for i in usable[~beaten.any(axis=1)]]


def non_dominated_in_each(throughput: Floats, latency: Floats) -> Bools:
    """Return who is non-dominated in each draw; both are [draws, points], and so is the answer.

    Of equal points each is non-dominated: neither beats the other. Values that are not finite
    never are.

    >>> non_dominated_in_each(np.array([[1.0, 2, 2, 3]]), np.array([[9.0, 5, 5, 5]])).tolist()
    [[False, False, False, True]]
    """
    assert throughput.shape == latency.shape  # [draws, points]
    usable = np.isfinite(throughput) & np.isfinite(latency)
    gain = np.where(usable, throughput, -np.inf)
    cost = np.where(usable, latency, np.inf)
    order = np.lexsort((cost, -gain), axis=-1)  # most throughput first, then least latency
    gain = np.take_along_axis(gain, order, axis=-1)
    cost = np.take_along_axis(cost, order, axis=-1)
    lowest = np.minimum.accumulate(cost, axis=-1)
    stands = np.ones_like(usable)
    stands[:, 1:] = cost[:, 1:] < lowest[:, :-1]
    # equal points are neighbours here, and all stand as the first of them does
    differs = np.ones_like(usable)
    differs[:, 1:] = (gain[:, 1:] != gain[:, :-1]) | (cost[:, 1:] != cost[:, :-1])
    first = np.maximum.accumulate(np.where(differs, np.arange(gain.shape[1]), 0), axis=-1)
    stands = np.take_along_axis(stands, first, axis=-1) & np.isfinite(cost)
    found = np.empty_like(stands)
    np.put_along_axis(found, order, stands, axis=-1)
    return found


def epsilon_front(
    throughput: ArrayLike, latency: ArrayLike, *, gain_epsilon: float, cost_epsilon: float
) -> list[int]:
    """Return the indices, in the order given, of the points that ε-dominate a frontier point.

    A point ε-dominates another when it is as good once its throughput is multiplied by
    (1 + `gain_epsilon`) and its latency divided by (1 + `cost_epsilon`) (Laumanns et al. 2002, with
    an ε for each objective). The frontier's own points do; values that are not finite never do.

    >>> near = {"gain_epsilon": 0.02, "cost_epsilon": 0.05}
    >>> epsilon_front([100, 99, 99, 50], [10, 10.4, 11, 10], **near)
    [0, 1]
    """
    gain, cost = np.asarray(throughput, dtype=float), np.asarray(latency, dtype=float)
    front = frontier_indices(gain, cost)
    usable = np.isfinite(gain) & np.isfinite(cost)
    # the frontier's own points belong whatever their signs
    near = np.isin(np.arange(gain.size), front)
    enough = gain[:, None] * (1 + gain_epsilon) >= gain[front][None, :]
    near |= (enough & (cost[:, None] <= cost[front][None, :] * (1 + cost_epsilon))).any(axis=1)
    return [int(i) for i in np.flatnonzero(near & usable)]
