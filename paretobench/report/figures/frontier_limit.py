"""The limit of the device in the frontier's picture: the line nothing can cross."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from paretobench.analysis.frontier import curve_of
from paretobench.report.figures.encoding import legend_mark
from paretobench.report.figures.labels import LabelPlacer
from paretobench.report.figures.scales import Scale
from paretobench.report.limits import BatchLimit, Curve
from paretobench.report.model import Report
from paretobench.report.text import one_line

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

    from paretobench.analysis.limit_line import LimitLine
    from paretobench.report.figures.frontier import Plane

LIMIT_COLOUR = "#4a3f6b"
BEYOND_COLOUR = "#d50000"
_REACH = 2.2  # times the axis: a limit further off is named, not drawn
_LOG_REACH = 1.4  # the same of the length of a logarithmic axis
_ROOM = 1.12  # times the limit's distance from the axis's end: what lies beyond is shaded
_NUM_HEIGHTS = 400


def widened(across: Scale, report: Report) -> Scale:
    """Return the scale across, longer where that brings the limit into the picture."""
    nearest = min((d.best_throughput for d in report.limits.distances), default=math.inf)
    if not 0 < nearest < math.inf or nearest * 1.02 < across.high:
        return across
    if across.is_log:
        longest, wanted = across.low * (across.high / across.low) ** _LOG_REACH, nearest * _ROOM
    else:
        longest = across.low + (across.high - across.low) * _REACH
        wanted = across.low + (nearest - across.low) * _ROOM
    return replace(across, high=wanted) if wanted <= longest else across


def deepened(up: Scale, report: Report) -> Scale:
    """Return the scale up, further down where that brings the least latency into the picture."""
    least = min((line.least_latency for line in report.limits.lines.values()), default=math.inf)
    if not 0 < least <= up.low:
        return up
    if up.is_log:
        deepest, wanted = up.high * (up.low / up.high) ** _LOG_REACH, least / _ROOM
    else:
        deepest, wanted = up.high - (up.high - up.low) * _REACH, up.high - (up.high - least) * _ROOM
    return replace(up, low=max(wanted, 0.0)) if wanted >= deepest else up


def draw_limit(plane: Plane, placer: LabelPlacer) -> None:
    """Draw the limit of each curve, shade what lies beyond one, ring what was measured there."""
    lines = plane.report.limits.lines
    for curve, line in lines.items():
        xs, ys = _course(plane, line)
        plane.axes.plot(xs, ys, color=_colour(plane, curve), ls=_style(plane), lw=2.0, zorder=1.8)
        placer.block_steps(xs, ys)
        _draw_batch_sizes(plane, placer, curve)
        if len(lines) == 1:
            plane.axes.fill_betweenx(
                ys, xs, plane.across.high, color=LIMIT_COLOUR, alpha=0.10, lw=0, zorder=0.5
            )
            plane.axes.axhspan(
                plane.up.low,
                max(plane.up.low, min(line.least_latency, plane.up.high)),
                color=LIMIT_COLOUR, alpha=0.10, lw=0, zorder=0.5,
            )  # fmt: skip
    for distance in plane.report.limits.beyond:
        place = plane.place(distance.configuration)
        if place is not None:
            plane.axes.scatter(
                *place, s=330, marker="o", facecolor="none", edgecolor=BEYOND_COLOUR, lw=2.4,
                zorder=6, clip_on=False,
            )  # fmt: skip
            placer.block_point(*place, radius_px=21.0)


def _draw_batch_sizes(plane: Plane, placer: LabelPlacer, curve: Curve) -> None:
    """Mark on the line the best of each swept batch size."""
    for best in _batch_sizes_on_scale(plane, curve):
        plane.axes.scatter(
            best.throughput, best.latency, s=22, color=_colour(plane, curve), lw=0, zorder=1.9
        )
        placer.block_point(best.throughput, best.latency, radius_px=3.0)


def _batch_sizes_on_scale(plane: Plane, curve: Curve) -> list[BatchLimit]:
    """Return the best of each batch size that the axes hold; of equal ones the smallest size."""
    bests = reversed(plane.report.limits.by_batch_size[curve])
    apart = {(round(b.throughput, 6), round(b.latency, 6)): b for b in bests}
    return [
        b for b in apart.values() if plane.across.holds(b.throughput) and plane.up.holds(b.latency)
    ]


def name_limit(plane: Plane, placer: LabelPlacer) -> None:
    """Write what the line is where it runs through the picture, or how far off it is."""
    far = _far_text(plane)
    for curve in plane.report.limits.lines:
        look = {"fontsize": 8.5, "color": _colour(plane, curve), "style": "italic", "zorder": 6}
        _name_one(plane, placer, curve, far, look)


def _name_one(
    plane: Plane, placer: LabelPlacer, curve: Curve, far: str | None, look: dict[str, Any]
) -> None:
    lines = plane.report.limits.lines
    whose = "of this device" if len(lines) == 1 else _whose(plane, curve)
    text = f"limit {whose}" if far is None else f"limit {whose}: {far}"
    if len(lines) == 1:
        for best in _batch_sizes_on_scale(plane, curve):
            small = {**look, "fontsize": 7.5}
            placer.at_point(f"{best.batch_size}", best.throughput, best.latency, **small)
    xs, ys = _course(plane, lines[curve])
    places = [int(share * (len(xs) - 1)) for share in (0.5, 0.7, 0.3, 0.9, 0.1, 0.0)]
    inside = [(xs[i], ys[i]) for i in places if plane.across.low < xs[i] < plane.across.high]
    for near_only in (True, False):  # rather elsewhere than on another line
        if any(placer.at_point(text, x, y, near_only=near_only, **look) for x, y in inside):
            return
    least = lines[curve].least_latency
    if not (plane.up.holds(least) and placer.on_level(text, least, **look)):
        placer.in_corner(text, **look)


def _whose(plane: Plane, curve: Curve) -> str:
    variant, workload = curve
    names = [variant] if plane.report.variants and variant else []
    names += [workload] if len(plane.report.workloads) > 1 else []
    return f"of {one_line(', '.join(names), limit=40)}"


def _style(plane: Plane) -> Any:
    """Return the limit's line style: those of variants are in the colours of their frontiers."""
    return (0, (7, 1.5, 1.5, 1.5)) if plane.report.variants else "-"


