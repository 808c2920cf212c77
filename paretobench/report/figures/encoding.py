"""How a configuration looks: colour is the variant where there are several, else the wait timeout
(or the KV budget, where that alone is swept); shape is the load, hollow not valid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from paretobench.analysis.configurations import Configuration
from paretobench.report.figures.canvas import INK, MUTED
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
VERDICT_MARKS = {"overloaded": None, "failed": "x", "out_of_memory": "+"}
_MAX_LEGEND_COLOURS = 7
# told apart by the colour-blind (after Okabe and Ito), dark enough for a line on white paper
_VARIANT_COLOURS = ("#222222", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b08600", "#56b4e9")
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

    The value of a variant is its place among `variants`, which is empty where colour says more.
    """

    shows_kv_budget: bool
    colours: dict[float, str]
    variants: tuple[str, ...] = ()

    @property
    def heading(self) -> str:
        """What the legend calls it."""
        if self.variants:
            return "variant"
        return "KV budget" if self.shows_kv_budget else "wait timeout"

    @property
    def values(self) -> list[float]:
        """The values swept, rising."""
        return sorted(self.colours)

    def value_of(self, configuration: Configuration) -> float:
        """Return the value that a configuration's colour stands for."""
        if self.variants:
            return self.variants.index(configuration.settings.variant or "")
        return _kv_budget(configuration) if self.shows_kv_budget else _wait(configuration)

    def of(self, configuration: Configuration) -> str:
        """Return a configuration's colour."""
        return self.colours[self.value_of(configuration)]

    def label(self, value: float) -> str:
        """Return a value as people read it."""
        if self.variants:
            return one_line(self.variants[int(value)], limit=27)
        if not self.shows_kv_budget:
            return wait_label(value)
        return "no limit" if math.isinf(value) else f"{value:,.0f} tokens"


def colour_scale(
    configurations: Sequence[Configuration], variants: tuple[str, ...] = ()
) -> ColourScale:
    """Return the scale of `variants`, where there are any; else of wait timeouts, or of KV budgets
    where those vary and no timeout does."""
    if variants:
        colours = {
            float(i): _VARIANT_COLOURS[i % len(_VARIANT_COLOURS)] for i in range(len(variants))
        }
        return ColourScale(shows_kv_budget=False, colours=colours, variants=variants)
    waits = {_wait(c) for c in configurations}
    budgets = {_kv_budget(c) for c in configurations}
    prefills = {c.settings.max_prefill_tokens_per_step for c in configurations}
    shows_kv_budget = len(waits) == len(prefills) == 1 < len(budgets)
    return ColourScale(
        shows_kv_budget=shows_kv_budget,
        colours=ordered_colours(budgets if shows_kv_budget else waits),
    )


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


def dot(label: str, colour: str = MUTED, marker: str = "o", *, hollow: bool = False) -> Line2D:
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
