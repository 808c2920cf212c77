"""Bars as long as a figure's 95% interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from paretobench.analysis.configurations import Configuration
from paretobench.report.figures.canvas import MUTED
from paretobench.report.figures.encoding import legend_mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D


def interval_ends(configuration: Configuration, metric: str) -> tuple[float, float] | None:
    """Return the two ends of a figure's bar; None where no finite interval is known."""
    interval = configuration.intervals.get(metric)
    if interval is None or not math.isfinite(interval.high + interval.low):
        return None
    return interval.low, interval.high


def draw_bars(
    axes: Axes,
    places: Sequence[float],
    configurations: Sequence[Configuration],
    metric: str,
    colour: str,
) -> list[float]:
    """Draw upright bars at these places across; return the ends that an axis must hold.

    An end at 0 is left out of them: it would turn a logarithmic axis linear.
    """
    held: list[float] = []
    for x, configuration in zip(places, configurations, strict=True):
        ends = interval_ends(configuration, metric)
        if ends is not None:
            axes.plot([x, x], ends, color=colour, lw=1, marker="_", ms=5, mew=1, alpha=0.75)
            held += [end for end in ends if end > 0]
    return held


def interval_marks(
    configurations: Sequence[Configuration], metrics: Sequence[str], *, upright: bool = True
) -> list[Line2D]:
    """Return the legend's entry of the bars of these figures, none where none has a bar."""
    if not any(interval_ends(c, metric) for c in configurations for metric in metrics):
        return []
    marker, label = ("|", "95% interval") if upright else ("_", "95% interval of p95")
    return [legend_mark(label, color=MUTED, marker=marker, ms=9, mew=1.1, linestyle="")]
