"""Whether a trial's figures can stand on the frontier, and if not, why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paretobench.analysis.conditions import Conditions
from paretobench.core.points import Settings
from paretobench.core.units import to_ms
from paretobench.core.values import RequestRecord, Trace, Verdict, Window

_SERVED_SHARE = 0.98  # of the offered requests; below it the backlog grows
_TREND = 0.65  # rank correlation of batch-mean waits with time
_SATURATED_BUSY = 0.98  # share of the window, and of the batch slots, from which on there is
_SATURATED_OCCUPANCY = 0.9  # nothing left to give
_NUM_BATCHES = 20
_ROUNDING = 1 + 1e-9  # differences of times are not exact
_BACKLOG_BATCHES = 2  # a queue this many full batches long is a backlog, not a batch that fills


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A verdict, why, and what to do about it; both are empty for a valid trial."""

    verdict: Verdict
    reason: str = ""
    remedy: str = ""


def judge(
    settings: Settings,
    trace: Trace,
    figures: Mapping[str, float | None],
    conditions: Conditions,
) -> Judgement:
    """Return the verdict on a trial, its reason and the remedy.

    An open-loop trial is overloaded when it served less than 98% of what arrived in the window
    and either waits rose with time, or the runner ran full batches all the while: a short trial
    that is not overloaded often serves a little less than what arrived, but not so. In mixed
    traffic a class whose own waits rise so is enough: priorities let the others look well.

    A trial fails whose controller was given a latency that no batch kept, however it was served.

    A load whose rate varies may exceed the capacity for a while: waits that rise then, or a window
    that ends in a burst, are no sign. It is overloaded where requests left the backlog, during the
    longest wait, more slowly than they arrive on average, so that no cycle can clear it.
    """
    measured = [record for record in trace.requests if record.measured]
    if trace.outcome == "out_of_memory":
        return Judgement(
            verdict="out_of_memory", reason=trace.reason or "the device ran out of memory"
        )
    missed = _missed_target(settings, measured)
    if trace.outcome == "timed_out" and missed:
        return Judgement(verdict="failed", reason=missed)
    if trace.outcome != "completed":
        admitted = [record for record in measured if record.admitted_s is not None]
        sign = _sign_of_growth(settings, trace.requests, admitted)
        if trace.outcome == "timed_out" and settings.load_kind != "closed_loop" and sign:
            return Judgement(
                verdict="overloaded",
                reason=f"{trace.reason}; {sign}: the load exceeds the capacity",
            )
        return Judgement(verdict="failed", reason=trace.reason or "the trial did not complete")
    lost = [record for record in measured if record.status != "finished"]
    if lost:
        return Judgement(
            verdict="failed",
            reason=f"{len(lost)} of {len(measured)} requests {lost[0].status}: {lost[0].error}",
        )
    if not measured or trace.window is None or trace.window.duration_s <= 0:
        return Judgement(verdict="failed", reason="nothing was measured: the window has no length")
    if missed:
        return Judgement(verdict="failed", reason=missed)
    if settings.load_kind != "closed_loop":
        sign = _sign_of_overload(settings, trace.requests, trace.window, figures)
        if sign:
            return Judgement(verdict="overloaded", reason=f"{sign}: the load exceeds the capacity")
    return Judgement(verdict="valid")


def _missed_target(settings: Settings, measured: Sequence[RequestRecord]) -> str:
    """Return that no batch could meet the controller's target, empty where one did or none tried.

    Time in the queue does not count: a controller can shorten it, but not the service itself.
    """
    sla_ms = settings.constants().get("latency_sla_ms")
    served_s = [
        r.finished_s - r.admitted_s
        for r in measured
        if r.status == "finished" and r.finished_s is not None and r.admitted_s is not None
    ]
    if sla_ms is None or not served_s or to_ms(min(served_s)) <= sla_ms * _ROUNDING:
        return ""
    return (
        f"no batch can meet the controller's {sla_ms:g} ms: the fastest took "
        f"{to_ms(min(served_s)):.3g} ms; raise latency_sla_ms"
    )


def _sign_of_overload(
    settings: Settings,
    records: Sequence[RequestRecord],
    window: Window,
    figures: Mapping[str, float | None],
) -> str:
    """Return what shows that more came than could be served, empty if nothing does."""
    sign = _sign_among(settings, records, window, figures)
    names = dict.fromkeys(record.class_name for record in records)
    if sign or len(names) < 2 or settings.rate_profile is not None:
        return sign
    for name in names:
        of_class = [record for record in records if record.class_name == name]
        sign = _sign_among(settings, of_class, window, {})
        if sign:
            return f"class {name}: {sign}"
    return ""


def _sign_among(
    settings: Settings,
    records: Sequence[RequestRecord],
    window: Window,
    figures: Mapping[str, float | None],
) -> str:
    served = _served_share(records, window)
    if served >= _SERVED_SHARE:
        return ""
    share = f"served {served:.0%} of what arrived in the window"
    growth = _sign_of_growth(settings, records, [r for r in records if r.measured])
    if growth:
        return f"{share}, and {growth}"
    busy = figures.get("busy_fraction") or 0.0
    occupancy = figures.get("batch_occupancy") or 0.0
    if busy >= _SATURATED_BUSY and occupancy >= _SATURATED_OCCUPANCY:
        return f"{share} with batches {occupancy:.0%} full for {busy:.0%} of it"
    return ""


def _sign_of_growth(
    settings: Settings, records: Sequence[RequestRecord], admitted: Sequence[RequestRecord]
) -> str:
    """Return what shows that the backlog grows without end, empty where nothing does."""
    if settings.rate_profile is None:
        trend = _rank_trend(admitted)
        rose = f"waits rose throughout (rank correlation {trend:.2f})"
        return rose if trend > _TREND else ""
    rate = _backlog_rate(records, admitted, min_requests=_BACKLOG_BATCHES * settings.max_batch_size)
    offered = settings.offered_requests_per_s
    if rate is None or offered is None or rate >= offered:
        return ""
    return f"the backlog cleared at {rate:.3g} requests/s with {offered:.3g} offered on average"


def _backlog_rate(
    records: Sequence[RequestRecord], admitted: Sequence[RequestRecord], *, min_requests: int
) -> float | None:
    """Return how many requests a second were admitted while the longest waiting one waited.

    Someone waited all the while, so this is all that the system could do. None where fewer than
    `min_requests` were admitted then: it need not have waited for more than a batch to end.
    """
    waits = ((r.arrival_s, r.admitted_s) for r in admitted if r.admitted_s is not None)
    start_s, end_s = max(waits, key=lambda wait: wait[1] - wait[0], default=(0.0, 0.0))
    ahead = sum(r.admitted_s is not None and start_s < r.admitted_s <= end_s for r in records)
    return ahead / (end_s - start_s) if ahead >= min_requests else None


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
