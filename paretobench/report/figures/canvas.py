"""One look for every figure, and files of it whose bytes depend on the data alone."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150
INK = "#222222"
MUTED = "#5f6368"
FAINT = "#d9dce1"
_STYLE: Any = {
    "font.family": "sans-serif",
    # the first comes with matplotlib; whoever reads an SVG without it has one that is no wider
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 9.5,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "text.color": INK,
    "axes.edgecolor": "#9aa0a6",
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#eceef1",
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "legend.frameon": False,
    "svg.fonttype": "none",  # text as text: found, read aloud, changed for a talk
    "svg.hashsalt": "paretobench",  # or ids in the file are drawn at random
}


@contextmanager
def style() -> Iterator[None]:
    """Draw with this package's look, whatever the user's matplotlibrc says, and change nothing."""
    import matplotlib

    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def new_figure(
    title: str, subtitle: str, *, width_in: float = 10.0, height_in: float = 6.2
) -> Figure:
    """Return a figure with its message above and, smaller, what was measured under it."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), dpi=DPI)
    FigureCanvasAgg(figure)
    left, top = 0.22 / width_in, 1 - 0.2 / height_in
    _fitted(figure, left, top, title, sizes=(15, 14, 13, 12, 11, 10), weight="bold", color=INK)
    below = top - 0.32 / height_in
    _fitted(figure, left, below, subtitle, sizes=(9.5, 9, 8.5, 8), weight="normal", color=MUTED)
    return figure


def render(figure: Figure) -> bytes:
    """Return the figure as PNG without a version stamp: equal data gives equal bytes."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=DPI, metadata={"Software": None})
    return content.getvalue()


def render_svg(figure: Figure) -> bytes:
    """Return the figure as SVG with no date or version stamp: equal data gives equal bytes.

    Text is text, in the font that every PNG is drawn with or the reader's nearest to it; the
    file's title, which a screen reader says, is the figure's message.
    """
    content = io.BytesIO()
    message = figure.texts[0].get_text() if figure.texts else None
    stamps = {"Date": None, "Creator": None, "Title": message}
    figure.savefig(content, format="svg", metadata=stamps)
    return content.getvalue()


def log_ticks(low: float, high: float) -> list[float]:
    """Return the 1-2-5 ticks within [low, high], thinned to powers of ten where they are many.

    >>> log_ticks(90, 2500)
    [100, 200, 500, 1000, 2000]
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        values = [float(f"{step}e{decade}") for decade in decades for step in steps]
        ticks = [int(v) if v.is_integer() else v for v in values if low <= v <= high]
        if len(ticks) <= 10:
            break
    return list(ticks)


def tick_text(value: float) -> str:
    """Return a tick's label, never wider than the margin it stands in.

    >>> [tick_text(v) for v in (0.5, 2000, 100_000, 2_500_000)]
    ['0.5', '2,000', '100k', '2.5M']
    """
    if abs(value) >= 1e6:
        return f"{value / 1e6:,.5g}M"
    return f"{value / 1e3:g}k" if abs(value) >= 1e5 else f"{value:,.6g}"


def plain_log_axis(axes: Axes, which: str, low: float, high: float) -> None:
    """Scale `which` ("x" or "y") logarithmically, with ticks such as 100, 200, 500."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    if which == "x":
        axes.set_xscale("log")
        axes.set_xlim(low, high)
    else:
        axes.set_yscale("log")
        axes.set_ylim(low, high)
    axis.set_major_locator(FixedLocator(log_ticks(low, high)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))


def plain_linear_axis(axes: Axes, which: str, low: float, high: float) -> None:
    """Scale `which` linearly, with thousands separated."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis = axes.xaxis if which == "x" else axes.yaxis
    (axes.set_xlim if which == "x" else axes.set_ylim)(low, high)
    axis.set_major_locator(MaxNLocator(nbins=7, steps=[1, 2, 2.5, 5, 10]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: tick_text(value)))


def thin_ticks(axes: Axes, most: int = 5) -> None:
    """Leave at most `most` ticks across, evenly spread over those that are on the axis."""
    from matplotlib.ticker import FixedLocator

    low, high = axes.get_xlim()
    ticks = [tick for tick in axes.get_xticks() if low <= tick <= high]
    step = -(-len(ticks) // most)
    axes.xaxis.set_major_locator(FixedLocator(ticks[::step] if step > 1 else ticks))


def category_axis(axes: Axes, labels: Sequence[str]) -> None:
    """Give each of the labels one place across, at 0, 1, 2, …"""
    axes.set_xlim(-0.4, len(labels) - 0.6)
    size = 9.5 if len(labels) <= 7 else 8
    axes.set_xticks(range(len(labels)), list(labels), fontsize=size)
    if sum(map(len, labels)) > 45:
        axes.tick_params(axis="x", labelrotation=45)


def fitted_y(axes: Axes, values: Sequence[float]) -> None:
    """Scale y to the values: from 0, or logarithmic where they range over more than ×8."""
    positive = [value for value in values if value > 0]
    if positive and len(positive) == len(values) and max(values) > 8 * min(values):
        plain_log_axis(axes, "y", min(values) / 1.3, max(values) * 1.3)
    else:
        plain_linear_axis(axes, "y", 0, (max(values, default=0) or 1) * 1.12)


def _fitted(
    figure: Figure,
    left: float,
    top: float,
    text: str,
    *,
    sizes: Sequence[float],
    weight: str,
    color: str,
) -> None:
    artist = figure.text(left, top, text, va="top", ha="left", weight=weight, color=color)
    width = figure.get_figwidth() * DPI * (1 - 2 * left)
    for size in sizes:
        artist.set_fontsize(size)
        if artist.get_window_extent().width <= width:
            return
    while artist.get_window_extent().width > width and len(text) > 10:
        text = text[: int(len(text) * 0.95)]
        artist.set_text(f"{text}…")
