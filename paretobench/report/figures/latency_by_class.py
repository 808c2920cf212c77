"""`latency_by_class.png`: what each class waited, policy against policy at equal load."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from paretobench.analysis.configurations import Configuration
from paretobench.core.metrics import qualified
from paretobench.report.class_effects import e2e_sla_ms, wait_for_the_longest
from paretobench.report.figures.bars import draw_arrow, interval_ends, interval_marks
from paretobench.report.figures.canvas import (
    MUTED,
    new_figure,
    plain_linear_axis,
    plain_log_axis,
    thin_ticks,
)
from paretobench.report.figures.encoding import (
    ColourScale,
    colour_scale,
    dot,
    legend_mark,
    side_legend,
    thinned,
)
from paretobench.report.figures.frontier_labels import SLA_COLOUR
from paretobench.report.figures.queue_vs_compute import bar_label
from paretobench.report.figures.series import finite, largest, load_families
from paretobench.report.manifest import model_name, provenance_line
from paretobench.report.model import Report
from paretobench.report.settings_text import batch_cell, combination_order, family_label
from paretobench.report.text import memory_label, one_line, ratio_label, with_article, with_unit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_MAX_LOADS = 3
_MAX_CLASSES = 4
_MAX_ROWS = 14
_LOG_FROM = 20.0
_ROW_IN = 0.27
_GAP_IN = 0.5


def draw_latency_by_class(report: Report) -> Figure | str:
    """Return the figure of the valid configurations, or why there is none to draw."""
    names = report.class_names
    if len(names) < 2:
        return "the traffic is of one class"
    valid = [
        c
        for c in report.configurations
        if c.is_valid and any(_latencies(c, name)[0] is not None for name in names)
    ]
    if not valid:
        return "no valid trial measured the E2E latency of a class"
    families = load_families(valid, by_limits=False, by_combination=False)
    loads = {name: _thinned(families[name], report) for name in largest(families, _MAX_LOADS)}
    notes = [f"{len(valid)} valid of {len(report.configurations)} configurations"]
    left_out = len(valid) - sum(map(len, loads.values()))
    if left_out:
        notes.append(f"{left_out} not shown")
    if len(names) > _MAX_CLASSES:
        notes.append(f"classes not shown: {len(names) - _MAX_CLASSES}")
    rows_in = sum(_ROW_IN * (len(rows) + 0.4) + _GAP_IN for rows in loads.values())
    figure = new_figure(
        _title(report),
        " · ".join([provenance_line(report.run), *notes]),
        width_in=10.0 + 2.6 * (min(len(names), _MAX_CLASSES) - 2),
        height_in=max(1.42 + rows_in, 1.6 + 0.2 * len(_legend_marks(report))),
    )
    _draw_grid(figure, report, loads, names[:_MAX_CLASSES])
    return figure


def _title(report: Report) -> str:
    found = wait_for_the_longest(report)
    if found is None or found[2] <= 1 or "arrangement" in report.varied:
        return f"{model_name(report.run)}: how long each class waits for its answer"
    name, least, most = found
    upto = "" if ratio_label(least) == ratio_label(most) else "up to "
    whose = with_article(one_line(name, limit=30))
    return f"Static batching: {whose} request takes {upto}{ratio_label(most)} as long on average"


def _latencies(configuration: Configuration, name: str) -> tuple[float | None, float | None]:
    """Return a class's p50 and p95 E2E latency in ms; None is missing or infinite."""
    p50, p95 = (finite(configuration, qualified(name, f"{p}_e2e_ms")) for p in ("p50", "p95"))
    return p50, p95


