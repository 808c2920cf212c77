"""How sure the frontier is, as `frontier.png` shows it: bars, a band, and who may belong there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from paretobench.analysis.configurations import Configuration
from paretobench.report.figures.canvas import INK, MUTED
from paretobench.report.figures.encoding import legend_mark
from paretobench.report.figures.labels import LabelPlacer
from paretobench.report.figures.scales import Scale
from paretobench.report.frontier_uncertainty import near_frontier, probability_of

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

    from paretobench.report.figures.frontier import Plane

_BAND_ALPHA = 0.13
_DOUBTFUL_BELOW = 0.5


def draw_bands(plane: Plane) -> None:
    """Draw where each curve's frontier lies in 95% of the draws, in steps, behind everything."""
    fronts = plane.report.curves
    for found in plane.report.uncertainties:
        if found.band is None or found.curve not in fronts:
            continue
        shown = [math.isfinite(low) for low in found.band.low]
        plane.axes.fill_between(
            found.band.throughput,
            [plane.up.clipped(low) for low in found.band.low],
            [plane.up.clipped(high) for high in found.band.high],
            where=shown,
            step="pre",  # the value at a level holds from the one before it
            color=plane.colours.of(fronts[found.curve][0]) if plane.report.variants else INK,
            alpha=_BAND_ALPHA,
            lw=0,
            zorder=1.2,
        )


def draw_bars(plane: Plane, placer: LabelPlacer, configuration: Configuration) -> None:
    """Draw the 95% intervals of both objectives under a configuration's marker."""
    place = plane.place(configuration)
    if place is None:
        return
    x, y = place
    across = _on_scale(configuration, plane.report.throughput, plane.across)
    up = _on_scale(configuration, plane.report.latency, plane.up)
    on_front = configuration in plane.report.frontier
    look = {"color": plane.colours.of(configuration), "alpha": 0.9 if on_front else 0.4}
    for xs, ys in ((across, (y, y)), ((x, x), up)):
        if xs is None or ys is None:
            continue
        plane.axes.plot(xs, ys, lw=1.2, solid_capstyle="butt", zorder=1.8, **look)
        if on_front:
            placer.block_steps(xs, ys)


def has_bars(plane: Plane, configuration: Configuration) -> bool:
    """Return whether an interval of either objective is known."""
    report = plane.report
    return configuration.is_valid and bool(
        configuration.intervals.keys() & {report.throughput, report.latency}
    )


def doubtful(plane: Plane) -> set[str]:
    """Return the ids of those who may or may not be on the frontier: who stands there in fewer
    than half of the draws, and who does not stand there but is in the ε-front or often enough in
    a draw's frontier."""
    unlikely = [
        c
        for c in plane.report.frontier
        if (probability_of(plane.report, c) or 1.0) < _DOUBTFUL_BELOW
    ]
    return {c.settings.configuration_id for c in (*unlikely, *near_frontier(plane.report))}


def legend_entries(plane: Plane) -> list[Line2D]:
    """Return what the legend says of bars, band and doubtful points, where they are drawn."""
    report = plane.report
    handles = []
    if any(
        found.band is not None and found.curve in report.curves for found in report.uncertainties
    ):
        name = "where 95% of resampled\nfrontiers lie"
        handles.append(legend_mark(name, color=INK, linestyle="-", lw=7, alpha=_BAND_ALPHA))
    if any(has_bars(plane, c) for c in report.configurations):
        handles.append(
            legend_mark("95% interval", marker="+", markersize=11, color=MUTED, markeredgewidth=1.3)
        )
    if doubtful(plane):
        ring = legend_mark(
            "may or may not be on\nthe frontier",
            marker="o",
            markersize=8.5,
            markerfacecolor="#c4c7cc",
            markeredgecolor=INK,
            markeredgewidth=1.2,
        )
        handles.append(ring)
    return handles


def _on_scale(
    configuration: Configuration, metric: str, scale: Scale
) -> tuple[float, float] | None:
    interval = configuration.intervals.get(metric)
    if interval is None or math.isnan(interval.low) or math.isnan(interval.high):
        return None
    return scale.clipped(interval.low), scale.clipped(interval.high)
