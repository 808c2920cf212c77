"""How far the mean of a series may be off when neighbours are alike: circular blocks.

Requests of one batch wait for one another and queues outlast requests, so that a thousand latencies
in a row say less than a thousand independent ones would. Politis & Romano (1992) resample blocks of
neighbours, the series closed to a circle. The variance of the mean over infinitely many resamples
has a closed form, which is used here: nothing is drawn, and equal data gives an equal interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_FEWEST_BLOCKS = 8
# the rule's length makes the variance most exact, but too small in the mean where dependence is
# long: of 2,000 requests at load 0.8, 95% intervals from it covered 88%, from four times it 91%
_LONGER_THAN_RULE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockError:
    """The standard error of a series' mean, from blocks of `block_length`.

    `degrees_of_freedom` are those of the variance of overlapping blocks (Meketon & Schmeiser 1984).
    """

    standard_error: float
    degrees_of_freedom: float
    block_length: int


def block_error(series: NDArray[np.float64], length: int | None = None) -> BlockError:
    """Return the error of the mean of a series of finite values, by its own block length or one
    that is given.

    A block's mean is taken about every place of the circle. The variance is that of the circular
    block bootstrap, over the share of it that blocks of a finite series are expected to show.
    """
    size = series.size
    length = block_length(series) if length is None else length
    closed = np.concatenate((series, series[: length - 1])) - series.mean()
    sums = np.concatenate(([0.0], np.cumsum(closed)))
    means = (sums[length:] - sums[:-length]) / length  # [size], one for each first element
    variance = float(np.mean(means**2)) * length / size / (1 - length / size)
    return BlockError(
        standard_error=math.sqrt(variance),
        degrees_of_freedom=max(1.5 * (size / length - 1), 1.0),
        block_length=length,
    )


def block_length(series: NDArray[np.float64]) -> int:
    """Return the block length for a series' mean: four times that of the automatic rule of Politis
    & White (2004), as corrected by Patton, Politis & White (2009), for circular blocks.

    Autocorrelations count up to twice the lag from which on they are insignificant. At least
    8 blocks are left, and a constant series has blocks of 1.

    >>> block_length(np.zeros(100)), block_length(np.repeat([0.0, 1.0, 0.0, 1.0], 25))
    (1, 12)
    """
    size = series.size
    longest = max(size // _FEWEST_BLOCKS, 1)
    centred = series - series.mean()
    covariance = _autocovariances(centred, min(2 * _most_lags(size), size - 1) + 1)
    if covariance[0] <= 1e-18 * max(float(np.mean(series**2)), 1e-300) or size < 4:
        return 1
    lags = _significant_lags(covariance / covariance[0], size)
    lag = np.arange(1, min(2 * lags, size - 1) + 1)
    weight = np.minimum(1.0, 2 * (1 - lag / (2 * lags)))  # the flat-top window
    weighted = weight * covariance[lag]
    slope = 2 * float(np.sum(lag * weighted))
    spectrum = float(covariance[0]) + 2 * float(np.sum(weighted))
    if spectrum <= 0:  # neighbours balance: any length finds how far
        return longest
    best = math.cbrt(1.5 * (slope / spectrum) ** 2 * size)
    return min(_LONGER_THAN_RULE * max(math.ceil(best), 1), longest)


def _autocovariances(centred: NDArray[np.float64], num_lags: int) -> NDArray[np.float64]:
    """Return the autocovariances at lags 0, 1, … [num_lags], by Fourier transform."""
    size = centred.size
    padded = 1 << (size + num_lags - 1).bit_length()  # zeros behind: no such lag wraps around
    spectrum = np.fft.rfft(centred, padded)
    products = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, padded)
    return products[:num_lags] / size


def _most_lags(size: int) -> int:
    """Return up to which lag autocorrelations may be significant."""
    return min(math.ceil(math.sqrt(size)) + _run(size), size - 1)


def _run(size: int) -> int:
    """Return how many insignificant autocorrelations in a row are the end of them."""
    return max(5, math.ceil(math.sqrt(math.log10(size))))


def _significant_lags(correlation: NDArray[np.float64], size: int) -> int:
    """Return the first lag after which several autocorrelations in a row are insignificant."""
    run, most = _run(size), _most_lags(size)
    bound = 2 * math.sqrt(math.log10(size) / size)
    small = np.abs(correlation[1 : most + run + 1]) < bound
    for lag in range(min(most, small.size)):
        if small[lag : lag + run].all():
            return max(lag, 1)
    return most
