"""How far a figure may be from what it estimates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from paretobench.core.metrics import LATENCY_KINDS, STATISTICS, qualified

IntervalMethod = Literal[
    "t_over_runs", "jackknife_over_runs", "block_within_run", "t_over_configurations"
]

RATES = (
    "output_tokens_per_s",
    "total_tokens_per_s",
    "requests_per_s",
    "goodput_requests_per_s",
)
# the figures that have intervals, in the order of METRICS
ESTIMATED = (
    *RATES,
    "sla_attainment",
    *(f"{statistic}_{kind}_ms" for kind in LATENCY_KINDS for statistic in STATISTICS),
    "tokens_per_joule",
)

METHOD_COLUMN = "interval_method"
INTERVAL_BOUNDS = tuple(f"{name}_{end}" for name in ESTIMATED for end in ("low", "high"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A two-sided 95% interval of a figure, in the figure's unit, and how it was found.

    `block_within_run` comes of one run alone, `t_over_configurations` of the differences between
    the configurations of one pair of runs: they know nothing of how runs differ.
    """

    low: float
    high: float
    method: IntervalMethod

    def relative_half_width(self, value: float) -> float:
        """Return half the width as a share of the figure; inf where that is 0 or not finite.

        >>> Interval(low=95.0, high=105.0, method="t_over_runs").relative_half_width(100.0)
        0.05
        """
        half = (self.high - self.low) / 2
        return half / abs(value) if value and math.isfinite(half + value) else math.inf


def interval_cells(intervals: Mapping[str, Interval], of_class: str | None) -> dict[str, Any]:
    """Return what a row of a CSV says of the intervals, of all requests or of a class: the columns
    of INTERVAL_BOUNDS, and which methods these are from."""
    own = {name: intervals.get(_name(of_class, name)) for name in ESTIMATED}
    cells: dict[str, Any] = {}
    for name, interval in own.items():
        cells[f"{name}_low"] = None if interval is None else interval.low
        cells[f"{name}_high"] = None if interval is None else interval.high
    methods = {interval.method for interval in own.values() if interval is not None}
    return {**cells, METHOD_COLUMN: " ".join(sorted(methods))}


def intervals_of_row(row: Mapping[str, Any], of_class: str | None) -> dict[str, Interval]:
    """Return the intervals of a row that holds those of one run, so by one method; none where it
    was written before there were intervals.

    Raises ValueError where the method is not known.
    """
    bounds = {name: (row.get(f"{name}_low"), row.get(f"{name}_high")) for name in ESTIMATED}
    known = {name: ends for name, ends in bounds.items() if None not in ends}
    method = row.get(METHOD_COLUMN)
    if known and method not in get_args(IntervalMethod):
        raise ValueError(f"expected one of {', '.join(get_args(IntervalMethod))}, found {method!r}")
    return {
        _name(of_class, name): Interval(
            low=cast(float, low), high=cast(float, high), method=cast(IntervalMethod, method)
        )
        for name, (low, high) in known.items()
    }


def _name(of_class: str | None, metric: str) -> str:
    return metric if of_class is None else qualified(of_class, metric)
