"""Whether figures are known as precisely as the scenario asks (`measure.precision`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from paretobench.analysis.configurations import Configuration

_FEWEST_RUNS = 2  # one run alone does not know how runs differ


def wanted_half_widths(
    precision: Mapping[str, float | None] | None, *, throughput: str
) -> dict[str, float]:
    """Return the half-width asked of each figure as a share of it; empty where none is.

    `precision` is that section of the scenario; its `throughput` is the figure of that name here.

    >>> wanted_half_widths({"throughput": 0.03, "p95_e2e": 0.05}, throughput="requests_per_s")
    {'requests_per_s': 0.03, 'p95_e2e_ms': 0.05}
    """
    return {
        throughput if name == "throughput" else f"{name}_ms": half_width
        for name, half_width in (precision or {}).items()
        if half_width is not None
    }


def half_width_of(configuration: Configuration, figure: str) -> float:
    """Return half of a figure's interval over runs as a share of it; inf where there is none."""
    interval = configuration.intervals.get(figure)
    value = configuration.figures.get(figure)
    if interval is None or value is None or len(configuration.runs) < _FEWEST_RUNS:
        return math.inf
    return interval.relative_half_width(value)


def too_wide(configuration: Configuration, wanted: Mapping[str, float]) -> dict[str, float]:
    """Return the half-width of each figure that is not known as precisely as wanted.

    A figure that the configuration does not have, such as the TPOT of one-token answers, is left
    out: no repeat would give it.
    """
    return {
        figure: found
        for figure, most in wanted.items()
        if configuration.figures.get(figure) is not None
        and (found := half_width_of(configuration, figure)) > most
    }


def judged(
    configurations: Sequence[Configuration], wanted: Mapping[str, float]
) -> list[Configuration]:
    """Return the configurations, each valid one told whether it is as precise as wanted."""
    if not wanted:
        return list(configurations)
    return [
        replace(c, precision="imprecise" if too_wide(c, wanted) else "met") if c.is_valid else c
        for c in configurations
    ]
