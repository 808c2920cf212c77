"""One curve in `compare.png`: both frontiers, the band of noise, arrows, who joined or left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, Literal

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.frontier import curve_of
from paretobench.analysis.run_intervals import t_quantile
from paretobench.gate.text import metric_of_measure
from paretobench.gate.values import MEASURES, Comparison, FrontierMove, Match, Measure
from paretobench.report.figures.frontier import staircase
from paretobench.report.figures.labels import LabelPlacer
from paretobench.report.figures.scales import Scale
from paretobench.report.model import Report
from paretobench.report.settings_text import configuration_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Direction = Literal["worse", "better", "noise"]
Curve = tuple[str | None, str]
BEFORE_COLOUR = "#8492a8"  # grey-blue: what was
AFTER_COLOUR = "#0b3d91"
# apart for the colour-blind, and the dark one is the one to look at
COLOURS: dict[Direction, str] = {"worse": "#c8401a", "better": "#009e73", "noise": "#9aa0a6"}
BAND_ALPHA = 0.22
_NUM_PIECES = 12
_HEAD_FROM_PX = 14.0  # a shorter arrow is a line: its head would hide it


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """The axes of one curve, or of all where each side has one, with what stands in it."""

    axes: Axes
    comparison: Comparison
    name: str
    curve: Curve | None  # None: the only one
    before: tuple[Configuration, ...]
    after: tuple[Configuration, ...]
    matches: tuple[Match, ...]
    across: Scale
    up: Scale

    @property
    def report(self) -> Report:
        """The baseline's report, whose objectives are the axes."""
        return self.comparison.baseline.report

    def place(self, configuration: Configuration) -> tuple[float, float] | None:
        """Return where a configuration stands, None where it is not on the axes."""
        place = place_of(self.report, configuration)
        if place is None or not (self.across.holds(place[0]) and self.up.holds(place[1])):
            return None
        return place

    def pixel(self, place: tuple[float, float]) -> tuple[float, float]:
        """Return a place in pixels."""
        x, y = self.axes.transData.transform(place)
        return float(x), float(y)

    def moved(self, moves: tuple[FrontierMove, ...], side: Literal["before", "after"]) -> list[
        tuple[FrontierMove, Configuration]
    ]:  # fmt: skip
        """Return those that joined or left this curve, with their configuration of one side."""
        front = self.before if side == "before" else self.after
        by_label = {configuration_label(c.settings, self._varied(side)): c for c in front}
        for match in self.matches:
            by_label.setdefault(match.label, match.before if side == "before" else match.after)
        return [(move, by_label[move.label]) for move in moves if move.label in by_label]

    def _varied(self, side: Literal["before", "after"]) -> frozenset[str]:
        sides = {"before": self.comparison.baseline, "after": self.comparison.candidate}
        return sides[side].report.varied


def place_of(report: Report, configuration: Configuration) -> tuple[float, float] | None:
    """Return a configuration's two objectives, None where one is missing or infinite."""
    x = configuration.figures.get(report.throughput)
    y = configuration.figures.get(report.latency)
    if x is None or y is None or not (math.isfinite(x) and math.isfinite(y)):
        return None
    return x, y


def direction_of(comparison: Comparison, match: Match) -> Direction:
    """Return whether a configuration moved in the plane by more than its noise, and where to.

    What counts is the mean loss of the two objectives: it must exceed `max_loss`, and an interval
    of one of them must leave out 0. Where there is no interval, it must exceed `single_margin`.
    """
    loss = plane_loss(comparison, match)
    limits = comparison.decision.thresholds
    if loss is None or abs(loss) < limits.max_loss:
        return "noise"
    shown = [_ends(comparison, match, measure) for measure in _objectives(comparison)]
    ends = [found for found in shown if found is not None]
    clear = any(low > 0 if loss > 0 else high < 0 for low, high in ends)
    if not ends:
        clear = abs(loss) > limits.single_margin
    if not clear:
        return "noise"
    return "worse" if loss > 0 else "better"


def _objectives(comparison: Comparison) -> list[Measure]:
    report = comparison.baseline.report
    objectives = (report.throughput, report.latency)
    return [m for m in MEASURES if metric_of_measure(report, m) in objectives]


def _ends(comparison: Comparison, match: Match, measure: Measure) -> tuple[float, float] | None:
    """Return a loss's interval: that of the decision, else a t interval over the paired runs."""
    own = next((c for c in comparison.decision.configurations if c.match.key == match.key), None)
    if own is not None:
        interval = own.losses[measure].interval if measure in own.losses else None
        return None if interval is None else (interval.low, interval.high)
    before, after = match.baseline.get(measure, ()), match.candidate.get(measure, ())
    if len(before) != len(after) or len(before) < 2 or min(*before, *after) <= 0:
        return None
    sign = -1.0 if measure == "throughput" else 1.0
    ratios = [sign * math.log(b / a) for a, b in zip(before, after, strict=True)]
    half = t_quantile(len(ratios) - 1) * stdev(ratios) / math.sqrt(len(ratios))
    return fmean(ratios) - half, fmean(ratios) + half


