"""How far one frontier lies from another, over the range that both were measured in.

A frontier is read as the staircase that its points prove: the most throughput measured at a latency
of at most x, the least latency measured for a throughput of at least y. Nothing is interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.frontier import frontier_indices

Floats: TypeAlias = NDArray[np.float64]
Curve: TypeAlias = Sequence[tuple[float, float]]
"""Points of (throughput, latency), in any order; only the non-dominated ones count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """What one curve has for each unit of the other: the geometric mean of the ratio over the
    logarithm of the range from `start` to `end`, and the ratio's lowest and highest value there.

    `coverage` is the share of that range in all that either curve spans, on a logarithmic axis.
    """

    ratio: float
    lowest: float
    highest: float
    start: float
    end: float
    coverage: float


def throughput_shift(baseline: Curve, candidate: Curve) -> Shift | str:
    """Return the candidate's throughput over the baseline's at equal latency, or why there is none.

    >>> base, twice = [(1, 10), (2, 40)], [(2, 10), (4, 40)]
    >>> throughput_shift(base, twice)
    Shift(ratio=2.0, lowest=2.0, highest=2.0, start=10.0, end=40.0, coverage=1.0)
    """
    pair = _staircases(baseline, candidate)
    if isinstance(pair, str):
        return pair
    (base_gain, base_cost), (gain, cost) = pair
    edges = _edges(base_cost, cost)
    if edges is None:
        return f"no latency lies on both curves: {_apart(base_cost, cost)}"

    def at(gains: Floats, costs: Floats) -> Floats:  # the most throughput with latency ≤ edge
        return gains[np.searchsorted(costs, edges, side="right") - 1]

    ratios = at(gain, cost) / at(base_gain, base_cost)
    return _shift(
        edges, ratios, ratios[:-1], _span(base_cost, cost)
    )  # each holds up to the next edge


def latency_shift(baseline: Curve, candidate: Curve) -> Shift | str:
    """Return the candidate's latency over the baseline's at equal throughput, or why there is none.

    >>> base, half = [(1, 10), (2, 40)], [(1, 5), (2, 20)]
    >>> latency_shift(base, half)
    Shift(ratio=0.5, lowest=0.5, highest=0.5, start=1.0, end=2.0, coverage=1.0)
    """
    pair = _staircases(baseline, candidate)
    if isinstance(pair, str):
        return pair
    (base_gain, base_cost), (gain, cost) = pair
    edges = _edges(base_gain, gain)
    if edges is None:
        return f"no throughput lies on both curves: {_apart(base_gain, gain)}"

    def at(gains: Floats, costs: Floats) -> Floats:  # the least latency with throughput ≥ edge
        return costs[np.searchsorted(gains, edges, side="left")]

    ratios = at(gain, cost) / at(base_gain, base_cost)
    return _shift(
        edges, ratios, ratios[1:], _span(base_gain, gain)
    )  # each holds down to the edge before


def _staircases(
    baseline: Curve, candidate: Curve
) -> tuple[tuple[Floats, Floats], tuple[Floats, Floats]] | str:
    found = []
    for name, curve in (("baseline", baseline), ("candidate", candidate)):
        points = np.asarray(curve, dtype=float).reshape(-1, 2)  # [points, (throughput, latency)]
        front = points[frontier_indices(points[:, 0], points[:, 1])]
        if len(front) == 0:
            return f"the {name} has no valid point"
        if front.min() <= 0:
            return f"the {name} has a figure of 0 or less: there is no ratio to it"
        found.append((front[:, 0], front[:, 1]))
    return found[0], found[1]


def _edges(one: Floats, other: Floats) -> Floats | None:
    """Return where either staircase may step within the range of both, its ends included."""
    start, end = max(one[0], other[0]), min(one[-1], other[-1])
    if start > end:
        return None
    steps: Floats = np.union1d(one, other)
    edges: Floats = steps[(steps >= start) & (steps <= end)]
    return edges


def _span(one: Floats, other: Floats) -> float:
    return float(np.log(max(one[-1], other[-1]) / min(one[0], other[0])))


def _shift(edges: Floats, ratios: Floats, held: Floats, span: float) -> Shift:
    """Weigh the ratio that is `held` between two edges by their distance on a logarithmic axis."""
    widths = np.diff(np.log(edges))
    whole = widths.sum()
    mean = np.log(held) @ widths / whole if whole > 0 else np.log(ratios[0])
    # a mean of equal ratios is that ratio: rounding must not carry it out of their range
    ratio = np.clip(np.exp(mean), ratios.min(), ratios.max())
    return Shift(
        ratio=float(ratio),
        lowest=float(ratios.min()),
        highest=float(ratios.max()),
        start=float(edges[0]),
        end=float(edges[-1]),
        coverage=float(np.log(edges[-1] / edges[0])) / span if span > 0 else 1.0,
    )


def _apart(one: Floats, other: Floats) -> str:
    return f"{one[0]:.4g} to {one[-1]:.4g} against {other[0]:.4g} to {other[-1]:.4g}"
