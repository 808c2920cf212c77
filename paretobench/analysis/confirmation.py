"""What measuring the frontier again showed: how much the first figures flattered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from paretobench.analysis.configurations import Configuration, combine_repeats
from paretobench.core.points import Point


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """How many configurations were measured again, and the median of their first figure over that
    of the second measurement; None where no figure was measured both times."""

    num_configurations: int
    throughput_ratio: float | None
    latency_ratio: float | None


def confirmation_of(
    points: Sequence[Point],
    configurations: Sequence[Configuration],
    *,
    throughput: str,
    latency: str,
) -> Confirmation:
    """Return what the second measurements among `configurations` showed, `points` being all runs.

    `throughput` and `latency` name the two figures. A throughput ratio above 1 and a latency ratio
    below 1 are what choosing the best of many noisy figures gives.
    """
    explored = [point for point in points if point.settings.stage == "explore"]
    first = {c.settings.configuration_id: c for c in combine_repeats(explored)}
    pairs = [
        (first[c.settings.configuration_id], c)
        for c in configurations
        if c.is_confirmed and c.settings.configuration_id in first
    ]
    return Confirmation(
        num_configurations=sum(c.is_confirmed for c in configurations),
        throughput_ratio=_median_ratio(pairs, throughput),
        latency_ratio=_median_ratio(pairs, latency),
    )


def _median_ratio(
    pairs: Sequence[tuple[Configuration, Configuration]], figure: str
) -> float | None:
    ratios = []
    for before, again in pairs:
        was, now = before.figures.get(figure), again.figures.get(figure)
        if was is not None and now and math.isfinite(was) and math.isfinite(now):
            ratios.append(was / now)
    return median(ratios) if ratios else None
