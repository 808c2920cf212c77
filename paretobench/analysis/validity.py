"""Whether a trial's figures can stand on the frontier, and if not, why not and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from paretobench.analysis.disturbance import client_limited, disturbed, throttled
from paretobench.analysis.judgement import Judgement
from paretobench.analysis.length import too_short
from paretobench.analysis.overload import overloaded, overloaded_until_timeout
from paretobench.analysis.pace import unsteady_pace
from paretobench.analysis.stationarity import nonstationary
from paretobench.core.columns import RequestColumns, StepColumns
from paretobench.core.points import Settings
from paretobench.core.units import to_ms
from paretobench.core.values import Trace

__all__ = ["Judgement", "judge"]

_ROUNDING = 1 + 1e-9  # differences of times are not exact


def judge(
    settings: Settings,
    trace: Trace,
    figures: Mapping[str, float | None],
) -> Judgement:
    """Return the verdict on a trial, its reason and the remedy: docs/verdicts.md has each rule.

    What did not complete is judged first. Of several verdicts the first of the order
    client_limited, throttled, disturbed, nonstationary by its steps, overloaded, too_short,
    nonstationary stands, and its reason names the others: a cause before what it brings about.
    An overload names none: a window that is too short for latencies that grow is its own doing.
    There is no steady state to look for in a window in which nothing can be told.
    """
    requests = RequestColumns.of(trace.requests)
    measured = requests.where(requests.measured)
    failure = _failure(settings, trace, measured)
    if failure is not None:
        return failure
    assert trace.window is not None
    steps = StepColumns.of(trace.steps)
    short = too_short(measured, trace.window)
    found = [
        client_limited(trace, measured, figures),
        throttled(trace, trace.window),
        disturbed(trace, trace.window, figures),
        None if short else unsteady_pace(settings, steps, measured, trace.window),
        overloaded(settings, trace, trace.window, figures),
        short or nonstationary(settings, trace, trace.window),
    ]
    faults = [judgement for judgement in found if judgement is not None]
    if not faults:
        return Judgement(verdict="valid")
    if faults[0].verdict == "overloaded":  # latencies that grow outlast any window
        return faults[0]
    others = dict.fromkeys(f.verdict for f in faults if f.verdict != faults[0].verdict)
    also = ", ".join(verdict.replace("_", " ") for verdict in others)
    return replace(faults[0], reason=faults[0].reason + (f" (also {also})" if also else ""))


def _failure(settings: Settings, trace: Trace, measured: RequestColumns) -> Judgement | None:
    """Return the verdict on a trial that did not complete, or of which nothing can be used.

    A trial fails whose controller was given a latency that no batch kept, however it was served.
    """
    if trace.outcome == "out_of_memory":
        return Judgement(
            verdict="out_of_memory",
            reason=trace.reason or "the device ran out of memory",
            remedy="lower max_batch_size, or set kv_budget_tokens",
        )
    missed = _missed_target(settings, measured)
    if trace.outcome == "timed_out" and missed is not None:
        return missed
    if trace.outcome != "completed":
        overload = overloaded_until_timeout(settings, trace, measured)
        if overload is not None:
            return overload
        return Judgement(
            verdict="failed",
            reason=trace.reason or "the trial did not complete",
            remedy="raise measure.timeout_s, or measure fewer requests"
            if trace.outcome == "timed_out"
            else "see the log, then run again with --resume --retry-failed",
        )
    lost = np.flatnonzero(~measured.status.says("finished"))
    if lost.size:
        first = measured[int(lost[0])]
        return Judgement(
            verdict="failed",
            reason=f"{lost.size} of {len(measured)} requests {first.status}: {first.error}",
            remedy="give requests that fit: shorter ones, or more memory for their cache",
        )
    if not len(measured) or trace.window is None or trace.window.duration_s <= 0:
        return Judgement(
            verdict="failed",
            reason="nothing was measured: the window has no length",
            remedy="raise measure.requests",
        )
    return missed


def _missed_target(settings: Settings, measured: RequestColumns) -> Judgement | None:
    """Return that no batch could meet the controller's target; None where one did or none tried.

    Time in the queue does not count: a controller can shorten it, but not the service itself.
    """
    sla_ms = settings.constants().get("latency_sla_ms")
    taken_s = (measured.finished_s - measured.admitted_s)[measured.status.says("finished")]
    served_s = taken_s[~np.isnan(taken_s)]
    if sla_ms is None or not served_s.size:
        return None
    fastest_ms = to_ms(float(served_s.min()))
    if fastest_ms <= sla_ms * _ROUNDING:
        return None
    return Judgement(
        verdict="failed",
        reason=f"no batch can meet the controller's {sla_ms:g} ms: the fastest took "
        f"{fastest_ms:.3g} ms",
        remedy="raise latency_sla_ms",
    )
