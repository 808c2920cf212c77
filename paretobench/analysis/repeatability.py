"""Does a machine give the same figure for the same thing? The statistics of an A/A run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_TO_STANDARD_DEVIATION = 1.4826  # of a normal distribution, from its median absolute deviation


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """How two systems differ, as shares of their mean: the mean over the pairs with its 95%
    interval, the spread of a pair (robust: one stall does not make it) and the worst pair."""

    mean: float
    low: float
    high: float
    spread: float
    worst: float


def paired_difference(pairs: Sequence[tuple[float, float]]) -> PairedDifference:
    """Return the difference of the second from the first, with a t-interval over at least 2 pairs.

    >>> found = paired_difference([(100.0, 101.0), (100.0, 99.0), (100.0, 100.0)])
    >>> found.low < 0 < found.high
    True
    """
    from scipy.special import stdtrit

    assert len(pairs) > 1, "an interval needs two pairs"
    shares = np.array([2 * (b - a) / (a + b) for a, b in pairs])
    mean = float(shares.mean())
    half = float(stdtrit(len(shares) - 1, 0.975) * shares.std(ddof=1) / math.sqrt(len(shares)))
    deviations = np.abs(shares - np.median(shares))
    return PairedDifference(
        mean=mean,
        low=mean - half,
        high=mean + half,
        spread=float(_TO_STANDARD_DEVIATION * np.median(deviations)),
        worst=float(np.abs(shares).max()),
    )
