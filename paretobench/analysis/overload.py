"""Whether more came than could be served."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from paretobench.analysis.judgement import Judgement
from paretobench.core.columns import Floats, RequestColumns
from paretobench.core.points import Settings
from paretobench.core.values import Trace, Window

_SERVED_SHARE = 0.98  # of the offered requests; below it the backlog grows
_TREND = 0.65  # rank correlation of batch-mean waits with time
_NUM_BATCHES = 20
_LEAST_RISE = 0.01  # of the mean E2E latency: waits that rise by less are no backlog
_SATURATED_BUSY = 0.98  # share of the window, and of the batch slots, from which on there is
_SATURATED_OCCUPANCY = 0.9  # nothing left to give
_BACKLOG_BATCHES = 2  # a queue this many full batches long is a backlog, not a batch that fills


def overloaded(
    settings: Settings, trace: Trace, window: Window, figures: Mapping[str, float | None]
) -> Judgement | None:
    """Return the verdict where an open loop offered more than could be served.

    At a steady rate either sign is enough: less than 98% of what arrived in the window was served
    in it (and more is missing than a batch that was filling, or full batches ran all the while), or
    waits rose throughout (Spearman's correlation of 20 batch means with time over 0.65). Once in a
    while a short trial shows one by chance: a sweep measures it again at twice the length.
    In mixed traffic a class whose own waits rise so is enough: priorities let the others look well.

    A load whose rate varies may exceed the capacity for a while: waits that rise then, or a window
    that ends in a burst, are no sign. It is overloaded where requests left the backlog, during the
    longest wait, more slowly than they arrive on average, so that no cycle can clear it. A replayed
    trace has no average to go by: both signs must agree.
    """
    if settings.load_kind == "closed_loop":
        return None
    requests = RequestColumns.of(trace.requests)
    sign = _sign_of_overload(settings, requests, window, figures)
    if not sign:
        return None
    again = ", also at twice the length" if trace.attempt > 1 else ""
    served = _counts(requests, window)[1] / window.duration_s
    return Judgement(
        verdict="overloaded",
        reason=f"{sign}: the load exceeds the capacity{again}",
        remedy=f"offer less than the {served:.3g} requests/s that were served, "
        "or raise max_batch_size",
    )


def overloaded_until_timeout(
    settings: Settings, trace: Trace, measured: RequestColumns
) -> Judgement | None:
    """Return the verdict where a trial timed out because its backlog grew."""
    if trace.outcome != "timed_out" or settings.load_kind == "closed_loop":
        return None
    admitted = measured.where(~np.isnan(measured.admitted_s))
    sign = _sign_of_growth(settings, RequestColumns.of(trace.requests), admitted)
    if not sign:
        return None
    return Judgement(
        verdict="overloaded",
        reason=f"{trace.reason}; {sign}: the load exceeds the capacity",
        remedy="offer less, or raise max_batch_size",
    )


def _sign_of_overload(
    settings: Settings,
    requests: RequestColumns,
    window: Window,
    figures: Mapping[str, float | None],
) -> str:
    """Return what shows that more came than could be served, empty if nothing does."""
    sign = _sign_among(settings, requests, window, figures)
    names = requests.class_name.present()
    if len(names) < 2 or settings.rate_profile is not None:
        return sign
    of_class = {
        name: _sign_among(settings, requests.where(requests.class_name.says(name)), window, {})
        for name in names
    }
    signs = [f"class {name}: {its}" for name, its in of_class.items() if its]
    # where some classes are served well, that of the others says more than that of all
    return signs[0] if signs and (len(signs) < len(names) or not sign) else sign


def _sign_among(
    settings: Settings,
    requests: RequestColumns,
    window: Window,
    figures: Mapping[str, float | None],
) -> str:
    arrived, served = _counts(requests, window)
    is_less = served < _SERVED_SHARE * arrived
    if not settings.is_steady and not is_less:
        return ""
    growth = _sign_of_growth(settings, requests, requests.where(requests.measured))
    if not is_less:
        return growth
    share = f"served {served / arrived:.0%} of what arrived in the window"
    if growth:
        return f"{share}, and {growth}"
    if settings.is_steady and arrived - served > settings.max_batch_size:
        return share
    busy = figures.get("busy_fraction") or 0.0
    occupancy = figures.get("batch_occupancy") or 0.0
    if busy >= _SATURATED_BUSY and occupancy >= _SATURATED_OCCUPANCY:
        return f"{share} with batches {occupancy:.0%} full for {busy:.0%} of it"
    return ""


def _sign_of_growth(settings: Settings, requests: RequestColumns, admitted: RequestColumns) -> str:
    """Return what shows that the backlog grows without end, empty where nothing does."""
    if settings.rate_profile is None:
        trend = _rank_trend(admitted)
        rose = f"waits rose throughout (rank correlation {trend:.2f})"
        return rose if trend > _TREND else ""
    rate = _backlog_rate(
        requests, admitted, min_requests=_BACKLOG_BATCHES * settings.max_batch_size
    )
    offered = settings.offered_requests_per_s
    if rate is None or offered is None or rate >= offered:
        return ""
    return f"the backlog cleared at {rate:.3g} requests/s with {offered:.3g} offered on average"


def _backlog_rate(
    requests: RequestColumns, admitted: RequestColumns, *, min_requests: int
) -> float | None:
    """Return how many requests a second were admitted while the longest waiting one waited.

    Someone waited all the while, so this is all that the system could do. None where fewer than
    `min_requests` were admitted then: it need not have waited for more than a batch to end.
    """
    if np.isnan(admitted.admitted_s).all():
        return None
    longest = int(np.nanargmax(admitted.admitted_s - admitted.arrival_s))
    start_s, end_s = float(admitted.arrival_s[longest]), float(admitted.admitted_s[longest])
    ahead = _num_in(requests.admitted_s, start_s, end_s)
    return ahead / (end_s - start_s) if ahead >= min_requests else None


def _num_in(times_s: Floats, start_s: float, end_s: float) -> int:
    """Return how many of these times are in (start_s, end_s]; what never was is in none."""
    return int(np.count_nonzero((start_s < times_s) & (times_s <= end_s)))


def _counts(requests: RequestColumns, window: Window) -> tuple[int, int]:
    """Return how many requests arrived in the window, and how many were delivered in it."""
    came = (window.start_s <= requests.arrival_s) & (requests.arrival_s < window.end_s)
    return int(np.count_nonzero(came)), _num_in(requests.finished_s, window.start_s, window.end_s)


def _rank_trend(measured: RequestColumns) -> float:
    """Return Spearman's correlation of batch-mean waits with time.

    0 for too few requests, and for waits that hardly rise: on an idle system they are microseconds.
    """
    if len(measured) < _NUM_BATCHES:
        return 0.0
    order = np.argsort(measured.arrival_s, kind="stable")
    arrived_s, finished_s = measured.arrival_s[order], measured.finished_s[order]
    waits = np.nan_to_num(measured.admitted_s[order], nan=0.0) - arrived_s
    means = np.array([batch.mean() for batch in np.array_split(waits, _NUM_BATCHES)])
    stays = (finished_s - arrived_s)[~np.isnan(finished_s)]
    quarter = _NUM_BATCHES // 4
    rise = means[-quarter:].mean() - means[:quarter].mean()
    if np.ptp(means) == 0 or rise <= _LEAST_RISE * (float(np.mean(stays)) if stays.size else 0.0):
        return 0.0
    import pandas as pd

    correlation = np.corrcoef(pd.Series(means).rank(), np.arange(_NUM_BATCHES))[0, 1]
    return float(correlation)
