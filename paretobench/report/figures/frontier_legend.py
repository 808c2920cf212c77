"""The legend of the frontier's picture, with what could not be drawn."""

from __future__ import annotations

import textwrap
from collections import Counter
from typing import TYPE_CHECKING

from paretobench.report.figures import frontier_labels, frontier_limit, frontier_uncertainty
from paretobench.report.figures.canvas import INK
from paretobench.report.figures.encoding import (
    VERDICT_MARKS,
    dot,
    legend_mark,
    load_marker,
    load_name,
    side_legend,
    thinned,
)
from paretobench.report.text import one_line, plural

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

    from paretobench.report.figures.frontier import Plane

_WRAP = 27
_MAX_WORKLOADS = 4
_MAX_LIMITS = 3


def add_legend(plane: Plane) -> None:
    """Explain every mark in the picture, and count what is off scale or was never measured."""
    handles = [*_lines(plane), *_colours(plane), *_loads(plane), *_not_valid(plane)]
    side_legend(plane.axes, handles)


def _lines(plane: Plane) -> list[Line2D]:
    from paretobench.report.figures.frontier import LINE_STYLES

    report = plane.report
    if not report.frontier:
        return []
    if len(report.workloads) == 1:
        name = "frontier of each variant" if report.variants else "frontier"
        handles = [legend_mark(name, color=INK, linestyle="-", lw=1.5)]
    else:
        handles = [legend_mark("frontier of each workload")]
        for index, workload in enumerate(report.workloads[:_MAX_WORKLOADS]):
            label = textwrap.fill(one_line(workload, limit=3 * _WRAP), _WRAP)
            style = LINE_STYLES[index % len(LINE_STYLES)]
            handles.append(legend_mark(label, color=INK, linestyle=style, lw=1.5))
    handles += frontier_limit.limit_legend(plane)
    if frontier_labels.starred_configurations(report):
        star = legend_mark(
            "operating point",
            marker="*",
            markersize=13,
            markerfacecolor="white",
            markeredgecolor=INK,
        )
        handles.append(star)
    handles.append(legend_mark("numbers: max batch size", marker=""))
    with_own = (c.settings for c in report.configurations if c.settings.class_batching)
    of_each = next((" / ".join(s.class_limits()) for s in with_own), "")
    if of_each:
        handles.append(legend_mark(textwrap.fill(f"a/b: {of_each}", _WRAP), marker=""))
    handles += frontier_uncertainty.legend_entries(plane)
    if any(
        c.num_repeats > 1 and c.is_valid and not frontier_uncertainty.has_bars(plane, c)
        for c in report.configurations
    ):
        handles.append(legend_mark("single repeat", marker="o", markersize=3, color="#9aa0a6"))
    limits = frontier_labels.latency_limits(report).items()
    off_scale = [(limit, names) for limit, names in limits if not plane.up.holds(limit)]
    for limit, names in off_scale[:_MAX_LIMITS]:
        text = f"off scale: {frontier_labels.limit_text(report, limit, names)}"
        colour = frontier_labels.SLA_COLOUR
        handles.append(legend_mark(textwrap.fill(text, _WRAP), marker="_", color=colour))
    return handles


def _colours(plane: Plane) -> list[Line2D]:
    scale = plane.colours
    values = scale.values if scale.shows_combination else thinned(scale.values)
    return [
        legend_mark(scale.heading),
        *(dot(scale.label(v), scale.colours[v]) for v in values),
        *_frontier_of_each(plane),
    ]


def _frontier_of_each(plane: Plane) -> list[Line2D]:
    if not plane.colours.shows_combination or len(plane.report.workloads) > 1:
        return []
    return [legend_mark("frontier of each alone", color="#9aa0a6", linestyle="-", lw=5, alpha=0.5)]


def _loads(plane: Plane) -> list[Line2D]:
    kinds = list(dict.fromkeys(c.settings.load_kind for c in plane.report.configurations))
    if len(kinds) < 2:
        return []
    return [legend_mark("load"), *(dot(load_name(k), marker=load_marker(k)) for k in kinds)]


def _not_valid(plane: Plane) -> list[Line2D]:
    """Count configurations, as the picture shows them: on scale, at the edge, or not at all."""
    rejected = [c for c in plane.report.configurations if not c.is_valid]
    if not rejected:
        return []
    drawn = [c for c in rejected if plane.place(c) is not None]
    edge = [c for c in drawn if plane.is_off_scale(c)]
    shown = Counter(c.verdict for c in drawn if c not in edge)
    missing = Counter(c.verdict for c in rejected if c not in drawn)
    handles = [legend_mark("not valid (hollow)")]
    for verdict, count in shown.items():
        marker = VERDICT_MARKS.get(verdict)
        handles.append(dot(f"{_said(verdict)} ({count})", hollow=True, marker=marker or "o"))
    for verdict, count in Counter(c.verdict for c in edge).items():
        mark = dot(f"{_said(verdict)}, off scale: {count}", hollow=True)
        mark.set_markersize(4.5)
        handles.append(mark)
    for verdict, count in missing.items():
        text = f"{_said(verdict)}: {plural(count, 'configuration')}, nothing to draw"
        handles.append(legend_mark(textwrap.fill(text, _WRAP), marker=""))
    return handles


def _said(verdict: str) -> str:
    return verdict.replace("_", " ")
