"""The Pareto frontier: who is beaten by nobody."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from paretobench.analysis.configurations import Configuration


def frontier_indices(throughput: ArrayLike, latency: ArrayLike) -> list[int]:
    """Return the indices of non-dominated points by rising throughput; of equal points, the first.

    `throughput` (higher is better) and `latency` (lower is better) have shape [points]. A point is
    dominated when another is at least as good in both and better in one. NaN and infinite values
    never stand on the frontier.

    >>> frontier_indices([1, 2, 3, 3, 2], [1, 5, 4, 4, 9])
    [0, 2]
    """
    gain = np.asarray(throughput, dtype=float)
    cost = np.asarray(latency, dtype=float)
    assert gain.shape == cost.shape == (gain.size,)  # [points]
    usable = np.flatnonzero(np.isfinite(gain) & np.isfinite(cost))
    # best throughput first, then lowest latency, then the first given: lexsort's last key leads
    order = usable[np.lexsort((usable, cost[usable], -gain[usable]))]
    if order.size == 0:
        return []
    # walking down in throughput, a point survives only by a latency below every one before it
    lowest_before = np.minimum.accumulate(np.concatenate(([np.inf], cost[order][:-1])))
    front = order[cost[order] < lowest_before]
    return [int(i) for i in front[::-1]]


def find_frontier(
    configurations: Sequence[Configuration], *, throughput: str, latency: str
) -> list[Configuration]:
    """Return the frontier of each variant and workload shape, one after another, by rising
    throughput.

    Only valid configurations compete, and only against those of the same variant and workload.
    `throughput` and `latency` name the two figures.
    """
    front: list[Configuration] = []
    for curve in dict.fromkeys(map(curve_of, configurations)):
        rivals = [c for c in configurations if curve_of(c) == curve and c.is_valid]
        gains = [_or_nan(c.figures.get(throughput)) for c in rivals]
        costs = [_or_nan(c.figures.get(latency)) for c in rivals]
        front += [rivals[i] for i in frontier_indices(gains, costs)]
    return front


def curve_of(configuration: Configuration) -> tuple[str | None, str]:
    """Return the variant and the workload, which together say on which curve it competes."""
    return configuration.settings.variant, configuration.settings.workload


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
