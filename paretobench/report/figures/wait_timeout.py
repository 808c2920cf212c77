"""`wait_timeout.png`: what holding requests back bought, and what it cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paretobench.analysis.configurations import Configuration
from paretobench.core.metrics import axis_label, metric_of
from paretobench.report.figures.bars import draw_bars, interval_marks
from paretobench.report.figures.canvas import category_axis, fitted_y, new_figure
from paretobench.report.figures.encoding import (
    dot,
    legend_mark,
    ordered_colours,
    side_legend,
    thinned,
)
from paretobench.report.figures.series import (
    CLOSED_LOOP,
    by_batch_size,
    finite,
    largest,
    load_families,
    one_limit,
)
from paretobench.report.manifest import model_name, provenance_line
from paretobench.report.model import Report
from paretobench.report.text import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_ROWS = 3


def draw_wait_timeout(report: Report) -> Figure | str:
    """Return the figure of the valid trials under open-loop loads, or why there is none to draw.

    Where no open-loop load was swept it shows the closed loop.
    """
    waiting = [c for c in one_limit(report.configurations) if c.settings.controller is None]
    waits = {c.settings.max_waiting_time_ms for c in waiting}
    if len(waits) < 2:
        return "one wait timeout was swept" if waits else "no wait timeout acts on all requests"
    valid = [c for c in waiting if c.is_valid]
    valid = [c for c in valid if c.settings.load_kind != CLOSED_LOOP] or valid
    if len({c.settings.max_waiting_time_ms for c in valid}) < 2:
        return "fewer than two wait timeouts have valid trials"
    families = load_families(valid)
    shown = largest(families, _MAX_ROWS)
    metrics = [
        metric
        for metric in ("mean_batch_size", "busy_fraction", report.latency, "tokens_per_joule")
        if any(finite(c, metric) is not None for c in valid)
    ]
    if not metrics:
        return "no valid trial has a figure that the wait timeout moves"
    notes = ["valid trials only"]
    if len(waiting) < len(report.configurations):
        notes.append("where one timeout acts on all requests")
    if len(families) > len(shown):
        notes.append(f"{plural(len(families) - len(shown), 'more load')} not shown")
    height = 1.75 + 2.75 * len(shown)
    figure = new_figure(
        f"{model_name(report.run)}: what the wait timeout bought",
        " · ".join([provenance_line(report.run), *notes]),
        width_in=max(2.2 + 3.1 * len(metrics), 7.5),
        height_in=height,
    )
    _draw_grid(figure, {name: families[name] for name in shown}, metrics)
    return figure


def _draw_grid(
    figure: Figure, families: dict[str, list[Configuration]], metrics: Sequence[str]
) -> None:
    width, height = figure.get_size_inches()
    grid = figure.subplots(len(families), len(metrics), squeeze=False)
    figure.subplots_adjust(
        left=0.65 / width,
        right=1 - 1.6 / width,
        top=1 - 1.4 / height,
        bottom=0.6 / height,
        wspace=0.3,
        hspace=0.62,
    )
    every = [c for family in families.values() for c in family]
    colours = ordered_colours(c.settings.max_batch_size for c in every)
    waits = sorted({c.settings.max_waiting_time_ms for c in every})
    for row, (name, family) in enumerate(families.items()):
        for column, metric in enumerate(metrics):
            _draw_panel(grid[row][column], family, metric, waits, colours)
        grid[row][0].annotate(
            name,
            (0, 1),
            xycoords="axes fraction",
            xytext=(-30, 22),
            textcoords="offset points",
            weight="bold",
            fontsize=9.5,
        )
    side_legend(
        grid[0][-1],
        [
            legend_mark("max batch size"),
            *(dot(f"{size:g}", colours[size]) for size in thinned(sorted(colours))),
            *interval_marks(every, metrics),
        ],
    )


def _draw_panel(
    axes: Axes,
    family: Sequence[Configuration],
    metric: str,
    waits: Sequence[float],
    colours: dict[float, str],
) -> None:
    category_axis(axes, [f"{wait:g}" for wait in waits])
    drawn: list[float] = []
    for size, line in by_batch_size(family).items():
        pairs = [(waits.index(c.settings.max_waiting_time_ms), finite(c, metric)) for c in line]
        xs = [x for x, y in pairs if y is not None]
        ys = [y for _, y in pairs if y is not None]
        axes.plot(xs, ys, color=colours[size], lw=1.6, marker="o", ms=4.5)
        places = [waits.index(c.settings.max_waiting_time_ms) for c in line]
        drawn += [*ys, *draw_bars(axes, places, line, metric, colours[size])]
    fitted_y(axes, drawn)
    if metric_of(metric).unit == "share":
        axes.set_ylim(0, 1.05)
    axes.set_title(axis_label(metric), loc="left", fontsize=9.5)
    axes.set_xlabel("max waiting time (ms)", fontsize=9)
