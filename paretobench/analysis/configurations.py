"""Repeats of one configuration, taken together: the lucky run does not stand for all."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paretobench.core.points import Point, Settings
from paretobench.core.values import Verdict

# worst first: one bad repeat and the configuration cannot be trusted
_SEVERITY: tuple[Verdict, ...] = ("failed", "out_of_memory", "overloaded", "valid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One configuration under one load: the mean of its repeats' figures, its worst verdict.

    `settings` are those of the first repeat.
    """

    settings: Settings
    figures: Mapping[str, float | None]
    low_percentiles: tuple[str, ...]
    num_repeats: int
    verdict: Verdict
    reason: str

    @property
    def is_valid(self) -> bool:
        """Return whether every repeat was valid: only then may it stand on the frontier."""
        return self.verdict == "valid"


def combine_repeats(points: Sequence[Point]) -> list[Configuration]:
    """Return one Configuration for all points of a configuration, in the order first seen."""
    groups: dict[str, list[Point]] = {}
    for point in sorted(points, key=lambda p: p.settings.repeat):
        groups.setdefault(point.settings.configuration_id, []).append(point)
    first_seen = dict.fromkeys(p.settings.configuration_id for p in points)
    return [_combine(groups[configuration_id]) for configuration_id in first_seen]


def _combine(repeats: list[Point]) -> Configuration:
    worst = min(repeats, key=lambda point: _SEVERITY.index(point.verdict))
    low = dict.fromkeys(name for point in repeats for name in point.low_percentiles)
    names = dict.fromkeys(name for point in repeats for name in point.figures)
    return Configuration(
        settings=repeats[0].settings,
        figures={name: _mean([p.figures.get(name) for p in repeats]) for name in names},
        low_percentiles=tuple(low),
        num_repeats=len(repeats),
        verdict=worst.verdict,
        reason=worst.reason,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None
