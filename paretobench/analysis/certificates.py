"""What is shown of an operating point, and what else could have been chosen.

The point is chosen by its figures, as before; then it is certified. Where it is not shown to meet
its constraints, the certificate names the best configuration that is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.neighbours import Neighbour, neighbours_of
from paretobench.analysis.operating_points import Goal, OperatingPoint, feasible_in_order
from paretobench.analysis.proofs import Proof, Status, prove, status_of
from paretobench.analysis.sla import ServiceLevels, service_levels


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Another configuration that meets the goal by its figures, and what is shown of it."""

    configuration: Configuration
    status: Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What is shown of a chosen configuration.

    `certified` when the 95% bound of every constraint's figure meets it; `no_limit` where the goal
    has no constraint. `alternative` is the best certified configuration where the chosen one is not
    shown to meet them; None where there is none. `as_measured`: the requests are no longer at hand,
    and this is what they showed when they were.
    """

    status: Status
    proofs: tuple[Proof, ...]
    runner_up: Rival | None = None
    alternative: Rival | None = None
    neighbours: tuple[Neighbour, ...] = ()
    as_measured: bool = False

    @property
    def more_requests(self) -> int | None:
        """How many more requests would show all that is not shown; None where that is not known."""
        open_ = [proof.more_requests for proof in self.proofs if proof.status == "not_shown"]
        known = [more for more in open_ if more is not None]
        return max(known) if known and len(known) == len(open_) else None


def certify(goal: Goal, configuration: Configuration, levels: ServiceLevels) -> Certificate:
    """Return what is shown of one configuration, whose every constrained figure is there."""
    proofs = tuple(
        prove(name, limit, configuration, levels) for name, limit in goal.subject_to.items()
    )
    return Certificate(status=status_of(proofs), proofs=proofs)


def certify_point(
    point: OperatingPoint,
    configurations: Sequence[Configuration],
    levels: ServiceLevels,
    *,
    latency: str,
) -> Certificate | None:
    """Return the certificate of an operating point, with what else could have been chosen.

    None where nothing was chosen. Only configurations of the same workload are rivals.
    """
    chosen = point.configuration
    if chosen is None:
        return None
    rivals = [c for c in configurations if c.settings.workload == chosen.settings.workload]
    feasible = feasible_in_order(point.goal, rivals, latency=latency)
    others = [c for c in feasible if c is not chosen]
    own = certify(point.goal, chosen, levels)
    return Certificate(
        status=own.status,
        proofs=own.proofs,
        runner_up=_rival(point.goal, others[0], levels) if others else None,
        alternative=_best_certified(point.goal, others, levels)
        if own.status == "not_shown"
        else None,
        neighbours=tuple(neighbours_of(chosen, rivals)),
    )


def certify_all(
    points: Sequence[OperatingPoint],
    configurations: Sequence[Configuration],
    scenario: Mapping[str, Any],
    *,
    latency: str,
) -> dict[str, Certificate]:
    """Return the certificate of each point that was chosen, by its goal's name.

    `scenario`, as a manifest holds it, says what requests must keep to.
    """
    levels = service_levels(scenario)
    found = {p.goal.name: certify_point(p, configurations, levels, latency=latency) for p in points}
    return {name: certificate for name, certificate in found.items() if certificate is not None}


def _rival(goal: Goal, configuration: Configuration, levels: ServiceLevels) -> Rival:
    return Rival(configuration=configuration, status=certify(goal, configuration, levels).status)


def _best_certified(
    goal: Goal, in_order: Sequence[Configuration], levels: ServiceLevels
) -> Rival | None:
    rivals = (_rival(goal, configuration, levels) for configuration in in_order)
    return next((rival for rival in rivals if rival.status == "certified"), None)
