"""`latency_vs_batch_size.png`: the textbook curve, latency and throughput against batch size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paretobench.analysis.configurations import Configuration
from paretobench.core.metrics import axis_label
from paretobench.report.figures.bars import draw_bars, interval_marks
from paretobench.report.figures.canvas import INK, category_axis, fitted_y, new_figure
from paretobench.report.figures.encoding import (
    ColourScale,
    colour_scale,
    dot,
    legend_mark,
    side_legend,
    thinned,
)
from paretobench.report.figures.series import (
    batch_sizes,
    by_wait,
    finite,
    largest,
    load_families,
    one_limit,
    prefer_closed_loop,
)
from paretobench.report.manifest import model_name, provenance_line
from paretobench.report.model import Report
from paretobench.report.text import wait_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_ROWS = 3
_LATENCIES = (("p95_e2e_ms", "-", 1.8), ("p50_e2e_ms", (0, (3, 1.6)), 1.1))


def draw_latency_vs_batch_size(report: Report) -> Figure | str:
    """Return the figure of the valid trials, or why there is none to draw.

    Closed loops show the batch size alone; open loops are drawn where there is no closed one.
    """
    valid, notes = _comparable(report)
    if len(batch_sizes(valid)) < 2:
        return "fewer than two batch sizes, each for all requests, have valid trials"
    one_wait = len({c.settings.max_waiting_time_ms for c in valid}) == 1
    colours = colour_scale(valid, report.variants if one_wait else ())
    families = load_families(
        valid,
        by_limits=not colours.shows_kv_budget,
        by_combination=not colours.shows_combination,
        by_variant=not colours.variants,
    )
    shown = [n for n in largest(families, _MAX_ROWS) if len(batch_sizes(families[n])) > 1]
    if not shown:
        return "no load was run at two batch sizes with valid trials"
    if len(families) > len(shown):
        notes.append(f"{len(families) - len(shown)} more loads not shown")
    height = 1.35 + 3.6 * len(shown) if len(shown) > 1 else 5.2
    figure = new_figure(
        f"{model_name(report.run)}: what a larger batch costs and brings",
        " · ".join([provenance_line(report.run), *notes]),
        height_in=height,
    )
    grid = figure.subplots(len(shown), 2, squeeze=False)
    figure.subplots_adjust(
        left=0.075,
        right=0.855,
        top=1 - 1.15 / height,
        bottom=0.6 / height,
        wspace=0.25,
        hspace=0.42,
    )
    for row, name in enumerate(shown):
        _draw_latency(grid[row][0], families[name], colours, name)
        _draw_throughput(grid[row][1], families[name], colours, report.throughput)
    _add_legend(grid[0][1], colours, valid, report.throughput)
    return figure


def _comparable(report: Report) -> tuple[list[Configuration], list[str]]:
    """Return what one line a colour can join, and what had to be left out for it."""
    valid = prefer_closed_loop(
        c
        for c in one_limit(report.configurations)
        if c.is_valid and finite(c, "p95_e2e_ms") is not None
    )
    if not valid or not colour_scale(valid).shows_combination or len(by_wait(valid)) < 2:
        return valid, []
    wait, shortest = next(iter(by_wait(valid).items()))
    return shortest, [f"wait {wait_label(wait)} only"]


def _draw_latency(
    axes: Axes, family: Sequence[Configuration], colours: ColourScale, name: str
) -> None:
    values: list[float] = []
    for metric, style, width in _LATENCIES:
        values += _draw_lines(axes, family, colours, metric, style, width)
    fitted_y(axes, values)
    axes.set_title(name, loc="left")
    axes.set_xlabel("max batch size")
    axes.set_ylabel("E2E latency (ms)")


def _draw_throughput(
    axes: Axes, family: Sequence[Configuration], colours: ColourScale, metric: str
) -> None:
    fitted_y(axes, _draw_lines(axes, family, colours, metric, "-", 1.8))
    axes.set_xlabel("max batch size")
    axes.set_ylabel(axis_label(metric))


def _draw_lines(
    axes: Axes,
    family: Sequence[Configuration],
    colours: ColourScale,
    metric: str,
    style: object,
    width: float,
) -> list[float]:
    sizes = batch_sizes(family)
    category_axis(axes, [str(size) for size in sizes])
    drawn: list[float] = []
    values = colours.values
    for value in reversed(values):
        line = sorted(
            (c for c in family if colours.value_of(c) == value),
            key=lambda c: c.settings.max_batch_size,
        )
        # smaller values on top and finer: where lines coincide, each is still seen
        extra = 1.6 * values.index(value) / max(len(values) - 1, 1)
        pairs = [(sizes.index(c.settings.max_batch_size), finite(c, metric)) for c in line]
        xs = [x for x, y in pairs if y is not None]
        ys = [y for _, y in pairs if y is not None]
        axes.plot(
            xs,
            ys,
            color=colours.colours[value],
            linestyle=style,
            lw=width + extra,
            marker="o",
            ms=4 + 2 * extra,
        )
        places = [sizes.index(c.settings.max_batch_size) for c in line]
        drawn += [*ys, *draw_bars(axes, places, line, metric, colours.colours[value])]
    return drawn


def _add_legend(
    axes: Axes, colours: ColourScale, configurations: Sequence[Configuration], throughput: str
) -> None:
    side_legend(
        axes,
        [
            legend_mark("latency"),
            legend_mark("p95", color=INK, linestyle="-", lw=1.8),
            legend_mark("p50", color=INK, linestyle=(0, (3, 1.6)), lw=1.1),
            *interval_marks(configurations, [throughput, *(name for name, *_ in _LATENCIES)]),
            legend_mark(colours.heading),
            *(dot(colours.label(v), colours.colours[v]) for v in thinned(colours.values)),
        ],
    )
