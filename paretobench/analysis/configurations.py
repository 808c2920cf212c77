"""Repeats of one configuration, taken together: the lucky run does not stand for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from paretobench.analysis.dependence import interval_notes
from paretobench.analysis.intervals import combine_figures, low_percentiles
from paretobench.core.intervals import Interval
from paretobench.core.points import Point, Settings
from paretobench.core.values import Verdict

# worst first: one bad repeat and the configuration cannot be trusted
_SEVERITY: tuple[Verdict, ...] = (
    "failed",
    "out_of_memory",
    "overloaded",
    "client_limited",
    "throttled",
    "disturbed",
    "nonstationary",
    "too_short",
    "valid",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """One configuration under one load: its repeats' figures together, its worst verdict.

    Percentiles are those of the pooled samples where these are at hand, other figures the mean.

    `runs` are the repeats that the figures come from: where the configuration was measured again
    because it stood on the frontier, those of then alone, since the first ones flatter. `settings`
    are those of the first, `intervals` those of the figures; `interval_notes` say why they should
    not be believed, where they should not; `precision` whether they are as narrow as the scenario
    asks, None where it asks nothing or the configuration is not valid.
    """

    settings: Settings
    figures: Mapping[str, float | None]
    low_percentiles: tuple[str, ...]
    num_repeats: int
    verdict: Verdict
    reason: str
    remedy: str = ""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    runs: tuple[Point, ...] = ()
    interval_notes: tuple[str, ...] = ()
    precision: Literal["met", "imprecise"] | None = None

    @property
    def binds(self) -> str:
        """What binds most of the runs; empty where that is not known."""
        return Counter(run.binds for run in self.runs).most_common(1)[0][0] if self.runs else ""

    @property
    def is_confirmed(self) -> bool:
        """Return whether the figures are those of a second measurement."""
        return self.settings.stage == "confirm"

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
    return [_combine(published(groups[configuration_id])) for configuration_id in first_seen]


def published(repeats: Sequence[Point]) -> list[Point]:
    """Return the runs that a configuration's figures come from: those of a second measurement,
    where there are any."""
    return [p for p in repeats if p.settings.stage == "confirm"] or list(repeats)


def worst_of(runs: Sequence[Point]) -> Point:
    """Return the run whose verdict is the worst, of several the first."""
    return min(runs, key=lambda run: _SEVERITY.index(run.verdict))


def _combine(repeats: list[Point]) -> Configuration:
    worst = worst_of(repeats)
    figures, intervals = combine_figures(repeats)
    return Configuration(
        settings=repeats[0].settings,
        figures=figures,
        low_percentiles=low_percentiles(repeats),
        num_repeats=len(repeats),
        verdict=worst.verdict,
        reason=worst.reason,
        remedy=worst.remedy,
        intervals=intervals,
        interval_notes=interval_notes(repeats, figures),
        runs=tuple(repeats),
    )
