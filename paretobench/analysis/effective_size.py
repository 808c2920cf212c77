"""How many independent requests a run's requests are worth.

Requests of one batch finish together and those that queue behind each other wait alike, so 1,000 of
them say less of a percentile than 1,000 independent ones would. A run without a long excursion
does not know of any: the estimate is made to err to the small side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Indicator = NDArray[np.bool_]
Samples = NDArray[np.float64]

_PIECES = (1, 3, 10)  # of each run, whose shares are compared
_FEWEST_IN_A_PIECE = 10
_SHARES_BEYOND = (1, 2, 4)  # times the percentile's own: further in, excursions are more and longer
_STANDARD_ERRORS = 2.0
_DECIMALS = 9  # of a second: differences of times are not exact, and equal ones must be equal


def size_for_percentile(runs: Sequence[Samples], share: float, limit: float) -> float:
    """Return how many independent samples these are worth for the `share`-quantile.

    Each run is in the order of arrival. It is the least over several indicators: being beyond the
    limit, and beyond the percentile and two further in, for where few samples are beyond the limit
    there is little to learn from them.
    """
    runs = [np.round(run, _DECIMALS) for run in runs]
    ordered = np.sort(np.concatenate(runs))
    sizes = [effective_size([run > limit for run in runs])]
    for times in _SHARES_BEYOND:
        place = math.ceil((1 - times * (1 - share)) * ordered.size * (1 - 1e-12)) - 1
        if place < 0:
            continue
        own = ordered[place]
        sizes.append(effective_size([run > own for run in runs]))
        sizes.append(effective_size([run >= own for run in runs]))  # many may be equal
    return min(sizes)


def effective_size(runs: Sequence[Indicator]) -> float:
    """Return how many independent requests the share of hits in these runs is worth.

    The least of: the size over the autocorrelation time, and the size at which independent
    requests would differ as the shares of the runs do, of their thirds, and of their tenths.
    """
    total = sum(run.size for run in runs)
    if total == 0:
        return 0.0
    sizes = [total / autocorrelation_time(runs)]
    for pieces in _PIECES:
        if all(run.size >= pieces * _FEWEST_IN_A_PIECE for run in runs):
            sizes.append(_size_between([p for run in runs for p in np.array_split(run, pieces)]))
    return max(1.0, min(sizes))


def autocorrelation_time(runs: Sequence[Samples] | Sequence[Indicator]) -> float:
    """Return by how much the variance of the mean exceeds that of independent values, at least 1.

    It is 1 + 2 · the sum of the autocorrelations, those of the runs about their common mean, cut
    off by the initial monotone sequence: sums of neighbouring pairs are added while they are
    positive, none larger than the one before (C. J. Geyer, "Practical Markov chain Monte Carlo",
    Statistical Science 7, 1992). Two standard errors are added, √(2 (2W + 1) / n) of it each where
    W lags were summed (A. Sokal, "Monte Carlo methods in statistical mechanics", 1996).
    Values that never change tell nothing of themselves: 1.

    >>> autocorrelation_time([np.repeat([0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 1.0], 50)]) > 30
    True
    """
    correlations = _autocorrelations([np.asarray(run, dtype=np.float64) for run in runs])
    if correlations is None:
        return 1.0
    pairs = correlations[: correlations.size // 2 * 2].reshape(-1, 2).sum(axis=1)
    ends = np.flatnonzero(pairs <= 0)
    kept = pairs[: ends[0]] if ends.size else pairs
    time = max(1.0, float(2 * np.minimum.accumulate(kept).sum() - 1)) if kept.size else 1.0
    num_values = sum(run.size for run in runs)
    error = math.sqrt(2 * (2 * 2 * kept.size + 1) / num_values)
    return time * (1 + _STANDARD_ERRORS * error)


def _autocorrelations(runs: Sequence[Samples]) -> Samples | None:
    """Return the correlations at lag 0, 1, ...; None where all values are equal."""
    mean = float(np.concatenate(runs).mean())
    longest = max(run.size for run in runs)
    length = 1 << (2 * longest - 1).bit_length()  # zeros behind: no lag wraps around
    covariances = np.zeros(longest)
    for run in runs:
        spectrum = np.fft.rfft(run - mean, length)
        covariances += np.fft.irfft(spectrum * np.conj(spectrum), length)[:longest]
    if covariances[0] <= 1e-12:
        return None
    return np.asarray(covariances / covariances[0], dtype=np.float64)


def _size_between(pieces: Sequence[Indicator]) -> float:
    """Return share · (1 − share) over the variance of the mean of the pieces' shares; inf where
    they do not differ, or there is one."""
    shares = np.array([piece.mean() for piece in pieces])
    variance = float(shares.var(ddof=1)) / len(pieces) if len(pieces) > 1 else 0.0
    share = float(shares.mean())
    return share * (1 - share) / variance if variance else math.inf
