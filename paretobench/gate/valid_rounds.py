"""Each side as it shows itself in the pairs that count: one disturbed run of ten would make a
pooled configuration invalid, and take it off the frontier."""

from __future__ import annotations

from dataclasses import replace

from paretobench.analysis.configurations import Configuration, published, worst_of
from paretobench.core.points import Point
from paretobench.gate.identity import by_key
from paretobench.gate.lost import MOST, OF_THE_SYSTEM
from paretobench.gate.rounds import points_of, runs_of
from paretobench.gate.sides import SideRuns
from paretobench.report.model import assemble


def of_valid_rounds(
    before: SideRuns, after: SideRuns, *, tells_variants: bool
) -> tuple[SideRuns, SideRuns]:
    """Return both sides with reports of the pairs that count of each configuration.

    Those are the pairs in which it is valid on both sides; where there is none, those in which it
    is on its own. One that its system did not serve (failed, out of memory, overloaded) in more
    than half of the pairs that tell is not valid on its side. All runs stay in `points`.
    """
    mine, others = (by_key(side, tells_variants=tells_variants) for side in (before, after))
    shared: dict[str, set[int]] = {}
    for key in mine.keys() & others.keys():
        runs = runs_of(mine[key], others[key], before, after)
        shared[key] = {number for number, _ in runs.valid_rounds}
    return _counted(before, mine, shared), _counted(after, others, shared)


def _counted(
    side: SideRuns, configurations: dict[str, Configuration], shared: dict[str, set[int]]
) -> SideRuns:
    """Return the side with a report of the rounds that count."""
    kept = {
        c.settings.configuration_id: _kept(side, c, shared.get(key, set()))
        for key, c in configurations.items()
    }
    points = [
        point
        for number, of_round in enumerate(side.points)
        for point in of_round
        # another length than the others of its content makes a configuration of its own
        if number in kept.get(point.settings.configuration_id, {number})
    ]
    if len(points) == sum(map(len, side.points)):
        return side
    report = assemble(side.side.runs[0], points)
    return replace(side, side=replace(side.side, report=report))


def _kept(side: SideRuns, configuration: Configuration, shared: set[int]) -> set[int]:
    """Return the numbers of a configuration's rounds that count on its side."""
    worst: dict[int, Point] = {}
    for number, of_round in enumerate(side.points):
        own = points_of(configuration, of_round)
        if own:
            worst[number] = worst_of(published(own))
    valid = {number for number, run in worst.items() if run.verdict == "valid"}
    not_served = sum(run.verdict in OF_THE_SYSTEM for run in worst.values())
    if not_served > MOST * (len(valid) + not_served):
        return set(worst)
    return shared or valid or set(worst)
