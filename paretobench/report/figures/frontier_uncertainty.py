"""How sure the frontier is, as `frontier.png` shows it: bars, a band, and who may belong there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.front_uncertainty import Band, CurveUncertainty
from paretobench.report.figures.bars import (
    draw_arrow,
    interval_ends,
    interval_label,
    unbounded_mark,
)
from paretobench.report.figures.canvas import INK, MUTED
from paretobench.report.figures.encoding import legend_mark
from paretobench.report.figures.labels import LabelPlacer
from paretobench.report.figures.scales import Scale
from paretobench.report.frontier_uncertainty import near_frontier, probability_of

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

    from paretobench.report.figures.frontier import Plane

_BAND_ALPHA = 0.13
_MAX_BANDS = 4
_DOUBTFUL_BELOW = 0.5


def draw_bands(plane: Plane) -> None:
    """Draw where each curve's frontier lies in 95% of the draws, in steps, behind everything.

    Where some draws reach a throughput and others do not, the band has no upper end: it is drawn up
    to the highest that it has elsewhere.
    """
    for found in with_band(plane):
        band = found.band
        assert band is not None
        finite = [high for high in band.high if math.isfinite(high)]
        top = max(finite, default=math.inf)
        front = plane.report.curves[found.curve]
        plane.axes.fill_between(
            [plane.across.clipped(level) for level in band.throughput],
            [plane.up.clipped(low) for low in band.low],
            [plane.up.clipped(min(high, max(top, low))) for low, high in _ends(band)],
            where=[math.isfinite(low) for low in band.low],
            step="pre",  # the value at a level holds from the one before it
            color=plane.colours.of(front[0]) if plane.colours.variants else INK,
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
    look: dict[str, Any] = {
        "color": plane.colours.of(configuration),
        "alpha": 0.9 if on_front else 0.4,
        "lw": 1.2,
        "zorder": 1.8,
    }
    for xs, ys in ((across, (y, y)), ((x, x), up)):
        if xs is None or ys is None:
            continue
        plane.axes.plot(xs, ys, solid_capstyle="butt", **look)
        if on_front:
            placer.block_steps(xs, ys)
    if up is not None and _is_unbounded(configuration, plane.report.latency):
        draw_arrow(plane.axes, (x, y), (0, 1), **{**look, "alpha": 0.55 if on_front else 0.25})


def has_bars(plane: Plane, configuration: Configuration) -> bool:
    """Return whether an interval of either objective is known."""
    objectives = (plane.report.throughput, plane.report.latency)
    return configuration.is_valid and any(interval_ends(configuration, m) for m in objectives)


def doubtful(plane: Plane) -> set[str]:
    """Return the ids of those who may or may not be on the frontier: who stands there in fewer
    than half of the draws, and who does not stand there but is in the ε-front or often enough in
    a draw's frontier."""
    unlikely = []
    for configuration in plane.report.frontier:
        probability = probability_of(plane.report, configuration)
        if probability is not None and probability < _DOUBTFUL_BELOW:
            unlikely.append(configuration)
    return {c.settings.configuration_id for c in (*unlikely, *near_frontier(plane.report))}


def legend_entries(plane: Plane) -> list[Line2D]:
    """Return what the legend says of bars, band and doubtful points, where they are drawn."""
    report = plane.report
    handles = []
    if with_band(plane):
        handles.append(band_mark())
    barred = [c for c in report.configurations if has_bars(plane, c)]
    if barred:
        name = interval_label(barred)
        handles.append(
            legend_mark(name, marker="+", markersize=11, color=MUTED, markeredgewidth=1.3)
        )
        if any(_is_unbounded(c, report.latency) for c in barred):
            handles.append(unbounded_mark())
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


def band_mark() -> Line2D:
    """Return the legend's entry on the band."""
    name = "where 95% of resampled\nfrontiers lie"
    look: dict[str, Any] = {"linestyle": "-", "lw": 7, "solid_capstyle": "butt"}
    return legend_mark(name, color=INK, alpha=_BAND_ALPHA, **look)


def with_band(plane: Plane) -> list[CurveUncertainty]:
    """Return the curves whose band is drawn: with many, bands would hide each other."""
    fronts = plane.report.curves
    found = [f for f in plane.report.uncertainties if f.band is not None and f.curve in fronts]
    return found if len(fronts) <= _MAX_BANDS else []


def _ends(band: Band) -> list[tuple[float, float]]:
    return list(zip(band.low, band.high, strict=True))


def _is_unbounded(configuration: Configuration, metric: str) -> bool:
    ends = interval_ends(configuration, metric)
    return ends is not None and math.isinf(ends[1])


def _on_scale(
    configuration: Configuration, metric: str, scale: Scale
) -> tuple[float, float] | None:
    """Return the ends on the axis; where nothing bounds the upper one, the figure stands for it."""
    ends, value = interval_ends(configuration, metric), configuration.figures.get(metric)
    if ends is None or value is None:
        return None
    low, high = ends
    return scale.clipped(low), scale.clipped(value if math.isinf(high) else high)
