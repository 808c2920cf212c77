"""What is written into the frontier's picture: operating points, SLAs and batch sizes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from paretobench.analysis.configurations import Configuration
from paretobench.report.figures import frontier_limit
from paretobench.report.figures.canvas import INK, MUTED
from paretobench.report.figures.encoding import load_name
from paretobench.report.figures.labels import LabelPlacer
from paretobench.report.manifest import goals
from paretobench.report.model import Report
from paretobench.report.settings_text import batch_cell, combination_label
from paretobench.report.text import one_line, short_label, with_unit

if TYPE_CHECKING:
    from paretobench.report.figures.frontier import Plane

SLA_COLOUR = "#b3261e"
_STAR_SIZE = 260
SAME_PLACE_PX = 45.0


def add_labels(plane: Plane, placer: LabelPlacer) -> None:
    """Star the operating points, then write the names, the SLAs, the hint and batch sizes.

    What matters most is placed first; a label for which no place is free is left out.
    """
    starred = starred_configurations(plane.report)
    for configuration, _ in starred:
        place = _star(plane, configuration)
        placer.block_point(*place, radius_px=13.0)
    _block_limits(plane, placer)
    _name_variants(plane, placer)
    for configuration, names in starred:
        x, y = _place(plane, configuration)
        text = _star_text(plane.report, configuration, names)
        placer.at_point(text, x, y, fontsize=9.5, weight="bold", color=INK, zorder=6)
    _write_limits(plane, placer)
    frontier_limit.name_limit(plane, placer)
    placer.in_corner("better ↘", fontsize=9.5, color=MUTED, style="italic")
    _write_batch_sizes(plane, placer, [c for c, _ in starred])
    _name_workloads(plane, placer)


def latency_limits(report: Report) -> dict[float, str]:
    """Return each limit on the latency objective with the names of the goals that set it."""
    limits: dict[float, list[str]] = {}
    for goal in goals(report.run):
        if report.latency in goal.subject_to:
            limits.setdefault(goal.subject_to[report.latency], []).append(goal.name)
    return {limit: one_line(", ".join(names), limit=30) for limit, names in sorted(limits.items())}


def limit_text(report: Report, limit: float, names: str) -> str:
    """Return the label of an SLA line: `chat: p95 E2E ≤ 500 ms`."""
    return f"{names}: {short_label(report.latency)} ≤ {with_unit(report.latency, limit)}"


def starred_configurations(report: Report) -> list[tuple[Configuration, str]]:
    """Return each chosen configuration once, with the names of the goals it serves."""
    names: dict[str, list[str]] = {}
    chosen: dict[str, Configuration] = {}
    for point in report.operating_points:
        if point.configuration is not None:
            key = point.configuration.settings.configuration_id
            chosen[key] = point.configuration
            names.setdefault(key, []).append(point.goal.name.split(" [")[0])
    return [(chosen[key], one_line(", ".join(names[key]), limit=30)) for key in chosen]


def _star_text(report: Report, configuration: Configuration, names: str) -> str:
    settings = configuration.settings
    family = f"{combination_label(settings, report.varied)}, ".removeprefix(", ")
    kinds = {c.settings.load_kind for c in report.configurations}
    load = f", {load_name(settings.load_kind)}" if len(kinds) > 1 else ""
    variant = f"{one_line(settings.variant or '', limit=24)}, " if report.variants else ""
    return f"{names}: {variant}{family}batch {batch_cell(settings)}{load}"


def _star(plane: Plane, configuration: Configuration) -> tuple[float, float]:
    x, y = _place(plane, configuration)
    colour = plane.colours.of(configuration)
    plane.axes.scatter(
        x, y, s=_STAR_SIZE, marker="*", color=colour, edgecolor=INK, lw=1.0, zorder=5
    )
    return x, y


def _write_limits(plane: Plane, placer: LabelPlacer) -> None:
    for limit, names in latency_limits(plane.report).items():
        if plane.up.holds(limit):
            text = limit_text(plane.report, limit, names)
            placer.on_level(text, limit, fontsize=8.5, color=SLA_COLOUR, zorder=6)


def _block_limits(plane: Plane, placer: LabelPlacer) -> None:
    for limit in latency_limits(plane.report):
        if plane.up.holds(limit):
            placer.block_steps([plane.across.low, plane.across.high], [limit, limit])


def _write_batch_sizes(plane: Plane, placer: LabelPlacer, starred: Sequence[Configuration]) -> None:
    """Write each batch size once where several points of it lie close together."""
    front = {c.settings.configuration_id for c in plane.report.frontier}
    said = [(batch_cell(c.settings), pixel(plane, c)) for c in starred]
    others = [c for c in plane.report.configurations if c.is_valid and _is_on_scale(plane, c)]
    for configuration in (*plane.report.frontier, *others):
        settings, (px, py) = configuration.settings, pixel(plane, configuration)
        shown = batch_cell(settings)
        if any(
            size == shown and math.hypot(px - x, py - y) < SAME_PLACE_PX for size, (x, y) in said
        ):
            continue
        on_front = settings.configuration_id in front
        look: dict[str, Any] = {"fontsize": 7.5, "color": MUTED, "zorder": 6}
        if on_front:
            look |= {"fontsize": 9, "color": INK, "weight": "bold"}
        x, y = _place(plane, configuration)
        if placer.at_point(shown, x, y, near_only=not on_front, **look):
            said.append((shown, (px, py)))


def _name_workloads(plane: Plane, placer: LabelPlacer) -> None:
    workloads = plane.report.workloads
    ends = {c.settings.workload: c for c in plane.report.frontier}
    for workload, end in ends.items() if len(workloads) > 1 else ():
        x, y = _place(plane, end)
        text = one_line(workload, limit=44)
        placer.at_point(text, x, y, fontsize=8, style="italic", color=INK, zorder=6)


def _name_variants(plane: Plane, placer: LabelPlacer) -> None:
    """Write each variant's name in its colour at the upper end of its curve."""
    ends = {c.settings.variant: c for c in plane.report.frontier}  # the last has the most
    for variant, end in ends.items() if plane.report.variants else ():
        x, y = _place(plane, end)
        colour = plane.colours.of(end)
        text = one_line(variant or "", limit=30)
        placer.at_point(text, x, y, fontsize=10.5, weight="bold", color=colour, zorder=6)


def _is_on_scale(plane: Plane, configuration: Configuration) -> bool:
    return plane.place(configuration) is not None and not plane.is_off_scale(configuration)


def pixel(plane: Plane, configuration: Configuration) -> tuple[float, float]:
    """Return where on the page a configuration with both objectives is drawn."""
    x, y = plane.axes.transData.transform(_place(plane, configuration))
    return float(x), float(y)


def _place(plane: Plane, configuration: Configuration) -> tuple[float, float]:
    place = plane.place(configuration)
    assert place is not None  # what is chosen has both objectives
    return place
