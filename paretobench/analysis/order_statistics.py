"""Distribution-free bounds of a percentile: which order statistic lies beyond it, and how surely.

Of n independent samples the number below the q-quantile is Binomial(n, q), whatever the latencies'
distribution: so the k-th smallest is at least the quantile with the probability of fewer than k
(G. J. Hahn and W. Q. Meeker, "Statistical Intervals", 1991, section 5.2). Where n is an effective
number of requests, a rank k among n stands for the share k/n of all samples.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95  # of each bound, one-sided
_MOST_REQUESTS = 100_000_000  # that it is worth to say are needed


def upper_rank(size: int, share: float) -> int | None:
    """Return the smallest rank, from 1, whose sample is at least the quantile with 95% confidence.

    None where not even the largest is: 59 samples are the fewest for a p95.

    >>> upper_rank(1000, 0.95), upper_rank(59, 0.95), upper_rank(58, 0.95)
    (962, 59, None)
    """
    rank = _binomial_quantile(CONFIDENCE, size, share) + 1 if size else 1
    return rank if rank <= size else None


def lower_rank(size: int, share: float) -> int | None:
    """Return the largest rank whose sample is at most the quantile with 95% confidence, None where
    not even the smallest is.

    >>> lower_rank(1000, 0.95), lower_rank(0, 0.95)
    (938, None)
    """
    rank = _binomial_quantile(1 - CONFIDENCE, size, share) if size else 0
    return rank or None


def _binomial_quantile(level: float, size: int, share: float) -> int:
    """Return the least number of hits that is not exceeded with probability `level`."""
    from scipy.special import bdtr, bdtrik  # scipy.stats takes half a second to import

    hits = max(0, math.ceil(float(bdtrik(level, size, share))))
    is_least = hits == 0 or float(bdtr(hits - 1, size, share)) < level
    return hits if is_least else hits - 1


def value_at(ordered: NDArray[np.float64], rank: int | None, size: int) -> float | None:
    """Return the sample at the share rank/size of the sorted samples, None for no rank.

    >>> value_at(np.array([1.0, 2.0, 3.0, 4.0]), 1, 2)
    2.0
    """
    if rank is None:
        return None
    at = math.ceil(rank * ordered.size / size * (1 - 1e-12)) - 1
    return float(ordered[min(max(at, 0), ordered.size - 1)])


def size_that_shows(share: float, within: float) -> int | None:
    """Return how many independent samples show that the quantile meets a limit which the share
    `within` of them keeps; None where no number that is worth it does.

    >>> size_that_shows(0.95, 1.0), size_that_shows(0.95, 0.95)
    (59, None)
    """
    if within <= share:
        return None
    high = 1
    while not _shows(high, share, within):
        high *= 2
        if high > _MOST_REQUESTS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _shows(middle, share, within) else (middle, high)
    return high


def _shows(size: int, share: float, within: float) -> bool:
    rank = upper_rank(size, share)
    return rank is not None and rank <= within * size * (1 + 1e-12)


def lowest_share(hits: float, size: float) -> float:
    """Return the lower 95% bound of a share with `hits` of `size` (Clopper and Pearson, 1934).

    >>> round(lowest_share(59, 59), 4), lowest_share(0, 10)
    (0.9505, 0.0)
    """
    from scipy.special import betaincinv

    return float(betaincinv(hits, size - hits + 1, 1 - CONFIDENCE)) if hits > 0 else 0.0


def highest_share(hits: float, size: float) -> float:
    """Return the upper 95% bound of a share.

    >>> highest_share(10, 10)
    1.0
    """
    return 1.0 - lowest_share(size - hits, size)
