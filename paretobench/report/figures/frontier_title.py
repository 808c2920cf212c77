"""The message of the frontier's picture, in words."""

from __future__ import annotations

from paretobench.analysis.frontier import curve_of
from paretobench.report.manifest import model_name
from paretobench.report.model import Report
from paretobench.report.shift import shift_sentence
from paretobench.report.text import number, plural, short_label, with_unit


def frontier_title(report: Report) -> str:
    """Return what the frontier says, short enough to be read in three seconds."""
    name = model_name(report.run)
    front = report.frontier
    if not front:
        if any(c.is_valid for c in report.configurations):
            return f"{name}: no valid trial has both objectives"
        return f"{name}: none of {plural(len(report.points), 'trial')} is valid"
    moved = shift_sentence(report)
    if moved is not None:
        return moved
    ends = {curve_of(c): c for c in front}  # the last of each has the most throughput
    if len(ends) > 1:
        peaks = [c.figures[report.throughput] or 0.0 for c in ends.values()]
        least, most = number(min(peaks)), with_unit(report.throughput, max(peaks))
        extent = most if most.startswith(f"{least} ") else f"{least} to {most}"
        return f"{name}: at most {extent}, by {'variant' if report.variants else 'workload'}"
    low, high = front[0], front[-1]
    best = with_unit(report.throughput, high.figures[report.throughput])
    peak = f"{name}: {best} at {_latency(report, high.figures[report.latency])}"
    if low is high:
        return peak
    least = with_unit(report.throughput, low.figures[report.throughput])
    return f"{peak}, or {least} at {with_unit(report.latency, low.figures[report.latency])}"


def _latency(report: Report, value: float | None) -> str:
    label = short_label(report.latency).removesuffix(" E2E")
    return f"{label} {with_unit(report.latency, value)}"
