"""`adaptive.png`: how each controller moved its limit, and what that was worth in each phase."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from paretobench.analysis.regret import Regret
from paretobench.report.controllers import Contest
from paretobench.report.figures.canvas import FAINT, INK, MUTED, fitted_y, new_figure
from paretobench.report.manifest import provenance_line
from paretobench.report.model import Report
from paretobench.report.text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's, which differ for every kind of colour vision
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_MARKERS = ("o", "s", "D", "^", "v", "P")
_BEST_SINGLE = "#5f6368"
_MAX_CYCLES = 1


def draw_adaptive(report: Report) -> Figure | None:
    """Return the figure of the first load under which controllers met fixed settings."""
    if not report.contests:
        return None
    contest = report.contests[0]
    figure = new_figure(_title(contest), f"{contest.load} · {provenance_line(report.run)}")
    limits = figure.add_axes((0.075, 0.53, 0.715, 0.33))
    goodput = figure.add_axes((0.075, 0.105, 0.325, 0.315))
    tail = figure.add_axes((0.465, 0.105, 0.325, 0.315))
    _draw_limits(limits, contest)
    _draw_by_phase(goodput, contest, "goodput")
    _draw_by_phase(tail, contest, "p95")
    _add_legend(figure, contest)
    return figure


def _title(contest: Contest) -> str:
    best = max(contest.regrets, key=lambda regret: regret.goodput or 0.0)
    if best.goodput is None or best.best_single_goodput is None:
        return "Controllers of the batch limit against fixed batch sizes"
    verb = "beats" if best.beats_best_single else "does not beat"
    return (
        f"{best.controller} {verb} the best fixed setting, {best.best_single}: "
        f"{number(best.goodput)} against {number(best.best_single_goodput)} good requests/s"
    )


def _draw_limits(axes: Axes, contest: Contest) -> None:
    """Draw the limit of each controller over the first measured cycle, phases shaded by load."""
    phases = contest.phases
    cycle_s = phases[-1].end_s
    rates = [f.requests_per_s for f in next(iter(contest.controllers.values()))]
    top = max(rates) or 1.0
    largest = 1
    for colour, (_name, course) in zip(_COLOURS, contest.courses.items(), strict=False):
        changes = [c for c in course.limit_changes if c.at_s <= _MAX_CYCLES * cycle_s]
        first = course.limit_changes[0].before if course.limit_changes else None
        if first is None:
            continue
        times = [0.0, *(c.at_s for c in changes), cycle_s]
        values = [first, *(c.after for c in changes)]
        values.append(values[-1])
        largest = max(largest, *values)
        axes.step(times, values, where="post", color=colour, lw=1.6, alpha=0.9, zorder=3)
    for phase, rate in zip(phases, rates, strict=True):
        axes.axvspan(phase.start_s, phase.end_s, color=FAINT, alpha=0.15 + 0.6 * rate / top, lw=0)
        axes.text(
            (phase.start_s + phase.end_s) / 2,
            1.02,
            f"{phase.label}: {number(rate)} requests/s",
            transform=axes.get_xaxis_transform(),
            ha="center",
            va="bottom",
            size=8.5,
            color=MUTED,
        )
    axes.set_xlim(0, cycle_s)
    axes.set_ylim(0, largest * 1.1)
    axes.set_ylabel("batch limit (requests)")
    axes.set_xlabel("time (s)", labelpad=1)


def _draw_by_phase(axes: Axes, contest: Contest, which: str) -> None:
    """Draw a figure of each phase: controllers, the best single fixed setting, and hindsight's."""
    labels = [phase.label for phase in contest.phases]
    drawn: list[float] = []
    single = contest.fixed[contest.regrets[0].best_single]
    width = 0.62
    count = len(contest.regrets) + 1
    for index, label in enumerate(labels):
        best = _best_of(contest.regrets[0], index, which)
        own = (
            single[index].goodput_requests_per_s if which == "goodput" else single[index].p95_e2e_ms
        )
        entries = [(own, _BEST_SINGLE, "X")]
        for regret, colour, marker in zip(contest.regrets, _COLOURS, _MARKERS, strict=False):
            phase = regret.phases[index]
            value = phase.goodput if which == "goodput" else phase.p95_e2e_ms
            entries.append((value, colour, marker))
        for place, (value, colour, marker) in enumerate(entries):
            if value is None or not math.isfinite(value):
                continue
            x = index + width * ((place + 0.5) / count - 0.5)
            axes.scatter(x, value, color=colour, marker=marker, s=46, zorder=3, lw=0)
            drawn.append(value)
        if best is not None and math.isfinite(best):
            axes.hlines(best, index - 0.4, index + 0.4, color=INK, lw=1.4, ls=(0, (4, 2)), zorder=2)
            drawn.append(best)
        del label
    axes.set_xlim(-0.5, len(labels) - 0.5)
    axes.set_xticks(range(len(labels)), _numbered(labels))
    axes.grid(visible=False, axis="x")
    fitted_y(axes, drawn)
    title = (
        "goodput by phase (good requests/s) → better"
        if which == "goodput"
        else ("p95 E2E by phase (ms) ← better")
    )
    axes.set_title(title, loc="left", size=9.5, color=INK)


def _numbered(labels: list[str]) -> list[str]:
    """Return the labels, numbered where one comes twice."""
    if len(set(labels)) == len(labels):
        return labels
    return [f"{i}. {label}" for i, label in enumerate(labels, start=1)]


def _best_of(regret: Regret, index: int, which: str) -> float | None:
    phase = regret.phases[index]
    return phase.best_goodput if which == "goodput" else phase.best_p95_e2e_ms


def _add_legend(figure: Figure, contest: Contest) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, marker=marker, lw=1.6, label=regret.controller)
        for regret, colour, marker in zip(contest.regrets, _COLOURS, _MARKERS, strict=False)
    ]
    handles.append(
        Line2D(
            [],
            [],
            color=_BEST_SINGLE,
            marker="X",
            lw=0,
            label=f"best single fixed:\n{contest.regrets[0].best_single}",
        )
    )
    handles.append(
        Line2D([], [], color=INK, lw=1.4, ls=(0, (4, 2)), label="best fixed of\neach phase")
    )
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.80, 0.87), fontsize=8.5)
