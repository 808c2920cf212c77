"""How a configuration looks: colour is the variant where there are several, else the policy and
arrangement where several were swept, else the wait timeout (or the KV budget, where that alone is);
shape is the load, hollow not valid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from paretobench.analysis.configurations import Configuration
from paretobench.core.points import Settings
from paretobench.report.figures.canvas import INK, MUTED
from paretobench.report.settings_text import (
    combination_label,
    combination_order,
    varied_settings,
)
from paretobench.report.text import one_line, wait_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend
    from matplotlib.lines import Line2D

LOAD_MARKERS = {
    "closed_loop": "o",
    "poisson": "^",
    "constant": "s",
    "gamma": "D",
    "trace": "h",
    "steps": "P",
    "sine": "8",
    "burst": "v",
}
LOAD_NAMES = {"closed_loop": "closed loop"}
# what stands inside the hollow mark of a configuration that is not valid
VERDICT_MARKS: dict[str, str | tuple[int, Literal[2], int] | None] = {
    "overloaded": None,
    "too_short": ".",
    "nonstationary": "1",
    "client_limited": "_",
    "throttled": "|",
    "disturbed": (6, 2, 0),
    "out_of_memory": "+",
    "failed": "x",
}
# apart for the colour-blind, and in grey: a policy looks the same in every report
_POLICY_COLOURS = {"static": "#d55e00", "adaptive": "#009e73", "continuous": "#0072b2"}
_FURTHER_COLOURS = ("#cc79a7", "#7a4b00", "#56b4e9", "#222222")
# a hue for each arrangement, darker from policy to policy
_ARRANGEMENT_COLOURS = {
    "shared": ("#b9bec7", "#878e99", "#4b5563"),
    "priority": ("#86c1ea", "#3d94d1", "#005a9c"),
    "separate": ("#f5b183", "#e0813d", "#b84700"),
}
_MAX_LEGEND_COLOURS = 7
# told apart by the colour-blind (after Okabe and Ito), dark enough for a line on white paper
VARIANT_COLOURS = ("#222222", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b08600", "#56b4e9")
_HEADING = "heading"


def load_marker(load_kind: str) -> str:
    """Return the marker of a load kind; an unknown one has a pentagon."""
    return LOAD_MARKERS.get(load_kind, "p")


def load_name(load_kind: str) -> str:
    """Return a load kind as people say it."""
    return LOAD_NAMES.get(load_kind, load_kind.replace("_", " "))


def ordered_colours(values: Iterable[float]) -> dict[float, str]:
    """Return a colour for each value, dark to light by rising value, in colour and in grey."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    steps = sorted(set(values))
    scale = colormaps["viridis"]
    if len(steps) == 1:
        return {steps[0]: to_hex(scale(0.3))}
    # the last tenth is too pale for white paper
    return {v: to_hex(scale(0.04 + 0.84 * i / (len(steps) - 1))) for i, v in enumerate(steps)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourScale:
    """What colour says: `colours` by value, dark to light as values rise.

    A policy and arrangement has its place in `combinations` as its value, a variant in `variants`.
    """

    shows: Literal["wait timeout", "KV budget", "combination", "variant"]
    colours: dict[float, str]
    combinations: tuple[str, ...] = ()
    varied: frozenset[str] = frozenset()
    variants: tuple[str, ...] = ()

    @property
    def shows_kv_budget(self) -> bool:
        """Whether it is KV budgets."""
        return self.shows == "KV budget"

    @property
    def shows_combination(self) -> bool:
        """Whether it is policies, arrangements or both."""
        return self.shows == "combination"

    @property
    def heading(self) -> str:
        """What the legend calls it."""
        if not self.shows_combination:
            return self.shows
        named = (("policy", {"policy", "controller"}), ("arrangement", {"arrangement"}))
        return " · ".join(word for word, of in named if of & self.varied)

    @property
    def values(self) -> list[float]:
        """The values swept, rising."""
        return sorted(self.colours)

    def value_of(self, configuration: Configuration) -> float:
        """Return the value that a configuration's colour stands for."""
        if self.variants:
            return self.variants.index(configuration.settings.variant or "")
        if self.shows_combination:
            name = combination_label(configuration.settings, self.varied)
            return float(self.combinations.index(name))
        return _kv_budget(configuration) if self.shows_kv_budget else _wait(configuration)

    def of(self, configuration: Configuration) -> str:
        """Return a configuration's colour."""
        return self.colours[self.value_of(configuration)]

    def label(self, value: float) -> str:
        """Return a value as people read it."""
        if self.variants:
            return one_line(self.variants[int(value)], limit=27)
        if self.shows_combination:
            return self.combinations[int(value)]
        if not self.shows_kv_budget:
            return wait_label(value)
        return "no limit" if math.isinf(value) else f"{value:,.0f} tokens"


def colour_scale(
    configurations: Sequence[Configuration], variants: tuple[str, ...] = ()
) -> ColourScale:
    """Return the scale of `variants`, where there are any; else of policies and arrangements where
    they vary; else of wait timeouts, or of KV budgets where those vary and no timeout does."""
    if variants:
        colours = {
            float(i): VARIANT_COLOURS[i % len(VARIANT_COLOURS)] for i in range(len(variants))
        }
        return ColourScale(shows="variant", colours=colours, variants=variants)
    varied = varied_settings(c.settings for c in configurations)
    if varied & {"policy", "controller", "arrangement"}:
        return _combinations(configurations, varied)
    waits = {_wait(c) for c in configurations}
    budgets = {_kv_budget(c) for c in configurations}
    prefills = {c.settings.max_prefill_tokens_per_step for c in configurations}
    shows_kv_budget = len(waits) == len(prefills) == 1 < len(budgets)
    return ColourScale(
        shows="KV budget" if shows_kv_budget else "wait timeout",
        colours=ordered_colours(budgets if shows_kv_budget else waits),
    )


def _combinations(configurations: Sequence[Configuration], varied: frozenset[str]) -> ColourScale:
    """Return a scale with few colours that stay apart for every reader, and a policy's its own."""
    first = {combination_label(c.settings, varied): c.settings for c in configurations}
    names = sorted(first, key=lambda name: (combination_order(first[name]), name))
    colours: dict[float, str] = {}
    for value, name in enumerate(names):
        own = _combination_colour(first[name], varied)
        rest = [c for c in _FURTHER_COLOURS if c not in colours.values()]
        colours[float(value)] = own if own not in colours.values() or not rest else rest[0]
    return ColourScale(
        shows="combination", colours=colours, combinations=tuple(names), varied=varied
    )


def _combination_colour(settings: Settings, varied: frozenset[str]) -> str:
    if "arrangement" not in varied:
        return _POLICY_COLOURS.get(settings.policy, MUTED)
    shades = _ARRANGEMENT_COLOURS.get(settings.arrangement, (MUTED,) * 3)
    return shades[min(combination_order(settings)[1], 2) if "policy" in varied else 2]


def _wait(configuration: Configuration) -> float:
    return configuration.settings.max_waiting_time_ms


def _kv_budget(configuration: Configuration) -> float:
    budget = configuration.settings.kv_budget_tokens
    return math.inf if budget is None else budget


def thinned(values: Sequence[float]) -> list[float]:
    """Return at most 7 of the values for a legend, evenly spread, first and last among them."""
    if len(values) <= _MAX_LEGEND_COLOURS:
        return list(values)
    last = len(values) - 1
    count = _MAX_LEGEND_COLOURS
    return [values[round(i * last / (count - 1))] for i in range(count)]


def legend_mark(label: str, **look: Any) -> Line2D:
    """Return a legend entry; with no look at all it is a heading."""
    from matplotlib.lines import Line2D

    if not look:
        return Line2D([], [], label=label, linestyle="none", gid=_HEADING)
    return Line2D([], [], label=label, **{"linestyle": "none", **look})


def dot(
    label: str,
    colour: str = MUTED,
    marker: str | tuple[int, Literal[2], int] = "o",
    *,
    hollow: bool = False,
) -> Line2D:
    """Return the legend entry of a point."""
    return legend_mark(
        label,
        marker=marker,
        markersize=7.5,
        markerfacecolor="white" if hollow else colour,
        markeredgecolor=colour,
        markeredgewidth=1.3 if hollow else 0.8,
    )


def side_legend(axes: Axes, handles: Sequence[Line2D]) -> Legend:
    """Put the legend right of the axes, where no point can be; headings are bold."""
    page = axes.get_figure(root=True)
    assert page is not None  # axes are made by a figure
    for size in (8.5, 7.5, 6.5, 5.5):
        legend = axes.legend(
            handles=list(handles),
            loc="upper left",
            bbox_to_anchor=(1.015, 1.01),
            borderaxespad=0.0,
            fontsize=size,
            handletextpad=0.5,
            labelspacing=0.48,
            handlelength=1.6,
        )
        for handle, text in zip(handles, legend.get_texts(), strict=True):
            if handle.get_gid() == _HEADING:
                text.set_fontweight("bold")
                text.set_color(INK)
        extent = legend.get_window_extent()
        if extent.y0 >= 0 and extent.x1 <= page.bbox.x1:
            break
    return legend
