"""`frontier.png`: throughput across, latency up, the frontier as a staircase."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.frontier import find_frontier
from paretobench.core.metrics import axis_label
from paretobench.report.figures import (
    frontier_labels,
    frontier_legend,
    frontier_limit,
    frontier_uncertainty,
)
from paretobench.report.figures.canvas import INK, MUTED, new_figure
from paretobench.report.figures.encoding import (
    VERDICT_MARKS,
    ColourScale,
    colour_scale,
    load_marker,
)
from paretobench.report.figures.frontier_title import frontier_title
from paretobench.report.figures.labels import LabelPlacer
from paretobench.report.figures.scales import Scale, latency_scale, throughput_scale
from paretobench.report.manifest import goals, provenance_line
from paretobench.report.model import Report
from paretobench.report.terminal import empty_frontier
from paretobench.report.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_STYLES = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
FRAME = (0.085, 0.10, 0.665, 0.765)  # left, bottom, width, height as shares of the figure


@dataclass(frozen=True, slots=True, kw_only=True)
class Plane:
    """The plane of the two objectives: the axes, their scales and who is where."""

    axes: Axes
    report: Report
    across: Scale
    up: Scale
    colours: ColourScale

    def place(self, configuration: Configuration) -> tuple[float, float] | None:
        """Return where a configuration is drawn: at the edge if off scale, None if it cannot be."""
        x = configuration.figures.get(self.report.throughput)
        y = configuration.figures.get(self.report.latency)
        if x is None or y is None or math.isnan(x) or math.isnan(y):
            return None
        return self.across.clipped(x), self.up.clipped(y)

    def is_off_scale(self, configuration: Configuration) -> bool:
        """Return whether a configuration lies outside the axes."""
        x = configuration.figures.get(self.report.throughput)
        y = configuration.figures.get(self.report.latency)
        assert x is not None
        assert y is not None
        return not (self.across.holds(x) and self.up.holds(y))


def draw_frontier(report: Report) -> Figure:
    """Return the picture of the frontier; with no valid trial it says so and why."""
    figure = new_figure(frontier_title(report), provenance_line(report.run))
    axes = figure.add_axes(FRAME)
    axes.set_xlabel(f"{axis_label(report.throughput)}  → better")
    axes.set_ylabel(f"{axis_label(report.latency)}  ← better")
    plane = _plane(axes, report)
    if not _measured(report):
        _say_nothing_valid(axes, report)
        return figure
    placer = LabelPlacer(axes)
    _draw_limits(plane)
    frontier_limit.draw_limit(plane, placer)
    frontier_uncertainty.draw_bands(plane)
    _draw_staircase_of_each(plane, placer)
    _draw_staircases(plane, placer)
    doubtful = frontier_uncertainty.doubtful(plane)
    for configuration in _back_to_front(plane):
        is_doubtful = configuration.settings.configuration_id in doubtful
        _draw_configuration(plane, placer, configuration, edge=INK if is_doubtful else "white")
    frontier_labels.add_labels(plane, placer)
    frontier_legend.add_legend(plane)
    return figure


def staircase(front: Sequence[Configuration], report: Report) -> tuple[list[float], list[float]]:
    """Return the corners of the frontier: the least latency measured for at least x throughput.

    Nothing is fitted or joined between two points, since nothing was measured there.
    """
    xs: list[float] = []
    ys: list[float] = []
    for configuration in front:
        x = configuration.figures[report.throughput]
        y = configuration.figures[report.latency]
        assert x is not None  # or it would not stand on the frontier
        assert y is not None
        if xs:
            xs.append(xs[-1])
            ys.append(y)
        xs.append(x)
        ys.append(y)
    return xs, ys


def _measured(report: Report) -> list[tuple[float, float]]:
    pairs = [
        (c.figures.get(report.throughput), c.figures.get(report.latency))
        for c in report.configurations
        if c.is_valid
    ]
    return [
        (x, y)
        for x, y in pairs
        if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)
    ]


def _plane(axes: Axes, report: Report) -> Plane:
    measured = _measured(report)
    limits = [
        g.subject_to[report.latency] for g in goals(report.run) if report.latency in g.subject_to
    ]
    plane = Plane(
        axes=axes,
        report=report,
        across=frontier_limit.widened(throughput_scale([x for x, _ in measured]), report),
        up=frontier_limit.deepened(latency_scale([y for _, y in measured], limits), report),
        colours=colour_scale(report.configurations, report.variants),
    )
    plane.across.apply(axes, "x")
    plane.up.apply(axes, "y")
    return plane


def _say_nothing_valid(axes: Axes, report: Report) -> None:
    import textwrap

    axes.set_xticks([])
    axes.set_yticks([])
    why = textwrap.fill(one_line(empty_frontier(report), limit=420), 64)
    axes.text(
        0.5,
        0.6,
        "Nothing to draw",
        ha="center",
        weight="bold",
        size=13,
        color=INK,
        transform=axes.transAxes,
    )
    axes.text(0.5, 0.55, why, ha="center", va="top", color=MUTED, transform=axes.transAxes)


def _draw_limits(plane: Plane) -> None:
    for limit in frontier_labels.latency_limits(plane.report):
        if plane.up.holds(limit):
            plane.axes.axhline(limit, color="#b3261e", lw=1.1, ls=(0, (6, 3)), zorder=1.5)


def _draw_staircases(plane: Plane, placer: LabelPlacer) -> None:
    report = plane.report
    for (_, workload), front in report.curves.items():
        xs, ys = staircase(front, report)
        style = LINE_STYLES[report.workloads.index(workload) % len(LINE_STYLES)]
        colour, width = (plane.colours.of(front[0]), 2.2) if report.variants else (INK, 1.5)
        plane.axes.plot(xs, ys, color=colour, lw=width, ls=style, zorder=2)
        placer.block_steps(xs, ys)


def _draw_staircase_of_each(plane: Plane, placer: LabelPlacer) -> None:
    """Draw the frontier that each policy and arrangement would have alone, in its colour."""
    report, colours = plane.report, plane.colours
    if not colours.shows_combination or len(report.workloads) > 1:
        return
    for value in colours.values:
        alone = [c for c in report.configurations if colours.value_of(c) == value]
        front = find_frontier(alone, throughput=report.throughput, latency=report.latency)
        xs, ys = staircase(front, report)
        plane.axes.plot(xs, ys, color=colours.colours[value], lw=5, alpha=0.4, zorder=1.9)
        placer.block_steps(xs, ys)


def _draw_configuration(
    plane: Plane, placer: LabelPlacer, configuration: Configuration, *, edge: str
) -> None:
    place = plane.place(configuration)
    if place is None:
        return
    colour = plane.colours.of(configuration)
    marker = load_marker(configuration.settings.load_kind)
    if configuration.is_valid and math.isfinite(sum(place)):
        if frontier_uncertainty.has_bars(plane, configuration):
            frontier_uncertainty.draw_bars(plane, placer, configuration)
        else:
            _draw_repeats(plane, configuration, colour)
        size = _marker_size(plane, configuration)
        plane.axes.scatter(
            *place, s=size, marker=marker, color=colour, edgecolor=edge, lw=0.8, zorder=4
        )
        placer.block_point(*place)
    elif plane.is_off_scale(configuration):
        x, y = plane.across.clipped(place[0], inset=0.012), plane.up.clipped(place[1], inset=0.022)
        plane.axes.scatter(
            x, y, s=20, marker=marker, facecolor="white", edgecolor=colour, lw=0.9, zorder=2.5
        )
        placer.block_point(x, y, radius_px=5.0)
    else:
        inner = VERDICT_MARKS.get(configuration.verdict)
        plane.axes.scatter(
            *place,
            s=38 if inner is None else 64,
            marker=marker,
            facecolor="white",
            edgecolor=colour,
            lw=1.2,
            zorder=3,
            clip_on=False,  # it may lie on the very edge
        )
        if inner is not None:
            plane.axes.scatter(
                *place, s=18, marker=inner, color=colour, lw=1.0, zorder=3.1, clip_on=False
            )
        placer.block_point(*place, radius_px=6.0)


def _back_to_front(plane: Plane) -> list[Configuration]:
    """Return the frontier last, and larger values of what colour says under smaller ones."""
    front = {c.settings.configuration_id for c in plane.report.frontier}
    return sorted(
        plane.report.configurations,
        key=lambda c: (c.settings.configuration_id in front, -plane.colours.value_of(c)),
    )


def _marker_size(plane: Plane, configuration: Configuration) -> float:
    """Return a size that follows the colour a little: of equal points every colour is seen."""
    values = plane.colours.values
    if plane.colours.variants:
        return 52
    share = values.index(plane.colours.value_of(configuration)) / max(len(values) - 1, 1)
    return 42 + 48 * share


def _draw_repeats(plane: Plane, configuration: Configuration, colour: str) -> None:
    repeats = plane.report.repeats_of(configuration)
    if len(repeats) < 2:
        return
    for point in repeats:
        x = point.figures.get(plane.report.throughput)
        y = point.figures.get(plane.report.latency)
        if x is not None and y is not None and plane.across.holds(x) and plane.up.holds(y):
            plane.axes.scatter(x, y, s=9, color=colour, alpha=0.4, lw=0, zorder=3.5)
