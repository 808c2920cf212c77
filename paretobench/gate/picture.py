"""compare.png: both frontiers, the band of noise, and arrows from old to new."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.frontier import curve_of
from paretobench.core.metrics import axis_label
from paretobench.gate.headline import headline
from paretobench.gate.picture_labels import add_labels, draw_limits, legend_entries
from paretobench.gate.picture_panel import (
    Curve,
    Panel,
    draw_band,
    draw_fronts,
    draw_matches,
    place_of,
)
from paretobench.gate.text import evidence_text, side_names
from paretobench.gate.values import Comparison, Match
from paretobench.report.figures.canvas import INK, MUTED, new_figure, render, style
from paretobench.report.figures.encoding import side_legend
from paretobench.report.figures.labels import LabelPlacer
from paretobench.report.figures.scales import latency_scale, throughput_scale
from paretobench.report.manifest import device_name, goals, is_simulated, model_name
from paretobench.report.text import one_line, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_PANELS = 6
_LEGEND_IN = 2.75
_LEFT_IN = 0.85
_COLUMNS = {1: 1, 2: 2, 3: 3, 4: 2, 5: 3, 6: 3}


def draw_comparison(comparison: Comparison) -> bytes:
    """Return the picture as PNG; equal comparisons give equal bytes.

    Each curve (variant or workload) has a panel of its own, at most 6 of them. Where neither side
    has a frontier it says so.
    """
    with style():
        return render(comparison_figure(comparison))


def comparison_figure(comparison: Comparison) -> Figure:
    """Return the picture, to be rendered in the package's style."""
    curves = _curves(comparison)
    shown = curves[:_MAX_PANELS]
    columns = _COLUMNS[max(1, len(shown))]
    rows = -(-len(shown) // columns) or 1
    width, height = {1: 10.0, 2: 13.0, 3: 16.0}[columns], {1: 6.2, 2: 10.2}[rows]
    figure = new_figure(
        headline(comparison), _subtitle(comparison, len(curves) - len(shown)),
        width_in=width, height_in=height,
    )  # fmt: skip
    grid = figure.add_gridspec(
        rows, columns, left=_LEFT_IN / width, right=1 - _LEGEND_IN / width,
        bottom=0.62 / height, top=1 - (0.83 if len(shown) < 2 else 1.05) / height,
        wspace=0.2, hspace=0.3,
    )  # fmt: skip
    if not shown or not any(before or after for _, before, after, _ in shown):
        _say_nothing(figure.add_subplot(grid[0, 0]), comparison)
        return figure
    panels, has_band = [], True
    for index, curve in enumerate(shown):
        axes = figure.add_subplot(grid[index // columns, index % columns])
        panel = _panel(axes, comparison, curve)
        has_band &= _draw_panel(panel) or not panel.before
        panels.append(panel)
    side_legend(panels[columns - 1].axes, legend_entries(panels, has_band=has_band))
    return figure


CurvePair = tuple[
    Curve | None, tuple[Configuration, ...], tuple[Configuration, ...], tuple[Match, ...]
]


def _curves(comparison: Comparison) -> list[CurvePair]:
    """Return each curve with both frontiers and its matches; one curve a side is one curve."""
    old, new = comparison.baseline.report.curves, comparison.candidate.report.curves
    if len(old) <= 1 and len(new) <= 1:
        before, after = next(iter(old.values()), []), next(iter(new.values()), [])
        return [(None, tuple(before), tuple(after), comparison.matches)]
    return [
        (
            curve,
            tuple(old.get(curve, ())),
            tuple(new.get(curve, ())),
            tuple(m for m in comparison.matches if curve_of(m.before) == curve),
        )
        for curve in dict.fromkeys([*old, *new])
    ]


def _panel(axes: Axes, comparison: Comparison, of: CurvePair) -> Panel:
    curve, before, after, matches = of
    report = comparison.baseline.report
    fronts = {c.settings.configuration_id for c in (*before, *after)}
    drawn = [*before, *after]
    for match in matches:
        ids = {c.settings.configuration_id for c in (match.before, match.after)}
        if match.is_gating or ids & fronts:
            drawn += [match.before, match.after]
    places = [place for c in drawn if (place := place_of(report, c)) is not None]
    limits = [
        goal.subject_to[report.latency]
        for goal in goals(report.run)
        if report.latency in goal.subject_to
    ]
    panel = Panel(
        axes=axes, comparison=comparison, name=_name(comparison, curve), curve=curve,
        before=before, after=after, matches=matches,
        across=throughput_scale([x for x, _ in places]),
        up=latency_scale([y for _, y in places], limits),
    )  # fmt: skip
    panel.across.apply(axes, "x")
    panel.up.apply(axes, "y")
    axes.set_xlabel(f"{axis_label(report.throughput)}  → better")
    axes.set_ylabel(f"{axis_label(report.latency)}  ← better")
    if panel.name:
        axes.set_title(panel.name, loc="left", fontweight="bold")
    return panel


def _draw_panel(panel: Panel) -> bool:
    """Draw everything in a panel; return whether its band is that of resampled frontiers."""
    placer = LabelPlacer(panel.axes)
    limits = draw_limits(panel, placer)
    is_resampled = draw_band(panel)
    draw_fronts(panel, placer)
    draw_matches(panel, placer)
    for front, side in (
        (panel.before, panel.comparison.baseline),
        (panel.after, panel.comparison.candidate),
    ):
        if not front:
            text = f"no frontier in the {side.name}: nothing valid"
            placer.in_corner(text, fontsize=10, weight="bold", color=MUTED)
    add_labels(panel, placer, limits)
    return is_resampled


def _name(comparison: Comparison, curve: Curve | None) -> str:
    if curve is None:
        return ""
    reports = comparison.baseline.report, comparison.candidate.report
    variant, workload = curve
    parts = [variant or ""] if any(report.variants for report in reports) else []
    parts += [workload] if any(len(report.workloads) > 1 for report in reports) else []
    return one_line(" · ".join(filter(None, parts)), limit=60)


def _subtitle(comparison: Comparison, num_left_out: int) -> str:
    before, after = side_names(comparison)
    runs = comparison.baseline.report.run, comparison.candidate.report.run
    parts = [f"{before} → {after}"]
    if any(map(is_simulated, runs)):
        parts.append("SIMULATED")
    for of in (model_name, device_name):
        parts += dict.fromkeys(name for run in runs if (name := of(run)))
    parts.append(evidence_text(comparison.decision))
    if comparison.decision.is_advisory:
        parts.append("ADVISORY: a stored baseline")
    if num_left_out:
        parts.append(f"{plural(num_left_out, 'more curve')} not drawn")
    return " · ".join(one_line(part, limit=70) for part in parts)


def _say_nothing(axes: Axes, comparison: Comparison) -> None:
    import textwrap

    axes.set_xticks([])
    axes.set_yticks([])
    lines: Sequence[str] = (
        "Neither run has a valid configuration.",
        one_line(comparison.decision.reason, limit=300),
    )
    look: dict[str, Any] = {"ha": "center", "transform": axes.transAxes}
    axes.text(0.5, 0.6, "Nothing to draw", weight="bold", size=13, color=INK, **look)
    text = textwrap.fill(" ".join(lines), 60)
    axes.text(0.5, 0.55, text, va="top", color=MUTED, **look)
