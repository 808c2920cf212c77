"""How many independent requests a run's requests are worth.

Requests of one batch finish together and those that queue behind each other wait alike, so 1,000 of
them say less of a percentile than 1,000 independent ones would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indicator = NDArray[np.bool_]


def autocorrelation_time(series: NDArray[np.float64] | Indicator) -> float:
    """Return by how much the variance of the mean exceeds that of independent values, at least 1.

    It is 1 + 2 · the sum of the autocorrelations, cut off by the initial monotone sequence: sums of
    neighbouring pairs are added while they are positive, none larger than the one before
    (C. J. Geyer, "Practical Markov chain Monte Carlo", Statistical Science 7, 1992, section 3.3).
    A series that never changes tells nothing of itself: 1.

    >>> autocorrelation_time(np.repeat([0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0], 50)) > 30
    True
    """
    values = np.asarray(series, dtype=np.float64)
    if values.size < 4 or np.ptp(values) == 0:
        return 1.0
    pairs = _pair_sums(_autocorrelations(values))
    negative = np.flatnonzero(pairs <= 0)
    kept = pairs[: negative[0]] if negative.size else pairs
    return max(1.0, float(2 * np.minimum.accumulate(kept).sum() - 1)) if kept.size else 1.0


def effective_size(runs: Sequence[Indicator]) -> float:
    """Return how many independent requests the share of hits in these runs is worth.

    Each run's indicator is in the order of arrival. Within the runs, size over autocorrelation
    time; between them, where there are several, the size at which independent requests would
    differ as the runs' shares do: the smaller of the two.
    """
    sizes = [float(run.size) for run in runs]
    within = math.fsum(
        size / autocorrelation_time(run) for size, run in zip(sizes, runs, strict=True)
    )
    return max(1.0, min(within, _size_between(runs))) if within else 0.0


def _autocorrelations(values: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = values - values.mean()
    length = 1 << (2 * values.size - 1).bit_length()  # zeros behind: no lag wraps around
    spectrum = np.fft.rfft(centred, length)
    covariances = np.fft.irfft(spectrum * np.conj(spectrum), length)[: values.size]
    return np.asarray(covariances / covariances[0], dtype=np.float64)


def _pair_sums(correlations: NDArray[np.float64]) -> NDArray[np.float64]:
    even = correlations[: correlations.size // 2 * 2]
    return np.asarray(even.reshape(-1, 2).sum(axis=1), dtype=np.float64)


def _size_between(runs: Sequence[Indicator]) -> float:
    """Return share · (1 − share) over the variance of the mean of the runs' shares; inf where the
    runs do not differ, or there is one."""
    if len(runs) < 2 or any(run.size == 0 for run in runs):
        return math.inf
    shares = np.array([run.mean() for run in runs])
    variance = float(shares.var(ddof=1)) / len(runs)
    share = float(shares.mean())
    return share * (1 - share) / variance if variance else math.inf
