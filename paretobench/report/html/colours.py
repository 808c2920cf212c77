"""The figures' colours for a page, on white paper and on a dark screen."""

from __future__ import annotations

from paretobench.report.figures.encoding import LOAD_MARKERS, VARIANT_COLOURS, colour_scale
from paretobench.report.figures.overlay import MARKERS
from paretobench.report.model import Report

_SYMBOLS = {
    "o": "circle",
    "^": "triangle-up",
    "s": "square",
    "D": "diamond",
    "h": "hexagon",
    "P": "cross",
    "8": "octagon",
    "v": "triangle-down",
    "X": "x",
}
DARK_PAPER = "#14171c"
_READABLE = 4.5


def load_symbol(load_kind: str) -> str:
    """Return plotly's name of a load kind's marker; an unknown one has a pentagon.

    >>> load_symbol("poisson"), load_symbol("another")
    ('triangle-up', 'pentagon')
    """
    return _SYMBOLS.get(LOAD_MARKERS.get(load_kind, ""), "pentagon")


def curve_colours() -> list[dict[str, str]]:
    """Return the colours of several runs' curves, those of `frontier.png`, in turn."""
    return [{"light": colour, "dark": for_dark(colour)} for colour in VARIANT_COLOURS]


def curve_symbols() -> list[str]:
    """Return plotly's names of the markers of several runs' curves, those of `frontier.png`."""
    return [_SYMBOLS[marker] for marker in MARKERS]


def point_colours(report: Report) -> tuple[str, list[dict[str, str]], list[int]]:
    """Return what colour says, its legend, and each configuration's place in that legend."""
    scale = colour_scale(report.configurations, report.variants)
    values = scale.values
    legend = [
        {
            "label": scale.label(value),
            "light": scale.colours[value],
            "dark": for_dark(scale.colours[value]),
        }
        for value in values
    ]
    return scale.heading, legend, [values.index(scale.value_of(c)) for c in report.configurations]


def for_dark(colour: str) -> str:
    """Return the colour, mixed with as much white as it needs to be seen on dark paper.

    >>> for_dark("#222222"), for_dark("#56b4e9")
    ('#838383', '#56b4e9')
    """
    channels = _channels(colour)
    for share in range(0, 100, 2):
        mixed = [round(c + (255 - c) * share / 100) for c in channels]
        lightened = "#" + "".join(f"{c:02x}" for c in mixed)
        if contrast(lightened, DARK_PAPER) >= _READABLE:
            return lightened
    return "#ffffff"


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours as WCAG 2 defines it, 1 to 21.

    >>> round(contrast("#000000", "#ffffff"))
    21
    """
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def _channels(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def _luminance(colour: str) -> float:
    shares = [c / 255 for c in _channels(colour)]
    linear = [s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