def _thinned(family: Sequence[Configuration], report: Report) -> list[Configuration]:
    """Return an even spread of each policy and arrangement, so that they can be compared."""
    groups: dict[str, list[Configuration]] = {}
    for c in sorted(family, key=_size):
        groups.setdefault(family_label(c.settings, report.varied), []).append(c)
    room = max(_MAX_ROWS // len(groups), 1)
    keep = []
    for group in groups.values():
        last, count = len(group) - 1, min(room, len(group))
        keep += [group[round(i * last / max(count - 1, 1))] for i in range(count)]
    return sorted(keep, key=lambda c: _place(c, report))


def _place(configuration: Configuration, report: Report) -> tuple[object, ...]:
    settings = configuration.settings
    family = family_label(settings, report.varied)
    return *_size(configuration)[:3], *combination_order(settings), family, _size(configuration)[3]


def _size(configuration: Configuration) -> tuple[bool, int, float, str]:
    settings = configuration.settings
    return (
        settings.class_batching is not None,
        0 if settings.class_batching else settings.max_batch_size,
        settings.max_waiting_time_ms,
        f"{settings.class_batching} {memory_label(settings)}",
    )


def _row_labels(rows: Sequence[Configuration], report: Report) -> list[str]:
    """Return each row's policy, arrangement and batch size; all its limits where two look alike."""
    families = [family_label(c.settings, report.varied) for c in rows]
    short = [f"batch {batch_cell(c.settings)}" for c in rows]
    several = len({f"{f} {s}" for f, s in zip(families, short, strict=True)}) < len(rows)
    limits = [bar_label(c.settings) for c in rows] if several else short
    parts = zip(families, limits, strict=True)
    return [one_line(" · ".join(filter(None, pair)), limit=64) for pair in parts]


def _grid_of(
    figure: Figure,
    loads: dict[str, list[Configuration]],
    num_classes: int,
    margins_in: tuple[float, float],
) -> Any:
    """Return the axes [loads, classes] between the margins left and right; all rows are alike."""
    width, height = figure.get_size_inches()
    grid = figure.subplots(len(loads), num_classes, squeeze=False, sharex="col")
    left, right = margins_in[0] / width, 1 - margins_in[1] / width
    gap = 0.25 / width
    each = (right - left - gap * (num_classes - 1)) / num_classes
    top = 1 - 1.32 / height
    for row, rows in enumerate(loads.values()):
        tall = _ROW_IN * (len(rows) + 0.4) / height
        for column in range(num_classes):
            grid[row][column].set_position((left + column * (each + gap), top - tall, each, tall))
        top -= tall + _GAP_IN / height
    return grid


def _draw_grid(
    figure: Figure, report: Report, loads: dict[str, list[Configuration]], names: Sequence[str]
) -> None:
    labels = {load: _row_labels(rows, report) for load, rows in loads.items()}
    longest = max(len(label) for rows in labels.values() for label in rows)
    colours = colour_scale(report.configurations)
    legend = max(len(str(mark.get_label())) for mark in _legend_marks(report))
    margins = (0.35 + 0.068 * longest, max(1.75, 0.55 + 0.068 * legend))
    grid = _grid_of(figure, loads, len(names), margins)
    every = [c for rows in loads.values() for c in rows]
    for column, name in enumerate(names):
        for axes, (load, rows) in zip(grid[:, column], loads.items(), strict=True):
            _draw_panel(axes, rows, name, colours)
            axes.set_yticks(range(len(rows)), labels[load] if column == 0 else [""] * len(rows))
            axes.tick_params(axis="y", labelsize=8, length=0)
        _scale_across(list(grid[:, column]), every, name, e2e_sla_ms(report, name))
        grid[0][column].set_title(f"{one_line(name, limit=24)}\n", weight="bold", loc="left")
        grid[-1][column].set_xlabel("E2E latency (ms)")
    for axes, load in zip(grid[:, 0], loads, strict=True):
        axes.annotate(
            load, (0, 1), xycoords="axes fraction", xytext=(0, 5), textcoords="offset points",
            fontsize=9, color=MUTED,
        )  # fmt: skip
    side_legend(grid[0][-1], _legend_marks(report))


def _draw_panel(axes: Axes, rows: Sequence[Configuration], name: str, colours: ColourScale) -> None:
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    for y, configuration in enumerate(rows):
        colour = colours.of(configuration)
        p50, p95 = _latencies(configuration, name)
        if p50 is not None and p95 is not None:
            axes.plot([p50, p95], [y, y], color=colour, lw=2.2, zorder=2)
        if p50 is not None:
            axes.plot(p50, y, "o", ms=6, mfc="white", mec=colour, mew=1.6, zorder=3)
        if p95 is not None:
            axes.plot(p95, y, "o", ms=7, color=colour, zorder=3)
        ends = interval_ends(configuration, qualified(name, "p95_e2e_ms"))
        gap = 7
        if ends is not None and p95 is not None:
            is_bounded = math.isfinite(ends[1])
            look: dict[str, Any] = {"color": colour, "lw": 1, "zorder": 2.5}
            span = [ends[0], ends[1] if is_bounded else p95]
            caps = [0, 1] if is_bounded else [0]
            axes.plot(span, [y, y], marker="|", ms=6, mew=1, markevery=caps, **look)
            if not is_bounded:
                draw_arrow(axes, (p95, y), (1, 0), **look)
                gap = 16
        end = p95 if p95 is not None else p50
        if end is not None and ends is not None and math.isfinite(ends[1]):
            end = max(end, ends[1])
        if end is not None:
            said = with_unit("p95_e2e_ms", configuration.figures.get(qualified(name, "p95_e2e_ms")))
            axes.annotate(
                said, (end, y), xytext=(gap, 0), textcoords="offset points", va="center",
                fontsize=7.5, color=MUTED, zorder=4,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip


def _scale_across(
    column: Sequence[Axes], every: Sequence[Configuration], name: str, sla_ms: float | None
) -> None:
    """Scale a class's panels alike, the SLA in view; logarithmic over more than ×20."""
    drawn = [value for c in every for value in _latencies(c, name) if value is not None]
    bars = [interval_ends(c, qualified(name, "p95_e2e_ms")) for c in every]
    drawn += [end for ends in bars if ends is not None for end in ends if 0 < end < math.inf]
    arrow = 0.12 if any(ends is not None and math.isinf(ends[1]) for ends in bars) else 0.0
    shown = [*drawn, *([] if sla_ms is None else [sla_ms])] or [1.0]
    is_log = min(shown) > 0 and max(shown) > _LOG_FROM * min(shown)
    for axes in column:
        if is_log:
            plain_log_axis(
                axes,
                "x",
                min(shown) / 1.4,
                max(shown) * (max(shown) / min(shown)) ** (0.25 + arrow),
            )
        else:
            plain_linear_axis(axes, "x", 0, (max(shown) or 1.0) * (1.22 + arrow))
        thin_ticks(axes)
        if sla_ms is not None:
            axes.axvline(sla_ms, color=SLA_COLOUR, lw=1.1, ls=(0, (6, 3)), zorder=1.5)


def _legend_marks(report: Report) -> list[Line2D]:
    colours = colour_scale(report.configurations)
    handles = [dot("p50", hollow=True), dot("p95, as written")]
    tails = [qualified(name, "p95_e2e_ms") for name in report.class_names]
    handles += interval_marks(report.configurations, tails, upright=False)
    if any(e2e_sla_ms(report, name) is not None for name in report.class_names):
        handles.append(
            legend_mark("SLA of the class", color=SLA_COLOUR, linestyle=(0, (4, 2)), lw=1.1)
        )
    values = colours.values if colours.shows_combination else thinned(colours.values)
    handles.append(legend_mark(colours.heading))
    return [*handles, *(dot(colours.label(value), colours.colours[value]) for value in values)]
