"""Whether the window shows a steady state, or something that was still going on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.judgement import Judgement
from paretobench.core.columns import Floats, RequestColumns
from paretobench.core.points import Settings
from paretobench.core.values import Trace, Window

_LITTLE = 0.03
_MSER_BATCH = 5
_EDGE = 5  # batches that both parts must have
_PART_BATCHES = 5  # batch means that a part's standard error comes from
_STANDARD_ERRORS = 6.0
_SHIFT = 0.03  # of the mean: a truncation that moves it by less does not matter


def nonstationary(settings: Settings, trace: Trace, window: Window) -> Judgement | None:
    """Return the verdict where the window does not show one steady state.

    It does not where the warm-up reaches into it (MSER-5 on the E2E latencies) or Little's law
    fails. Loads whose rate varies by design, profiles and traces, are not judged.
    """
    if not settings.is_steady:
        return None
    requests = RequestColumns.of(trace.requests)
    measured = requests.where(requests.measured & ~np.isnan(requests.finished_s))
    finished_s = measured.finished_s
    e2e_s = finished_s - measured.arrival_s
    cut = late_truncation(_by_delivery(e2e_s, finished_s))
    if cut is not None:
        return Judgement(
            verdict="nonstationary",
            reason=f"MSER-5 would drop the first {cut.share:.0%} of the window: the mean E2E "
            f"latency is {cut.shift:+.0%} without it",
            remedy="raise measure.warmup, and see what the trial did at its start",
        )
    return _little(requests, window, float(e2e_s.mean()), len(measured))


def _by_delivery(
    e2e_s: NDArray[np.float64], finished_s: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean latency of those delivered together, in order: a batch is one observation."""
    _, group = np.unique(finished_s, return_inverse=True)
    means: NDArray[np.float64] = np.bincount(group, weights=e2e_s) / np.bincount(group)
    return means


@dataclass(frozen=True, slots=True, kw_only=True)
class Truncation:
    """The share of a series that MSER-5 drops, and how the mean changes by it."""

    share: float
    shift: float


def late_truncation(series: NDArray[np.float64]) -> Truncation | None:
    """Return what MSER-5 drops of a series where that differs from the rest; None where nothing is.

    MSER-5 (White 1997; White, Cobb and Spratt 2000) drops the batches of 5 without which the
    marginal standard error, sum((y - mean)²)/m² of the m batches left, is least. In a queue's
    autocorrelated latencies the least lies anywhere by chance, also in the second half. So the part
    it drops must also differ from the rest by 6 standard errors, each part's from its own 5 batch
    means: a busy spell is as uncertain as it is long. And the mean must move by 3%.
    Of 288 clean trials of 1000 to 4000 requests at loads 0.3 to 0.9 the 3% alone cut 36, with 4
    standard errors it was 7, with 6 it is 3.

    >>> late_truncation(np.r_[np.full(50, 3.0), np.ones(150)]).share
    0.25
    >>> late_truncation(np.ones(200)) is None
    True
    """
    count = series.size // _MSER_BATCH
    if count < 2 * _EDGE:
        return None
    batches = series[: count * _MSER_BATCH].reshape(count, _MSER_BATCH).mean(axis=1)
    first = _mser(batches)
    if first < _EDGE:
        return None
    dropped, rest = batches[:first], batches[first:]
    shift = float(rest.mean() / batches.mean() - 1)
    gap = abs(dropped.mean() - rest.mean())
    if abs(shift) <= _SHIFT or gap <= _STANDARD_ERRORS * math.hypot(_error(dropped), _error(rest)):
        return None
    return Truncation(share=first / count, shift=shift)


def _mser(batches: NDArray[np.float64]) -> int:
    """Return how many batches to drop; at least 5 are left."""
    centred = batches - batches.mean()
    left = np.arange(batches.size, 0, -1)  # [batches], from each one on
    sums = np.cumsum(centred[::-1])[::-1]
    squares = np.cumsum(centred[::-1] ** 2)[::-1]
    marginal = (squares - sums**2 / left) / left**2
    return int(marginal[: batches.size - _EDGE + 1].argmin())


def _error(part: NDArray[np.float64]) -> float:
    """Return the standard error of a part's mean, from means over fifths of it."""
    means = [fifth.mean() for fifth in np.array_split(part, _PART_BATCHES)]
    return float(np.std(means, ddof=1)) / math.sqrt(_PART_BATCHES)


def _little(
    requests: RequestColumns, window: Window, mean_e2e_s: float, num_measured: int
) -> Judgement | None:
    """Return the verdict where Little's law L = λW fails by over 3% in the window.

    In one shorter than 33 mean E2E latencies the requests at its two ends alone can make up more:
    at most one latency of all that are in the system, 1/n of a window of n latencies.
    """
    number, product = little(requests.arrival_s, requests.finished_s, window)
    off = number / product - 1
    spans = window.duration_s / mean_e2e_s
    if abs(off) <= max(_LITTLE, 1 / spans):
        return None
    wanted = math.ceil(num_measured * abs(off) / _LITTLE)  # what is at the ends stays the same
    return Judgement(
        verdict="nonstationary",
        reason=f"Little's law is off by {off:+.1%}: {number:.3g} requests in the system, λW = "
        f"{product:.3g}",
        remedy=f"measure longer: about {wanted} requests (the window spans {spans:.0f} mean E2E "
        "latencies)"
        if spans * _LITTLE < 1
        else "see when requests piled up or ran dry, and measure again for longer",
    )


def little(arrival_s: Floats, finished_s: Floats, window: Window) -> tuple[float, float]:
    """Return L, the mean number of requests in the system by time, and λW, over one window.

    The time that all requests spend in the window is L·T exactly. The E2E latencies of those that
    arrive in it sum to L·T, less what those found at its start have still to stay (R0), plus what
    those left at its end have (R1). Those of the delivered sum to L·T plus what those found had
    already stayed (A0) less the same at the end (A1). λW is the mean of the two: it differs from L
    by (A0 − R0 − A1 + R1)/2T alone. In a steady state past and remaining stay are equal on average,
    however many are in the system, so the edges do not bias it.

    Requests that never ended, NaN in `finished_s`, are left out.

    >>> arrival_s = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    >>> little(arrival_s, arrival_s + 2.0, Window(start_s=2.0, end_s=4.0))
    (2.0, 2.0)
    """
    ended = ~np.isnan(finished_s)
    arrived, finished = arrival_s[ended], finished_s[ended]  # [requests]
    inside = np.minimum(finished, window.end_s) - np.maximum(arrived, window.start_s)
    stay = finished - arrived
    came = (arrived >= window.start_s) & (arrived < window.end_s)
    left = (finished > window.start_s) & (finished <= window.end_s)
    product = (stay[came].sum() + stay[left].sum()) / 2
    return (
        float(inside.clip(min=0.0).sum() / window.duration_s),
        float(product / window.duration_s),
    )
