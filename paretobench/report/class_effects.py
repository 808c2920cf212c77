"""What classes of traffic cost each other: an SLA the batch work, a long request the short."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.operating_points import Goal, choose_operating_point
from paretobench.analysis.sla import service_levels
from paretobench.core.metrics import qualified, split_name
from paretobench.core.points import Settings
from paretobench.core.units import to_ms
from paretobench.report.manifest import goals, scenario, section, workload_facts
from paretobench.report.model import Report
from paretobench.report.settings_text import in_order

# what two configurations under the same conditions may differ in: the policy and what follows
_NOT_A_CONDITION = (
    "trial_id",
    "configuration_id",
    "policy",
    "preemption",
    "offered_requests_per_s",
    "repeat",
    "seed",
    "schedule_id",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitCost:
    """One class's best throughput under a limit on another, and with no regard to it."""

    goal: Goal
    kept: Configuration | None
    free: Configuration

    @property
    def share(self) -> float | None:
        """What the limit costs, as a share of the best; None where nothing keeps it."""
        best = self.free.figures.get(self.goal.objective)
        kept = None if self.kept is None else self.kept.figures.get(self.goal.objective)
        return None if not best or kept is None else 1 - kept / best


def limit_costs(report: Report, among: Sequence[Configuration] | None = None) -> list[LimitCost]:
    """Return the cost of every goal that limits one class and maximises another.

    Only configurations of one workload compete; `among` narrows them further.
    """
    costs = []
    every = report.configurations if among is None else among
    for workload in report.workloads:
        rivals = [c for c in every if c.settings.workload == workload]
        for goal in _goals_across_classes(report):
            free = _best(report, replace(goal, subject_to={}), rivals)
            if free is not None:
                costs.append(LimitCost(goal=goal, kept=_best(report, goal, rivals), free=free))
    return costs


def _best(report: Report, goal: Goal, rivals: Sequence[Configuration]) -> Configuration | None:
    return choose_operating_point(goal, rivals, latency=report.latency).configuration


def _goals_across_classes(report: Report) -> list[Goal]:
    """Return the scenario's goals of that kind, or that which its objectives and SLA amount to."""
    found = [g for g in goals(report.run) if g.maximize and _is_across_classes(g)]
    limit_ms = _latency_sla_ms(report)
    if found or limit_ms is None:
        return found
    implied = Goal(
        name="SLA",
        objective=report.throughput,
        maximize=True,
        subject_to={report.latency: limit_ms},
    )
    return [implied] if _is_across_classes(implied) else []


def _is_across_classes(goal: Goal) -> bool:
    served = split_name(goal.objective)[0]
    limited = {split_name(name)[0] for name in goal.subject_to}
    return served is not None and bool(limited) and limited.isdisjoint({served, None})


def _latency_sla_ms(report: Report) -> float | None:
    class_name, metric = split_name(report.latency)
    return e2e_sla_ms(report, class_name) if class_name and metric.endswith("_e2e_ms") else None


def e2e_sla_ms(report: Report, class_name: str) -> float | None:
    """Return the E2E latency that a class's requests must keep to, None without one."""
    limit_s = service_levels(scenario(report.run)).of(class_name).e2e_s
    return None if limit_s is None else to_ms(limit_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPair:
    """Static and continuous batching under the same load, limits and traffic of several classes.

    Either may not be valid; then it has no ratio.
    """

    static: Configuration
    continuous: Configuration

    def ratio(self, class_name: str, metric: str) -> float | None:
        """Return how many times as large a class's figure is under static batching."""
        if not (self.static.is_valid and self.continuous.is_valid):
            return None
        name = qualified(class_name, metric)
        ours, theirs = self.static.figures.get(name), self.continuous.figures.get(name)
        return None if ours is None or not theirs else ours / theirs


def policy_pairs(report: Report) -> list[PolicyPair]:
    """Return the pairs in which a batch holds several classes, so that the short wait for the long.

    At least one of each pair is valid.
    """
    if len(report.class_names) < 2:
        return []
    groups: dict[tuple[Any, ...], dict[str, Configuration]] = {}
    for c in report.configurations:
        if c.settings.arrangement == "shared" and c.settings.mix_classes:
            groups.setdefault(_conditions(c.settings), {})[c.settings.policy] = c
    pairs = [
        PolicyPair(static=found["static"], continuous=found["continuous"])
        for found in groups.values()
        if {"static", "continuous"} <= found.keys()
    ]
    known = [pair for pair in pairs if pair.static.is_valid or pair.continuous.is_valid]
    return sorted(known, key=lambda pair: in_order(pair.static.settings))


def _conditions(settings: Settings) -> tuple[Any, ...]:
    return tuple(v for name, v in asdict(settings).items() if name not in _NOT_A_CONDITION)


def shortest_class(report: Report) -> str | None:
    """Return the class with the fewest output tokens, None where the manifest tells of none."""
    means = {
        str(fact["class"]): section(fact, "output_tokens").get("mean")
        for fact in workload_facts(report.run)
        if fact.get("class") in report.class_names
    }
    known = {name: mean for name, mean in means.items() if mean is not None}
    return min(known, key=lambda name: known[name]) if len(known) > 1 else None


def wait_for_the_longest(report: Report) -> tuple[str, float, float] | None:
    """Return the shortest class, and how many times as long its requests take on average under
    static batching as under continuous: the least and the most over the pairs."""
    name = shortest_class(report)
    if name is None:
        return None
    ratios = [pair.ratio(name, "mean_e2e_ms") for pair in policy_pairs(report)]
    known = [ratio for ratio in ratios if ratio is not None]
    return (name, min(known), max(known)) if known else None
