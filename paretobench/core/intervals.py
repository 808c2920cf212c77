"""How far a figure may be from what it estimates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

IntervalMethod = Literal["t_over_runs", "jackknife_over_runs", "block_within_run"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A two-sided 95% interval of a figure, in the figure's unit, and how it was found.

    `block_within_run` comes of one run alone: it knows nothing of how runs differ.
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
