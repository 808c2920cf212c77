"""`frontier.png` of several runs: a staircase of each, in its colour, with its name at it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretobench.analysis.configurations import Configuration
from paretobench.core.metrics import axis_label
from paretobench.report.figures import frontier_labels, frontier_uncertainty
from paretobench.report.figures.canvas import INK, MUTED, new_figure
from paretobench.report.figures.encoding import VARIANT_COLOURS, ColourScale
from paretobench.report.figures.frontier import FRAME, LINE_STYLES, Plane, staircase
from paretobench.report.figures.labels import LabelPlacer
from paretobench.report.figures.overlay_legend import add_legend
from paretobench.report.figures.scales import latency_scale, throughput_scale
from paretobench.report.manifest import provenance_line
from paretobench.report.overlay import Overlay, Series
from paretobench.report.overlay_differences import differing
from paretobench.report.overlay_message import message
from paretobench.report.settings_text import batch_cell
from paretobench.report.text import joined, one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "h")
_MAX_DETAILED = 3  # with more curves bars, stars' names and batch sizes would hide each other
_MAX_BANDS = 2
_MAX_DOTS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A series on the common plane, with the look that is its own."""

    series: Series
    plane: Plane
    colour: str
    marker: str

    @property
    def front(self) -> list[Configuration]:
        """The configurations on its frontiers that the axes hold."""
        every = [c for curve in self.series.curves.values() for c in curve]
        return [c for c in every if self.plane.place(c) is not None]


def draw_overlay(overlay: Overlay) -> Figure:
    """Return the picture of all frontiers; with no valid trial in any run it says so."""
    figure = new_figure(message(overlay), subtitle(overlay))
    axes = figure.add_axes(FRAME)
    axes.set_xlabel(f"{axis_label(overlay.throughput)}  → better")
    axes.set_ylabel(f"{axis_label(overlay.latency)}  ← better")
    dots = _has_dots(overlay)
    layers = _layers(axes, overlay, dots=dots)
    placer = LabelPlacer(axes)
    limits = _draw_limits(axes, layers, placer)
    curves = sum(len(layer.series.curves) for layer in layers)
    for layer in layers:
        if curves <= _MAX_BANDS:
            frontier_uncertainty.draw_bands(layer.plane)
        _draw_curves(layer, overlay.workloads, placer)
    if dots:
        _draw_others(layers)
    for layer in layers:
        _draw_front(layer, placer, bars=curves <= _MAX_DETAILED)
    stars = [star for layer in layers for star in _draw_stars(layer, placer)]
    for layer in layers:
        _write_name(layer, placer)
    if curves <= _MAX_DETAILED:
        for layer, configuration, names in stars:
            _write_star(layer, placer, configuration, names, near_only=curves > _MAX_BANDS)
    for limit, text in limits.items():
        placer.on_level(text, limit, fontsize=8.5, color=frontier_labels.SLA_COLOUR, zorder=6)
    placer.in_corner("better ↘", fontsize=9.5, color=MUTED, style="italic")
    if curves <= _MAX_DETAILED:
        for layer in layers:
            _write_batch_sizes(layer, placer)
    add_legend(
        axes, overlay, layers, dots=dots, bars=curves <= _MAX_DETAILED, bands=curves <= _MAX_BANDS
    )
    return figure


def subtitle(overlay: Overlay) -> str:
    """Return what the first run was measured on, and in what the others differ."""
    apart = differing(overlay)
    first = provenance_line(overlay.reports[0].run)
    if not apart:
        return first
    return f"The runs differ in {joined(apart)}; {one_line(overlay.names[0], limit=28)}: {first}"


def _has_dots(overlay: Overlay) -> bool:
    """Return whether the valid configurations off the frontiers are drawn: few enough, if any."""
    valid = sum(c.is_valid for report in overlay.reports for c in report.configurations)
    on_front = sum(len(report.frontier) for report in overlay.reports)
    return len(overlay.series) <= _MAX_DETAILED and on_front < valid <= _MAX_DOTS


def _layers(axes: Axes, overlay: Overlay, *, dots: bool) -> list[Layer]:
    """Return the series on one plane whose axes hold all that is drawn."""
    drawn = [
        (report, c)
        for report in overlay.reports
        for c in (report.configurations if dots else report.frontier)
        if c.is_valid
    ]
    xs = [c.figures.get(report.throughput) for report, c in drawn]
    ys = [c.figures.get(report.latency) for report, c in drawn]
    limits = [
        limit for report in overlay.reports for limit in frontier_labels.latency_limits(report)
    ]
    across, up = throughput_scale(_finite(xs)), latency_scale(_finite(ys), limits)
    across.apply(axes, "x")
    up.apply(axes, "y")
    layers = []
    for index, series in enumerate(overlay.series):
        colour = VARIANT_COLOURS[index % len(VARIANT_COLOURS)]
        variants = tuple(dict.fromkeys(c.settings.variant or "" for c in series.configurations))
        colours = ColourScale(
            shows="variant",
            colours={float(i): colour for i in range(len(variants))},
            variants=variants,
        )
        plane = Plane(axes=axes, report=series.report, across=across, up=up, colours=colours)
        marker = MARKERS[index % len(MARKERS)]
        layers.append(Layer(series=series, plane=plane, colour=colour, marker=marker))
    return layers


