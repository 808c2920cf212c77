"""Measuring a trial a second time: one that looks overloaded may only have been short."""

from __future__ import annotations

from dataclasses import replace

from paretobench.core.points import Point, Settings
from paretobench.core.values import Outcome, Trace, Trial

_TIMES_AS_LONG = 2


def is_to_repeat(trace: Trace, point: Point) -> bool:
    """Return whether the verdict is one that a longer trial may not bear out.

    One that ran out of time is not: it would again. Nor is a trial repeated twice.
    """
    return point.verdict == "overloaded" and trace.outcome == "completed" and trace.attempt == 1


def twice_as_long(trial: Trial) -> Trial:
    """Return the trial with twice its requests, its least duration and its time limit.

    Its schedule begins like the first one's. The trace stands for `trial` all the same.
    """
    return replace(
        trial,
        num_requests=_TIMES_AS_LONG * trial.num_requests,
        min_duration_s=_TIMES_AS_LONG * trial.min_duration_s,
        timeout_s=_TIMES_AS_LONG * trial.timeout_s,
    )


def settings_of(trial: Trial, trace: Trace) -> Settings:
    """Return a trial's settings; one of twice the length keeps its identity, but its requests are
    those of another schedule."""
    settings = Settings.of(trial)
    if trace.attempt == 1:
        return settings
    return replace(settings, schedule_id=twice_as_long(trial).schedule_id)


def length_s(trace: Trace) -> float:
    """Return how long a trial was served for, in seconds of its own clock."""
    return max((step.start_s + step.duration_s for step in trace.steps), default=0.0)


def nothing(reason: str, outcome: Outcome = "failed") -> Trace:
    """Return the trace of a trial in which nothing was measured, and why."""
    return Trace(requests=(), steps=(), window=None, outcome=outcome, reason=reason)
