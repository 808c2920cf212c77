"""Axis limits that the valid trials and the SLA need; a trial far off does not squash them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from paretobench.report.figures.canvas import plain_linear_axis, plain_log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LOG_LATENCY_FROM = 8.0
_LOG_THROUGHPUT_FROM = 20.0
_SLA_REACH = 5.0  # an SLA further than this from every valid trial is named, not drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The limits of one axis and whether it is logarithmic."""

    low: float
    high: float
    is_log: bool

    def holds(self, value: float) -> bool:
        """Return whether a value is on the axis."""
        return self.low <= value <= self.high

    def clipped(self, value: float, *, inset: float = 0.0) -> float:
        """Return the value, or the edge next to it; `inset` is a share of the axis's length."""
        if self.is_log:
            length = math.log(self.high / self.low)
            low = self.low * math.exp(inset * length)
            high = self.high * math.exp(-inset * length)
        else:
            length = self.high - self.low
            low, high = self.low + inset * length, self.high - inset * length
        return min(max(value, low), high)

    def apply(self, axes: Axes, which: str) -> None:
        """Set the axis `which` ("x" or "y")."""
        scale = plain_log_axis if self.is_log else plain_linear_axis
        scale(axes, which, self.low, self.high)


def throughput_scale(values: Sequence[float]) -> Scale:
    """Return the scale across for the valid trials' throughput."""
    return _scale(values, log_from=_LOG_THROUGHPUT_FROM, room=1.10)


def latency_scale(values: Sequence[float], limits: Sequence[float]) -> Scale:
    """Return the scale up for the valid trials' latency and the SLAs that are near them."""
    near = [
        limit
        for limit in limits
        if values and min(values) / _SLA_REACH <= limit <= max(values) * _SLA_REACH
    ]
    return _scale([*values, *near], log_from=_LOG_LATENCY_FROM, room=1.16)


def _scale(values: Sequence[float], *, log_from: float, room: float) -> Scale:
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low > 0 and high / low > log_from:
        margin = (high / low) ** 0.09
        return Scale(low=low / margin, high=high * margin, is_log=True)
    if low > 0.6 * high > 0:  # a cluster: starting at 0 would make one blot of it
        pad = 0.3 * (high - low) or 0.2 * high
        return Scale(low=low - pad, high=high + pad, is_log=False)
    if low < 0:
        pad = 0.1 * (high - low) or 1.0
        return Scale(low=low - pad, high=high + pad, is_log=False)
    return Scale(low=0.0, high=(high or 1.0) * room, is_log=False)
