"""The runs of one configuration on both sides, pair by pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from paretobench.analysis.configurations import Configuration, published
from paretobench.core.points import Point
from paretobench.gate.sides import SideRuns

Numbered: TypeAlias = list[tuple[int, Point]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundRuns:
    """What counts of a configuration in one pair; `pairs` served the same requests."""

    before: tuple[Point, ...]
    after: tuple[Point, ...]
    pairs: tuple[tuple[Point, Point], ...]
    is_one_confirmed: bool

    @property
    def is_valid(self) -> bool:
        """Whether every run of both sides is valid."""
        return _are_valid(self.before) and _are_valid(self.after)

    @property
    def is_lost(self) -> bool:
        """Whether the baseline's runs are valid and the candidate's are not."""
        return _are_valid(self.before) and not _are_valid(self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationRuns:
    """What counts of a configuration by the pair's number, in the pairs that measured it twice."""

    rounds: tuple[tuple[int, RoundRuns], ...]

    @property
    def valid_rounds(self) -> tuple[tuple[int, RoundRuns], ...]:
        """The pairs in which every run of both sides is valid."""
        return tuple(entry for entry in self.rounds if entry[1].is_valid)

    def counted(self) -> tuple[Numbered, Numbered, bool]:
        """Return the valid runs of each side with their pair's number, and whether they are paired.

        They are if any has a partner: those that have none would then only add noise.
        """
        pairs = [(n, pair) for n, of_round in self.valid_rounds for pair in of_round.pairs]
        if pairs:
            return [(n, pair[0]) for n, pair in pairs], [(n, pair[1]) for n, pair in pairs], True
        before = [(n, run) for n, of_round in self.valid_rounds for run in of_round.before]
        after = [(n, run) for n, of_round in self.valid_rounds for run in of_round.after]
        return before, after, False

    @property
    def is_one_confirmed(self) -> bool:
        """Whether in some pair one side measured the configuration again and the other did not."""
        return any(of_round.is_one_confirmed for _, of_round in self.rounds)


def runs_of(
    mine: Configuration, other: Configuration, before: SideRuns, after: SideRuns
) -> ConfigurationRuns:
    """Return the runs of a configuration that count on both sides.

    Those are what each side published: the runs of the second measurement, where there was one.
    Where one side alone has that, they are the runs of both that served the same requests, if any.
    """
    rounds = []
    for number, (points, others) in enumerate(zip(before.points, after.points, strict=True)):
        left, right = points_of(mine, points), points_of(other, others)
        if left and right:
            rounds.append((number, _round(left, right)))
    return ConfigurationRuns(rounds=tuple(rounds))


def partners(before: Sequence[Point], after: Sequence[Point]) -> tuple[tuple[Point, Point], ...]:
    """Return the runs that served the same schedule, each in one pair, in the baseline's order."""
    waiting: dict[str, list[Point]] = {}
    for run in after:
        if run.settings.schedule_id is not None:
            waiting.setdefault(run.settings.schedule_id, []).append(run)
    found = []
    for run in before:
        same = waiting.get(run.settings.schedule_id or "")
        if same:
            found.append((run, same.pop(0)))
    return tuple(found)


def _round(left: list[Point], right: list[Point]) -> RoundRuns:
    mine, others = published(left), published(right)
    differ = mine[0].settings.stage != others[0].settings.stage
    if differ and partners(left, right):
        pairs = partners(left, right)
        mine, others = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    return RoundRuns(
        before=tuple(mine),
        after=tuple(others),
        pairs=partners(mine, others),
        is_one_confirmed=differ,
    )


def points_of(configuration: Configuration, points: Sequence[Point]) -> list[Point]:
    """Return those of the points that are of the configuration, by repeat."""
    wanted = configuration.settings.configuration_id
    own = (p for p in points if p.settings.configuration_id == wanted)
    return sorted(own, key=lambda point: point.settings.repeat)


def _are_valid(runs: Sequence[Point]) -> bool:
    return all(run.verdict == "valid" for run in runs)
