"""What is written into `compare.png`, and its legend."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from paretobench.analysis.configurations import Configuration
from paretobench.gate.picture_panel import (
    AFTER_COLOUR,
    BAND_ALPHA,
    BEFORE_COLOUR,
    COLOURS,
    Direction,
    Panel,
    direction_of,
    plane_loss,
)
from paretobench.gate.text import (
    cost_text,
    goal_name,
    limit_text,
    loss_text,
    measure_label,
    regressions,
    share_text,
    short_names,
    side_names,
)
from paretobench.gate.values import MEASURES, Comparison
from paretobench.report.figures.canvas import INK
from paretobench.report.figures.encoding import legend_mark
from paretobench.report.figures.labels import LabelPlacer
from paretobench.report.manifest import goals
from paretobench.report.settings_text import batch_cell
from paretobench.report.text import one_line, short_label, with_unit

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

SLA_COLOUR = "#b3261e"
_MAX_NAMED = 3  # of each kind and panel
_MAX_LOSSES = 5
_NEAR_PX = 140.0  # the same figure is written once where several points moved alike
_MAX_POINTS = 4
_MAX_LIMITS = 3
_WRAP = 31


def draw_limits(panel: Panel, placer: LabelPlacer) -> dict[float, str]:
    """Draw the operating points' limits on the latency; return those on the axes, in words."""
    drawn = {limit: text for limit, text in _limits(panel).items() if panel.up.holds(limit)}
    for limit in drawn:
        panel.axes.axhline(limit, color=SLA_COLOUR, lw=1.1, ls=(0, (6, 3)), zorder=1.5)
        placer.block_steps([panel.across.low, panel.across.high], [limit, limit])
    return drawn


def add_labels(panel: Panel, placer: LabelPlacer, limits: dict[float, str]) -> None:
    """Write who joined or left, who moved most, the limits and batch sizes; what matters first.

    A label for which no place is free is left out.
    """
    comparison = panel.comparison
    names = _short_names(panel)
    said: set[str] = set()
    lost = {found.label for found in comparison.decision.lost}
    for moved, is_new, colour in (
        (panel.moved(comparison.left, "before"), False, COLOURS["worse"]),
        (panel.moved(comparison.joined, "after"), True, AFTER_COLOUR),
    ):
        for move, configuration in moved[:_MAX_NAMED]:
            word = "joined" if is_new else "lost" if move.label in lost else "left"
            _mark(panel, placer, configuration, is_new=is_new)
            text = f"{word}: {one_line(names.get(move.label, move.label), limit=44)}"
            if _write(panel, placer, configuration, text, colour):
                said.add(move.label)
    _write_losses(panel, placer, names, said)
    for limit, text in limits.items():
        placer.on_level(text, limit, fontsize=8.5, color=SLA_COLOUR, **_halo())
    placer.in_corner("better ↘", fontsize=9.5, color="#5f6368", style="italic")
    _write_batch_sizes(panel, placer)


def legend_entries(panels: Sequence[Panel], *, has_band: bool) -> list[Line2D]:
    """Return what every mark means, and the figures that the picture does not show."""
    comparison = panels[0].comparison
    before, after = side_names(comparison)
    handles = [
        legend_mark(_wrapped(f"before: {before}"), linestyle="-", lw=2.0, color=BEFORE_COLOUR,
                    marker="o", markersize=7, markerfacecolor="white", markeredgewidth=1.6),
        legend_mark(_wrapped(f"after: {after}"), linestyle="-", lw=2.4, color=AFTER_COLOUR,
                    marker="o", markersize=5.5),
    ]  # fmt: skip
    if any(panel.before for panel in panels):
        share = limit_text(comparison.decision.thresholds.pass_below)
        name = "noise: 95% of resampled\nbaseline frontiers" if has_band else f"±{share} of latency"
        look = {"lw": 8, "alpha": BAND_ALPHA + 0.1, "solid_capstyle": "butt"}
        handles.append(legend_mark(name, color=BEFORE_COLOUR, linestyle="-", **look))
    return [
        *handles,
        *_arrows(comparison, panels),
        *_moves(comparison),
        *_figures(comparison),
        *_points(comparison),
    ]


