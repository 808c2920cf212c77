"""Percentiles and means in which a request that never finished is +inf, not left out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from paretobench.core.metrics import LATENCY_KINDS, qualified, split_name

PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0}
_MINIMUM_BEYOND = 10


def percentile_of(metric: str) -> tuple[str, float] | None:
    """Return whose percentile a figure is: the name of its samples, and the share below it.

    None where it is not one of latencies.

    >>> percentile_of("chat.p95_e2e_ms"), percentile_of("mean_e2e_ms")
    (('chat.e2e', 95.0), None)
    """
    class_name, base = split_name(metric)
    statistic, _, rest = base.partition("_")
    kind = rest.removesuffix("_ms")
    if statistic not in PERCENTILES or kind not in LATENCY_KINDS:
        return None
    return kind if class_name is None else qualified(class_name, kind), PERCENTILES[statistic]


def percentile(samples: NDArray[np.float64], share: float) -> float | None:
    """Return the percentile, linear between order statistics; None for no samples.

    Where the upper neighbour is infinite and has weight, so is the percentile.

    >>> percentile(np.array([1.0, 2.0, 3.0]), 50)
    2.0
    >>> percentile(np.array([1.0, 2.0, np.inf]), 95)
    inf
    """
    return percentile_of_sorted(np.sort(samples), share)


def percentile_of_sorted(ordered: NDArray[np.float64], share: float) -> float | None:
    """Return `percentile` of samples that are sorted."""
    if ordered.size == 0:
        return None
    place = (ordered.size - 1) * share / 100
    below = math.floor(place)
    weight = place - below
    low = float(ordered[below])
    if weight == 0 or math.isinf(low):
        return low
    high = float(ordered[below + 1])
    return high if math.isinf(high) else low + weight * (high - low)


def mean_of(samples: NDArray[np.float64]) -> float | None:
    """Return the mean; None for no samples, inf where any is."""
    return float(np.mean(samples)) if samples.size else None


def is_low(num_samples: int, share: float) -> bool:
    """Return whether fewer than 10 of the samples lie beyond the percentile.

    >>> is_low(200, 95), is_low(199, 95)
    (False, True)
    """
    return num_samples * (100 - share) < 100 * _MINIMUM_BEYOND
