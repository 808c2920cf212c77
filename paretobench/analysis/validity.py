"""Whether a trial's figures can stand on the frontier, and if not, why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from paretobench.core.points import Settings
from paretobench.core.values import RequestRecord, Trace, Verdict, Window

_SERVED_SHARE = 0.98  # of the offered requests; below it the backlog grows
_TREND = 0.65  # rank correlation of batch-mean waits with time
_SATURATED_BUSY = 0.98  # share of the window, and of the batch slots, from which on there is
_SATURATED_OCCUPANCY = 0.9  # nothing left to give
_NUM_BATCHES = 20


def judge(
    settings: Settings,
    trace: Trace,
    figures: Mapping[str, float | None],
) -> tuple[Verdict, str]:
    """Return the verdict on a trial, and its reason (empty for a valid one).

    An open-loop trial is overloaded when it served less than 98% of what arrived in the window
    and either waits rose with time, or the runner ran full batches all the while: a short trial
    that is not overloaded often serves a little less than what arrived, but not so. In mixed
    traffic a class whose own waits rise so is enough: priorities let the others look well.
    """
    measured = [record for record in trace.requests if record.measured]
    if trace.outcome == "out_of_memory":
        return "out_of_memory", trace.reason or "the device ran out of memory"
    if trace.outcome != "completed":
        waits = _rank_trend([record for record in measured if record.admitted_s is not None])
        if trace.outcome == "timed_out" and settings.load_kind != "closed_loop" and waits > _TREND:
            return "overloaded", f"{trace.reason}; waits kept rising: the load exceeds the capacity"
        return "failed", trace.reason or "the trial did not complete"
    lost = [record for record in measured if record.status != "finished"]
    if lost:
        return (
            "failed",
            f"{len(lost)} of {len(measured)} requests {lost[0].status}: {lost[0].error}",
        )
    if not measured or trace.window is None or trace.window.duration_s <= 0:
        return "failed", "nothing was measured: the window has no length"
    if settings.load_kind != "closed_loop":
        sign = _sign_of_overload(trace.requests, trace.window, figures)
        if sign:
            return "overloaded", f"{sign}: the load exceeds the capacity"
    return "valid", ""


def _sign_of_overload(
    records: Sequence[RequestRecord], window: Window, figures: Mapping[str, float | None]
) -> str:
    """Return what shows that more came than could be served, empty if nothing does."""
    sign = _sign_among(records, window, figures)
    names = dict.fromkeys(record.class_name for record in records)
    if sign or len(names) < 2:
        return sign
    for name in names:
        of_class = [record for record in records if record.class_name == name]
        sign = _sign_among(of_class, window, {})
        if sign:
            return f"class {name}: {sign}"
    return ""


def _sign_among(
    records: Sequence[RequestRecord], window: Window, figures: Mapping[str, float | None]
) -> str:
    served = _served_share(records, window)
    if served >= _SERVED_SHARE:
        return ""
    trend = _rank_trend([record for record in records if record.measured])
    if trend > _TREND:
        return (
            f"served {served:.0%} of what arrived in the window, and waits rose throughout "
            f"(rank correlation {trend:.2f})"
        )
    busy = figures.get("busy_fraction") or 0.0
    occupancy = figures.get("batch_occupancy") or 0.0
    if busy >= _SATURATED_BUSY and occupancy >= _SATURATED_OCCUPANCY:
        return (
            f"served {served:.0%} of what arrived in the window with batches {occupancy:.0%} full "
            f"for {busy:.0%} of it"
        )
    return ""


def _served_share(records: Sequence[RequestRecord], window: Window) -> float:
    arrived = sum(window.start_s <= r.arrival_s < window.end_s for r in records)
    served = sum(
        r.finished_s is not None and window.start_s < r.finished_s <= window.end_s for r in records
    )
    return served / arrived if arrived else 1.0


def _rank_trend(measured: Sequence[RequestRecord]) -> float:
    """Return Spearman's correlation of batch-mean waits with time; 0 for too few requests."""
    if len(measured) < _NUM_BATCHES:
        return 0.0
    ordered = sorted(measured, key=lambda record: record.arrival_s)
    waits = np.array([(r.admitted_s or 0.0) - r.arrival_s for r in ordered])
    means = np.array([batch.mean() for batch in np.array_split(waits, _NUM_BATCHES)])
    if np.ptp(means) == 0:
        return 0.0
    from scipy.stats import rankdata

    correlation = np.corrcoef(rankdata(means), np.arange(_NUM_BATCHES))[0, 1]
    return float(correlation)
