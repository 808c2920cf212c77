"""`adaptive.png`: how each controller moved its limit, and what that was worth in each phase."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from paretobench.analysis.phases import PhaseFigures
from paretobench.analysis.regret import PhaseRegret
from paretobench.report.controllers import Contest
from paretobench.report.figures.adaptive_limits import COLOURS, draw_arrivals, draw_limits
from paretobench.report.figures.canvas import INK, MUTED, fitted_y, new_figure, tick_text
from paretobench.report.manifest import provenance_line
from paretobench.report.model import Report
from paretobench.report.text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = ("o", "s", "D", "^", "v", "P")
_BEST_SINGLE = "#5f6368"
_HINDSIGHT = (0, (3, 1.5))
_PLACES = 14  # of markers across a panel, beyond which they shrink
_MAX_NAMED = 6  # phases whose factors stand under the panels; more have their number alone
_LEGEND_WIDTH = 26  # characters


def draw_adaptive(report: Report) -> Figure | None:
    """Return the figure of the first load under which controllers met fixed settings."""
    if not report.contests:
        return None
    contest = report.contests[0]
    others = len(report.contests) - 1
    more = f" · {others} more in report.md" if others else ""
    under = contest.load if contest.variant is None else f"{contest.variant}, {contest.load}"
    figure = new_figure(_title(contest), f"{under}{more} · {provenance_line(report.run)}")
    arrivals = figure.add_axes((0.075, 0.775, 0.715, 0.075))
    limits = figure.add_axes((0.075, 0.495, 0.715, 0.235))
    draw_arrivals(arrivals, contest)
    draw_limits(limits, contest)
    goodput = figure.add_axes((0.075, 0.085, 0.325, 0.285))
    tail = figure.add_axes((0.465, 0.085, 0.325, 0.285))
    _draw_by_phase(
        goodput, contest, lambda f: f.goodput_requests_per_s, lambda r: r.best_goodput, infinite=""
    )
    _draw_by_phase(tail, contest, lambda f: f.p95_e2e_ms, lambda r: r.best_p95_e2e_ms, infinite="∞")
    for axes, title in (
        (goodput, "good requests/s by phase (higher is better)"),
        (tail, "p95 E2E (ms) by phase (lower is better)"),
    ):
        axes.set_title(title, loc="left", size=9.5, color=INK)
    _add_legend(figure, contest)
    return figure


def _title(contest: Contest) -> str:
    """Return which controller did best, and whether that beats every fixed setting."""
    best = max(contest.regrets, key=lambda regret: regret.goodput or 0.0)
    if best.goodput is None or best.best_single_goodput is None:
        return "Controllers of the batch limit against fixed batch sizes"
    own, single = number(best.goodput), number(best.best_single_goodput)
    if best.beats_best_single:
        return f"{best.controller} beats every fixed setting: {own} good requests/s, not {single}"
    if len(contest.regrets) == 1:
        verdict = f"{best.controller} does not beat {best.best_single}"
        return f"{verdict}: {own} good requests/s against {single}"
    at_best = f"{own} good requests/s ({best.controller})"
    return f"No controller beats {best.best_single}: {at_best} against {single}"


def _draw_by_phase(
    axes: Axes,
    contest: Contest,
    figure_of: Callable[[PhaseFigures], float | None],
    best_of: Callable[[PhaseRegret], float | None],
    *,
    infinite: str,
) -> None:
    """Draw a figure of each phase: controllers, the best single fixed setting, and hindsight's.

    What is infinite stands at the upper edge, beside the sign `infinite`.
    """
    sets = [contest.fixed[contest.regrets[0].best_single], *contest.controllers.values()]
    places = len(sets) * len(contest.phases)
    size = 46 * min(1.0, _PLACES / places)
    edge: list[tuple[float, int]] = []
    drawn: list[float] = []
    for index, phase in enumerate(contest.regrets[0].phases):
        best = best_of(phase)
        if best is not None and math.isfinite(best):
            axes.hlines(best, index - 0.4, index + 0.4, color=INK, lw=1.2, ls=_HINDSIGHT, zorder=2)
            drawn.append(best)
        for place, figures in enumerate(sets):
            x = index + 0.7 * ((place + 0.5) / len(sets) - 0.5)
            value = figure_of(figures[index])
            if value is None:
                continue
            if math.isinf(value):
                edge.append((x, place))
                continue
            axes.scatter(x, value, **_mark(place), s=size, zorder=3, lw=0, clip_on=False)
            drawn.append(value)
    fitted_y(axes, drawn)
    if edge:
        _draw_edge(axes, edge, size, infinite)
    _name_phases(axes, [phase.label for phase in contest.phases])


def _draw_edge(axes: Axes, edge: Sequence[tuple[float, int]], size: float, sign: str) -> None:
    """Make room above the values, and put there the markers of what never finished."""
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    logarithmic = axes.get_yscale() == "log"
    axes.set_ylim(low, high * (high / low) ** 0.22 if logarithmic else high * 1.22)
    axes.set_yticks(ticks, [tick_text(tick) for tick in ticks])
    axes.text(
        -0.015, 0.93, sign, transform=axes.transAxes, ha="right", va="center", size=13, color=INK
    )
    axes.plot([0, 1], [0.865, 0.865], transform=axes.transAxes, color=MUTED, lw=0.7)
    for x, place in edge:
        axes.scatter(
            x, 0.93, **_mark(place), transform=axes.get_xaxis_transform(), s=size, zorder=3, lw=0
        )


def _mark(place: int) -> dict[str, Any]:
    """Return colour and marker: first the best single fixed setting, then the controllers."""
    if place == 0:
        return {"color": _BEST_SINGLE, "marker": "X"}
    index = place - 1
    lap = index // len(COLOURS)
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": _MARKERS[(index + lap) % len(_MARKERS)],
    }


def _name_phases(axes: Axes, labels: Sequence[str]) -> None:
    """Name the phases under a panel, numbered where names come twice or are too many to read."""
    count = len(labels)
    names = list(labels)
    if count > _MAX_NAMED:
        every = math.ceil(count / 24)
        names = [str(i) if i % every == 0 else "" for i in range(1, count + 1)]
        axes.set_xlabel("phase of the cycle", labelpad=1, size=9)
    elif len(set(labels)) < count:
        names = [f"{i}. {label}" for i, label in enumerate(labels, start=1)]
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_xticks(range(count), names, fontsize=9.5 if count <= 4 else 8)
    axes.grid(visible=False, axis="x")


def _add_legend(figure: Figure, contest: Contest) -> None:
    from matplotlib.lines import Line2D

    single = f"best single fixed:\n{_wrapped(contest.regrets[0].best_single)}"
    handles = [
        Line2D([], [], **_mark(place), lw=1.6, label=_wrapped(name))
        for place, name in enumerate(contest.controllers, start=1)
    ]
    handles.append(Line2D([], [], **_mark(0), lw=0, label=single))
    best = "best fixed setting of each phase, in hindsight"
    handles.append(Line2D([], [], color=INK, lw=1.2, ls=_HINDSIGHT, label=_wrapped(best)))
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.80, 0.87), fontsize=8.5)


def _wrapped(text: str) -> str:
    lines = textwrap.wrap(text, _LEGEND_WIDTH) or [""]
    return "\n".join(lines[:4] if len(lines) <= 4 else [*lines[:3], f"{lines[3]}…"])
