"""Data small enough to stand in a page: columns of short numbers, deflated."""

from __future__ import annotations

import base64
import json
import math
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

SHOWN_DIGITS = 5  # of a figure
INTERVAL_DIGITS = 4
CURVE_DIGITS = 3  # of a distribution or a timeline: finer than a pixel
INFINITE = "infinite"  # JSON has no number for it, and any text could be a name

Cell = float | int | dict[str, int] | None


def packed(document: Any) -> str:
    """Return a document as base64 of deflated JSON; equal documents give equal text.

    Raises ValueError where a number is not finite: `cell` says what stands for those.
    """
    text = json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return deflated(text)


def deflated(text: str) -> str:
    """Return a text as base64 of its deflated UTF-8."""
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode("ascii")


def cell(value: float | None, digits: int | None = None) -> Cell:
    """Return a figure for JSON, rounded to significant digits; exact where none are given.

    >>> cell(1234.5678, 5), cell(3.0), cell(None), cell(float("inf")), cell(float("nan"))
    (1234.6, 3, None, {'infinite': 1}, None)
    """
    if value is None or math.isnan(value):
        return None
    if math.isinf(value):
        return {INFINITE: 1 if value > 0 else -1}
    short = float(value if digits is None else f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 2**53 else short


def column(values: Iterable[float | None], digits: int | None = None) -> list[Cell]:
    """Return a column of figures for JSON."""
    return [cell(value, digits) for value in values]


def coded(values: Sequence[str]) -> dict[str, list[Any]]:
    """Return texts as their distinct values and a place among these for each.

    >>> coded(["a", "b", "a"])
    {'values': ['a', 'b'], 'codes': [0, 1, 0]}
    """
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    return {"values": list(places), "codes": [places[value] for value in values]}
