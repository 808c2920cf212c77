"""The upper half of `adaptive.png`: what arrived, and where each controller had its limit."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from paretobench.core.values import LimitChange
from paretobench.report.controllers import Contest
from paretobench.report.courses import Course
from paretobench.report.figures.canvas import FAINT, INK, MUTED, tick_text
from paretobench.report.text import joined

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's, which differ for every kind of colour vision
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_RESTLESS = 60  # changes a cycle, from which on a line is drawn thin and light
_STUCK_SHARE = 0.25  # of the cycle, at its end, at a limit of 1
_SHIFT = 1.05  # between lines that would lie on one another
_MAX_NAMES = 60  # characters
_RATE_SAMPLES = 400


def draw_arrivals(axes: Axes, contest: Contest) -> None:
    """Draw the rate of arrivals over the cycle, as the load asks for it."""
    settings = next(iter(contest.courses.values())).point.settings
    profile = settings.profile()
    assert profile is not None, "contests are under loads that vary"
    base = (settings.offered_requests_per_s or 0.0) / profile.mean_factor
    times = np.linspace(0, profile.cycle_s, _RATE_SAMPLES, endpoint=False)
    rates = [base * profile.rate_factor(float(t)) for t in times]
    axes.fill_between(times, rates, step="post", color=FAINT, lw=0)
    axes.step(times, rates, where="post", color=MUTED, lw=1)
    top = max(rates) or 1.0
    axes.set_xlim(0, profile.cycle_s)
    axes.set_ylim(0, top * 1.15)
    axes.set_yticks([0, top], ["0", f"{top:.3g}"])
    axes.tick_params(labelbottom=False)
    axes.grid(visible=False)
    axes.set_title("requests/s that arrive", loc="left", size=9.5, color=INK, pad=3)


def draw_limits(axes: Axes, contest: Contest) -> None:
    """Draw the limit of each controller over the first cycle, on a scale of doublings."""
    phases = contest.phases
    cycle_s = phases[-1].end_s
    largest = 1
    stuck: list[str] = []
    for index, (name, course) in enumerate(contest.courses.items()):
        for line, (first, changes) in enumerate(_lines(course, cycle_s)):
            times = [0.0, *(c.at_s for c in changes), cycle_s]
            limits = [first, *(c.after for c in changes)]
            largest = max(largest, *limits)
            if limits[-1] == 1 and cycle_s - times[-2] >= _STUCK_SHARE * cycle_s:
                stuck.append(name)
            restless = len(changes) >= _RESTLESS
            axes.step(
                times,
                np.array([*limits, limits[-1]]) * _SHIFT ** (index - len(contest.courses) // 2),
                where="post",
                color=COLOURS[index % len(COLOURS)],
                lw=0.9 if restless else 2.2,
                ls=("-", "--", ":")[line % 3],
                alpha=0.65 if restless else 1.0,
                zorder=2.5 if restless else 3,
            )
    for phase in phases[1:]:
        axes.axvline(phase.start_s, color=MUTED, lw=0.7, ls=(0, (2, 2)), zorder=1)
    _doublings(axes, largest)
    axes.set_xlim(0, cycle_s)
    axes.set_title("batch limit (requests)", loc="left", size=9.5, color=INK, pad=3)
    axes.set_xlabel("time (s)", labelpad=1)
    if stuck:
        _say_stuck(axes, list(dict.fromkeys(stuck)), cycle_s)


def _lines(course: Course, cycle_s: float) -> Iterator[tuple[int, list[LimitChange]]]:
    """Yield where the limit began and how it moved in the first cycle, a line an engine."""
    settings = course.point.settings
    if not course.limit_changes:
        if first := settings.constants().get("initial_batch_size"):
            yield min(first, settings.max_batch_size), []
        return
    by_engine = sorted(course.limit_changes, key=lambda c: (c.engine or "", c.at_s))
    for _, changes in itertools.groupby(by_engine, key=lambda c: c.engine):
        found = list(changes)
        yield found[0].before, [c for c in found if c.at_s <= cycle_s]


def _doublings(axes: Axes, largest: int) -> None:
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    ticks = [2**k for k in range(largest.bit_length())]
    axes.set_yscale("log", base=2)
    axes.set_ylim(0.72, largest * 1.35)
    axes.yaxis.set_major_locator(FixedLocator(ticks[:: 1 + len(ticks) // 8]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))


def _say_stuck(axes: Axes, names: Sequence[str], cycle_s: float) -> None:
    who = joined(names)
    if len(who) > _MAX_NAMES:
        who = f"{len(names)} controllers" if len(names) > 1 else "a controller"
    axes.text(
        cycle_s * 0.995,
        1.3,
        f"{who}: stuck at 1",
        ha="right",
        va="bottom",
        size=9,
        weight="bold",
        color=INK,
        zorder=5,
        bbox={"facecolor": "white", "alpha": 0.8, "lw": 0, "pad": 1.5},
    )