def _arrows(comparison: Comparison, panels: Sequence[Panel]) -> list[Line2D]:
    counts = Counter(direction_of(comparison, m) for panel in panels for m in panel.matches)
    words: dict[Direction, str] = {
        "worse": "worse", "better": "better", "noise": "within the noise",
    }  # fmt: skip
    shown = [
        legend_mark(f"{words[d]}: {counts[d]} of {counts.total()}", marker=">",
                    markersize=7, linestyle="-", lw=2.0, color=COLOURS[d])
        for d in words
        if counts[d]
    ]  # fmt: skip
    if not shown:
        return [legend_mark("nothing matched"), legend_mark("no configuration in both", marker="")]
    return [legend_mark("moved, old to new"), *shown]


def _moves(comparison: Comparison) -> list[Line2D]:
    handles = []
    if comparison.left:
        handles.append(
            legend_mark(f"left the frontier: {len(comparison.left)}", marker="x", markersize=8,
                        color=COLOURS["worse"], markeredgewidth=2.2)
        )  # fmt: skip
    if comparison.joined:
        handles.append(
            legend_mark(f"joined it: {len(comparison.joined)}", marker="o", markersize=11,
                        markerfacecolor="none", color=AFTER_COLOUR, markeredgewidth=1.6)
        )  # fmt: skip
    return [*handles, legend_mark("numbers: max batch size", marker="")]


def _figures(comparison: Comparison) -> list[Line2D]:
    decision, report = comparison.decision, comparison.baseline.report
    lines = [
        f"{measure_label(report, m)}:\n{loss_text(decision.by_measure[m])}"
        for m in MEASURES
        if m in decision.by_measure
    ]
    curves = short_names([h.curve for h in comparison.hypervolumes], separator=" · ")
    for found in comparison.hypervolumes[:_MAX_POINTS]:
        ends = "" if found.interval is None else (
            f" ({found.interval.low:.2f} to {found.interval.high:.2f})"
        )  # fmt: skip
        named = f" {one_line(curves[found.curve], limit=60)}" if found.curve else ""
        lines.append(f"{_wrapped(f'hypervolume{named}:')}\n×{found.ratio:.2f}{ends}")
    if not lines:
        return []
    return [legend_mark("in the mean"), *(legend_mark(line, marker="") for line in lines)]


def _points(comparison: Comparison) -> list[Line2D]:
    changes = comparison.operating_points[:_MAX_POINTS]
    if not changes:
        return []
    handles = [legend_mark("operating points now")]
    for change in changes:
        cost = "nothing does it" if change.best_now is None else cost_text(change)
        met = "" if change.still_meets is not False else "SLA missed; best now "
        text = _wrapped(f"{one_line(goal_name(comparison, change), limit=30)}: {met}{cost}")
        handles.append(legend_mark(text, marker=""))
    return handles


def _limits(panel: Panel) -> dict[float, str]:
    """Return each limit on the latency objective, with the goals that set it and what became."""
    report, latency = panel.report, panel.report.latency
    met: dict[str, list[bool | None]] = {}
    for change in panel.comparison.operating_points:
        met.setdefault(change.goal, []).append(change.still_meets)
    by_limit: dict[float, list[str]] = {}
    for goal in goals(report.run):
        if latency in goal.subject_to:
            state = _state(met.get(goal.name, []))
            name = one_line(goal.name, limit=24)
            by_limit.setdefault(goal.subject_to[latency], []).append(f"{name}{state}")
    return {
        limit: f"{short_label(latency)} ≤ {with_unit(latency, limit)} ({'; '.join(names[:2])})"
        for limit, names in sorted(by_limit.items())[:_MAX_LIMITS]
    }


