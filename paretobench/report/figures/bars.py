"""Bars as long as a figure's 95% interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from paretobench.analysis.configurations import Configuration
from paretobench.report.figures.canvas import MUTED
from paretobench.report.figures.encoding import legend_mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_ARROW_POINTS = 13.0


def interval_ends(configuration: Configuration, metric: str) -> tuple[float, float] | None:
    """Return the two ends of a figure's bar, the upper one inf where nothing bounds it.

    None where no finite lower end is known.
    """
    interval = configuration.intervals.get(metric)
    if interval is None or not math.isfinite(interval.low):
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

    A bar without an upper bound ends at the figure, an arrow above it. An end at 0 is left out of
    what is returned: it would turn a logarithmic axis linear.
    """
    held: list[float] = []
    for x, configuration in zip(places, configurations, strict=True):
        ends, value = interval_ends(configuration, metric), configuration.figures.get(metric)
        if ends is None or value is None or not math.isfinite(value):
            continue
        low, high = ends
        is_bounded = math.isfinite(high)
        look: dict[str, Any] = {"color": colour, "lw": 1, "alpha": 0.75 if is_bounded else 0.45}
        ys = [low, high if is_bounded else value]
        caps = [0, 1] if is_bounded else [0]
        axes.plot([x, x], ys, marker="_", ms=5, mew=1, markevery=caps, **look)
        if not is_bounded:
            draw_arrow(axes, (x, value), (0, 1), **look)
        held += [end for end in ends if 0 < end < math.inf]
    return held


def draw_arrow(
    axes: Axes, start: tuple[float, float], towards: tuple[int, int], **look: Any
) -> None:
    """Draw a short arrow from a place in the axes: the bar goes on, nobody knows how far."""
    across, up = towards
    axes.annotate(
        "",
        xy=start,
        xytext=(across * _ARROW_POINTS, up * _ARROW_POINTS),
        textcoords="offset points",
        arrowprops={"arrowstyle": "<|-", "mutation_scale": 6, "shrinkA": 0, "shrinkB": 0, **look},
        zorder=look.get("zorder", 1.8),
    )


def interval_label(barred: Sequence[Configuration]) -> str:
    """Return what the legend calls the bars of these configurations."""
    of_one_run = all(len(c.runs) < 2 for c in barred)
    return f"95% interval{' within one run' if of_one_run else ''}"


def interval_marks(
    configurations: Sequence[Configuration], metrics: Sequence[str], *, upright: bool = True
) -> list[Line2D]:
    """Return the legend's entries of the bars of these figures, none where none has a bar."""
    ends = [(c, e) for c in configurations for m in metrics if (e := interval_ends(c, m))]
    if not ends:
        return []
    marker, of = ("|", "") if upright else ("_", " of p95")
    name = interval_label([c for c, _ in ends]).replace("interval", f"interval{of}", 1)
    look: dict[str, Any] = {"color": MUTED, "ms": 9, "mew": 1.1, "linestyle": ""}
    marks = [legend_mark(name.replace(" within", "\nwithin"), marker=marker, **look)]
    if any(math.isinf(high) for _, (_, high) in ends):
        marks.append(unbounded_mark(upright=upright))
    return marks


def unbounded_mark(*, upright: bool = True) -> Line2D:
    """Return the legend's entry of an arrow."""
    return legend_mark(f"{'↑' if upright else '→'} no upper\nbound known", marker="")