def _colour(plane: Plane, curve: Curve) -> str:
    """Return the colour of a curve's limit: of several variants, each has its own."""
    if not plane.report.variants:
        return LIMIT_COLOUR
    own = next(c for c in plane.report.configurations if curve_of(c) == curve)
    return plane.colours.of(own)


def limit_legend(plane: Plane) -> list[Line2D]:
    """Return the legend's entries on the limit."""
    limits = plane.report.limits
    if not limits.lines:
        return []
    handles = [
        legend_mark(
            "limit: nothing can cross it", color=LIMIT_COLOUR, linestyle=_style(plane), lw=2.0
        ),
    ]
    if any(_batch_sizes_on_scale(plane, curve) for curve in limits.lines):
        text = "best with so many\nrows a step"
        handles.append(legend_mark(text, marker="o", markersize=4.5, color=LIMIT_COLOUR))
    if limits.nearest is not None and not limits.beyond:
        handles.append(legend_mark(f"nearest point: {limits.nearest:.0%} of it", marker=""))
    if limits.beyond:
        ring = legend_mark(
            "BEYOND THE LIMIT:\ncounting error", marker="o", markersize=12,
            markerfacecolor="none", markeredgecolor=BEYOND_COLOUR, markeredgewidth=2.0,
        )  # fmt: skip
        handles.append(ring)
    return handles


def _course(plane: Plane, line: LimitLine) -> tuple[Sequence[float], Sequence[float]]:
    """Return the line's course inside the axes: along the least latency, then up."""
    up, across = plane.up, plane.across
    start = max(up.low, line.least_latency)
    if start >= up.high:
        return [], []
    ys = np.geomspace(start, up.high, _NUM_HEIGHTS) if start > 0 else np.linspace(start, up.high)
    xs = np.array([line.throughput_at(y) for y in ys])
    if line.least_latency > up.low:
        xs, ys = np.concatenate(([across.low], xs)), np.concatenate(([start], ys))
    inside = np.clip(xs, across.low, across.high * 1.01)  # what is clipped runs along the edge
    return [float(x) for x in inside], [float(y) for y in ys]


def _far_text(plane: Plane) -> str | None:
    """Return how far off the limit is where it does not run beside any measured point."""
    distances = [d for d in plane.report.limits.distances if d.share]
    if not distances or any(d.best_throughput <= plane.across.high for d in distances):
        return None
    least = min(d.best_throughput / d.throughput for d in distances)
    return f"{least:.1f}× to the right" if least < 100 else "far to the right"