def _state(met: Sequence[bool | None]) -> str:
    if False in met:
        return ", NO LONGER MET"
    return ", still met" if met and all(met) else ""


def _mark(panel: Panel, placer: LabelPlacer, configuration: Configuration, *, is_new: bool) -> None:
    place = panel.place(configuration)
    if place is None:
        return
    if is_new:
        panel.axes.scatter(
            *place, s=150, facecolor="none", edgecolor=AFTER_COLOUR, lw=1.6, zorder=4.5
        )
        panel.axes.scatter(*place, s=34, color=AFTER_COLOUR, edgecolor="white", lw=0.7, zorder=5)
    else:
        panel.axes.scatter(*place, s=58, color="white", edgecolor=BEFORE_COLOUR, lw=1.6, zorder=3)
        panel.axes.scatter(*place, s=62, marker="x", color=COLOURS["worse"], lw=2.2, zorder=5.5)
    placer.block_point(*place, radius_px=10.0)


def _write(
    panel: Panel, placer: LabelPlacer, configuration: Configuration, text: str, colour: str
) -> bool:
    place = panel.place(configuration)
    look: dict[str, Any] = {"fontsize": 8.5, "weight": "bold", "color": colour, **_halo()}
    return place is not None and placer.at_point(text, *place, **look)


def _write_losses(panel: Panel, placer: LabelPlacer, names: dict[str, str], said: set[str]) -> None:
    """Write beside those that count how far they moved, the furthest first.

    They are named where they regressed alone; where most of them did, the names say nothing.
    """
    comparison = panel.comparison
    alone = {c.match.key for c in regressions(comparison.decision)}
    if 2 * len(alone) > len(comparison.decision.configurations):
        alone = set()
    written: list[tuple[str, float, float]] = []
    for direction in ("worse", "better"):
        moved = [
            (m.key in alone, abs(plane_loss(comparison, m) or 0.0), m)
            for m in panel.matches
            if m.is_gating and m.label not in said and direction_of(comparison, m) == direction
        ]
        for is_alone, size, match in sorted(moved, key=lambda f: (-f[0], -f[1]))[:_MAX_LOSSES]:
            place = panel.place(match.after)
            if place is None:
                continue
            px, py = panel.pixel(place)
            named = f"{one_line(names.get(match.label, match.label), limit=44)}: "
            text = f"{named if is_alone else ''}{share_text(size)} {direction}"
            if any(t == text and math.hypot(px - x, py - y) < _NEAR_PX for t, x, y in written):
                continue
            if _write(panel, placer, match.after, text, COLOURS[direction]):
                written.append((text, px, py))


def _write_batch_sizes(panel: Panel, placer: LabelPlacer) -> None:
    look: dict[str, Any] = {"fontsize": 8.5, "color": INK, **_halo()}
    said: list[tuple[str, float, float]] = []
    for configuration in (*panel.after, *panel.before):
        place = panel.place(configuration)
        if place is None:
            continue
        text, (px, py) = batch_cell(configuration.settings), panel.pixel(place)
        if any(t == text and abs(px - x) + abs(py - y) < 60 for t, x, y in said):
            continue
        if placer.at_point(text, *place, near_only=True, **look):
            said.append((text, px, py))


def _short_names(panel: Panel) -> dict[str, str]:
    labels = [m.label for m in panel.matches]
    found = [
        *panel.moved(panel.comparison.joined, "after"),
        *panel.moved(panel.comparison.left, "before"),
    ]
    return short_names(list(dict.fromkeys([*labels, *(move.label for move, _ in found)])))


def _halo() -> dict[str, Any]:
    # where no place is free of lines, the letters stand before them
    from matplotlib.patheffects import withStroke

    return {"zorder": 6, "path_effects": [withStroke(linewidth=2.5, foreground="white")]}


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WRAP)