def plane_loss(comparison: Comparison, match: Match) -> float | None:
    """Return how much worse a configuration stands in the plane: the mean over both objectives."""
    report = comparison.baseline.report
    old, new = place_of(report, match.before), place_of(report, match.after)
    if old is None or new is None or min(*old, *new) <= 0:
        return None
    (x0, y0), (x1, y1) = old, new
    return math.expm1((math.log(x0 / x1) + math.log(y1 / y0)) / 2)


def draw_band(panel: Panel) -> bool:
    """Draw where 95% of the baseline's resampled frontiers lie; False where that is not known:
    then the band is as wide as the loss below which a comparison passes."""
    report = panel.report
    curve = panel.curve or (curve_of(panel.before[0]) if panel.before else None)
    found = next((u for u in report.uncertainties if u.curve == curve), None)
    look: dict[str, Any] = {"color": BEFORE_COLOUR, "alpha": BAND_ALPHA, "lw": 0, "zorder": 1.2}
    if found is not None and found.band is not None:
        band = found.band
        top = max((high for high in band.high if math.isfinite(high)), default=math.inf)
        panel.axes.fill_between(
            [panel.across.clipped(x) for x in band.throughput],
            [panel.up.clipped(low) for low in band.low],
            [
                panel.up.clipped(min(high, max(top, low)))
                for low, high in zip(band.low, band.high, strict=True)
            ],
            where=[math.isfinite(low) for low in band.low],
            step="pre",
            **look,
        )
        return True
    if panel.before:
        xs, ys = staircase(panel.before, report)
        share = panel.comparison.decision.thresholds.pass_below
        low, high = [y * (1 - share) for y in ys], [y * (1 + share) for y in ys]
        panel.axes.fill_between(xs, low, high, **look)
    return False


def draw_fronts(panel: Panel, placer: LabelPlacer) -> None:
    """Draw both staircases, the baseline's behind."""
    for front, colour, width, order in (
        (panel.before, BEFORE_COLOUR, 2.0, 2.0),
        (panel.after, AFTER_COLOUR, 2.4, 2.2),
    ):
        if front:
            xs, ys = staircase(front, panel.report)
            panel.axes.plot(xs, ys, color=colour, lw=width, zorder=order, solid_capstyle="round")
            placer.block_steps(xs, ys)


def draw_matches(panel: Panel, placer: LabelPlacer) -> None:
    """Draw every matched configuration's old and new point, and an arrow from one to the other."""
    fronts = {c.settings.configuration_id for c in (*panel.before, *panel.after)}
    for match in panel.matches:
        places = panel.place(match.before), panel.place(match.after)
        if places[0] is None or places[1] is None:
            continue
        ids = {c.settings.configuration_id for c in (match.before, match.after)}
        _draw_match(panel, match, (places[0], places[1]), is_on_front=bool(ids & fronts))
        for place in (places[0], places[1]):
            placer.block_point(*place, radius_px=6.0)
        placer.block_steps(*_along(places[0], places[1]))


def _along(old: tuple[float, float], new: tuple[float, float]) -> tuple[list[float], list[float]]:
    # a slanting line, in pieces: labels keep off the box around each
    shares = [i / _NUM_PIECES for i in range(_NUM_PIECES + 1)]
    (x0, y0), (x1, y1) = old, new
    return [x0 + (x1 - x0) * s for s in shares], [y0 + (y1 - y0) * s for s in shares]


def _draw_match(
    panel: Panel,
    match: Match,
    places: tuple[tuple[float, float], tuple[float, float]],
    *,
    is_on_front: bool,
) -> None:
    direction = direction_of(panel.comparison, match)
    counts = is_on_front or match.is_gating
    alpha = 1.0 if counts else 0.45
    old, new = places
    panel.axes.scatter(
        *old, s=58 if counts else 26, color="white", edgecolor=BEFORE_COLOUR, lw=1.6, alpha=alpha,
        zorder=3,
    )  # fmt: skip
    panel.axes.scatter(
        *new, s=34 if counts else 15, color=AFTER_COLOUR, edgecolor="white", lw=0.7,
        alpha=alpha, zorder=5,
    )  # fmt: skip
    (ax, ay), (bx, by) = panel.pixel(old), panel.pixel(new)
    has_head = math.hypot(bx - ax, by - ay) >= _HEAD_FROM_PX
    panel.axes.annotate(
        "",
        xy=new,
        xytext=old,
        arrowprops={
            "arrowstyle": "-|>" if has_head else "-",
            "mutation_scale": 13 if counts else 8,
            "shrinkA": 0,
            "shrinkB": 2.0 if has_head else 0,
            "color": COLOURS[direction],
            "lw": (2.2 if counts else 1.4) if direction != "noise" else 1.2,
            "alpha": alpha if direction != "noise" else 0.5 * alpha,
        },
        zorder=4,
    )
