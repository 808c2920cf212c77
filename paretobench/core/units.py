"""Units at the edge: inside, time is float seconds; files, CSV and CLI say milliseconds."""

from __future__ import annotations


def to_ms(seconds: float) -> float:
    """Return milliseconds.

    >>> to_ms(0.25)
    250.0
    """
    return seconds * 1e3


def to_s(milliseconds: float) -> float:
    """Return seconds.

    >>> to_s(250)
    0.25
    """
    return milliseconds / 1e3


def to_us(seconds: float) -> float:
    """Return microseconds.

    >>> to_us(3e-5)
    30.0
    """
    return seconds * 1e6