def _finite(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None and math.isfinite(value)]


def _draw_limits(axes: Axes, layers: Sequence[Layer], placer: LabelPlacer) -> dict[float, str]:
    """Draw each SLA that the axes hold, once however many runs have it; return their labels."""
    names: dict[float, dict[str, None]] = {}
    report = layers[0].series.report
    for layer in layers:
        for limit, name in frontier_labels.latency_limits(layer.series.report).items():
            names.setdefault(limit, {})[name] = None
    up, across = layers[0].plane.up, layers[0].plane.across
    shown = {limit: ", ".join(names[limit]) for limit in sorted(names) if up.holds(limit)}
    for limit in shown:
        axes.axhline(limit, color=frontier_labels.SLA_COLOUR, lw=1.1, ls=(0, (6, 3)), zorder=1.5)
        placer.block_steps([across.low, across.high], [limit, limit])
    return {
        limit: frontier_labels.limit_text(report, limit, one_line(name, limit=30))
        for limit, name in shown.items()
    }


def _draw_curves(layer: Layer, workloads: Sequence[str], placer: LabelPlacer) -> None:
    for workload, front in layer.series.curves.items():
        xs, ys = staircase(front, layer.series.report)
        style = LINE_STYLES[workloads.index(workload) % len(LINE_STYLES)]
        layer.plane.axes.plot(xs, ys, color=layer.colour, lw=2.2, ls=style, zorder=2)
        placer.block_steps(xs, ys)


def _draw_others(layers: Sequence[Layer]) -> None:
    """Draw, faintly, the valid configurations off the frontiers."""
    for layer in layers:
        look: dict[str, Any] = {
            "marker": layer.marker,
            "color": layer.colour,
            "alpha": 0.3,
            "lw": 0,
        }
        for c in layer.series.configurations:
            place = layer.plane.place(c)
            if c.is_valid and place is not None and c not in layer.front:
                layer.plane.axes.scatter(*place, s=16, zorder=1.7, **look)


def _draw_front(layer: Layer, placer: LabelPlacer, *, bars: bool) -> None:
    for configuration in layer.front:
        place = layer.plane.place(configuration)
        assert place is not None  # or it is not among them
        if bars and frontier_uncertainty.has_bars(layer.plane, configuration):
            frontier_uncertainty.draw_bars(layer.plane, placer, configuration)
        layer.plane.axes.scatter(
            *place,
            s=46,
            marker=layer.marker,
            color=layer.colour,
            edgecolor="white",
            lw=0.8,
            zorder=4,
        )
        placer.block_point(*place)


def _draw_stars(layer: Layer, placer: LabelPlacer) -> list[tuple[Layer, Configuration, str]]:
    """Star what the run says to deploy, and return it with the names of the goals."""
    stars = []
    for configuration, names in frontier_labels.starred_configurations(layer.series.report):
        place = layer.plane.place(configuration)
        own = layer.series.variant in (None, configuration.settings.variant)
        if place is None or not own:
            continue
        layer.plane.axes.scatter(
            *place, s=230, marker="*", color=layer.colour, edgecolor=INK, lw=1.0, zorder=5
        )
        placer.block_point(*place, radius_px=12.0)
        stars.append((layer, configuration, names))
    return stars


def _write_name(layer: Layer, placer: LabelPlacer) -> None:
    """Write the series' name in its colour where its curve has most room, its upper end first."""
    places = [place for c in reversed(layer.front) if (place := layer.plane.place(c)) is not None]
    look: dict[str, Any] = {"fontsize": 10.5, "weight": "bold", "color": layer.colour, "zorder": 6}
    placer.at_points(one_line(layer.series.short_label, limit=34), places, **look)


def _write_star(
    layer: Layer, placer: LabelPlacer, configuration: Configuration, names: str, *, near_only: bool
) -> None:
    place = layer.plane.place(configuration)
    assert place is not None  # it has its star
    text = f"{names}: batch {batch_cell(configuration.settings)}"
    look: dict[str, Any] = {"fontsize": 8.5, "weight": "bold", "color": layer.colour, "zorder": 6}
    placer.at_point(text, *place, near_only=near_only, **look)


def _write_batch_sizes(layer: Layer, placer: LabelPlacer) -> None:
    """Write each batch size once where several points of it lie close together."""
    starred = [c for c, _ in frontier_labels.starred_configurations(layer.series.report)]
    said = [(batch_cell(c.settings), frontier_labels.pixel(layer.plane, c)) for c in starred]
    for configuration in layer.front:
        text, where = (
            batch_cell(configuration.settings),
            frontier_labels.pixel(layer.plane, configuration),
        )
        if any(
            text == size and math.dist(where, there) < frontier_labels.SAME_PLACE_PX
            for size, there in said
        ):
            continue
        place = layer.plane.place(configuration)
        assert place is not None  # or it is not among them
        look: dict[str, Any] = {"fontsize": 8, "color": layer.colour, "zorder": 6}
        if placer.at_point(text, *place, near_only=True, **look):
            said.append((text, where))
