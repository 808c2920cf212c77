"""Where to run: the best configuration that keeps to every constraint, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from paretobench.analysis.configurations import Configuration
from paretobench.core.metrics import metric_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What an operating point is for. `objective` moves the way METRICS calls better,
    unless `maximize` says otherwise."""

    name: str
    objective: str
    maximize: bool
    subject_to: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """How far a figure is from its limit; `share` is of the limit, negative where it is missed."""

    metric: str
    limit: float
    value: float

    @property
    def share(self) -> float:
        """Return the distance to the limit as a share of it.

        >>> round(Margin(metric="p95_e2e_ms", limit=500, value=400).share, 3)
        0.2
        """
        room = self.limit - self.value
        if metric_of(self.metric).better == "higher":
            room = -room
        return room / self.limit if self.limit else room


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """The chosen configuration, or None with what binds and the nearest value that can be met."""

    goal: Goal
    configuration: Configuration | None
    margins: tuple[Margin, ...]
    reason: str


def choose_operating_point(
    goal: Goal, configurations: Sequence[Configuration], *, latency: str
) -> OperatingPoint:
    """Return the best valid configuration that meets every constraint of `goal`.

    Of equals the one with the lower `latency` figure wins, then the first. Where none meets all
    constraints nothing is relaxed: `configuration` is None, and the margins name each constraint
    that binds with the nearest value that can be met while all others are kept.
    """
    candidates = _candidates(goal, configurations)
    if not candidates:
        return OperatingPoint(
            goal=goal,
            configuration=None,
            margins=(),
            reason=f"no valid trial measured {', '.join((goal.objective, *goal.subject_to))}",
        )
    feasible = feasible_in_order(goal, configurations, latency=latency)
    if not feasible:
        return _infeasible(goal, candidates)
    best = feasible[0]
    return OperatingPoint(
        goal=goal,
        configuration=best,
        margins=tuple(_margin(best, name, limit) for name, limit in goal.subject_to.items()),
        reason=_why(goal, best, len(feasible), len(candidates)),
    )


def choose_all(
    goals: Sequence[Goal], configurations: Sequence[Configuration], *, latency: str
) -> list[OperatingPoint]:
    """Return the operating point of each goal.

    Shapes do not compete: with several workloads each goal has a point for each, named after both.
    """
    workloads = list(dict.fromkeys(c.settings.workload for c in configurations))
    chosen = []
    for goal in goals:
        if len(workloads) < 2:
            chosen.append(choose_operating_point(goal, configurations, latency=latency))
            continue
        for workload in workloads:
            rivals = [c for c in configurations if c.settings.workload == workload]
            named = replace(goal, name=f"{goal.name} [{workload}]")
            chosen.append(choose_operating_point(named, rivals, latency=latency))
    return chosen


def feasible_in_order(
    goal: Goal, configurations: Sequence[Configuration], *, latency: str
) -> list[Configuration]:
    """Return the valid configurations whose figures meet every constraint, the best first."""

    def preference(c: Configuration) -> tuple[float, float]:
        value = _figure(c, goal.objective)
        other = c.figures.get(latency)
        return (-value if goal.maximize else value, float("inf") if other is None else other)

    candidates = _candidates(goal, configurations)
    return sorted((c for c in candidates if _meets_all(c, goal.subject_to)), key=preference)


def _candidates(goal: Goal, configurations: Sequence[Configuration]) -> list[Configuration]:
    return [
        c
        for c in configurations
        if c.is_valid
        and all(c.figures.get(name) is not None for name in (goal.objective, *goal.subject_to))
    ]


def _infeasible(goal: Goal, candidates: Sequence[Configuration]) -> OperatingPoint:
    margins: list[Margin] = []
    for name, limit in goal.subject_to.items():
        others = {other: value for other, value in goal.subject_to.items() if other != name}
        rivals = [c for c in candidates if _meets_all(c, others)]
        if rivals:  # this constraint alone stands between them and feasibility
            nearest = max((_margin(c, name, limit) for c in rivals), key=lambda m: m.share)
            margins.append(nearest)
    if margins:
        kept = " with the other constraints" if len(goal.subject_to) > 1 else ""
        parts = [
            f"{m.metric} {_sign(m.metric)} {m.limit:g} binds: the nearest that can be met{kept} "
            f"is {_readable(m.value)}"
            for m in margins
        ]
        reason = "; ".join(parts)
    else:
        nearest_each = [
            max((_margin(c, name, limit) for c in candidates), key=lambda m: m.share)
            for name, limit in goal.subject_to.items()
        ]
        margins = nearest_each
        parts = [
            f"{m.metric} {_sign(m.metric)} {m.limit:g}: {_readable(m.value)}" for m in nearest_each
        ]
        reason = (
            f"no two constraints can be met together; nearest of each alone: {', '.join(parts)}"
        )
    return OperatingPoint(goal=goal, configuration=None, margins=tuple(margins), reason=reason)


def _why(goal: Goal, best: Configuration, num_feasible: int, num_candidates: int) -> str:
    verb = "highest" if goal.maximize else "lowest"
    value = f"{_readable(_figure(best, goal.objective))} {metric_of(goal.objective).unit}"
    if not goal.subject_to:
        return f"{verb} {goal.objective} of {num_candidates} valid configurations: {value}"
    limits = " and ".join(f"{n} {_sign(n)} {v:g}" for n, v in goal.subject_to.items())
    return (
        f"{verb} {goal.objective} ({value}) of the {num_feasible} of {num_candidates} valid "
        f"configurations that keep {limits}"
    )


def _meets_all(c: Configuration, constraints: Mapping[str, float]) -> bool:
    return all(_margin(c, name, limit).share >= 0 for name, limit in constraints.items())


def _margin(c: Configuration, name: str, limit: float) -> Margin:
    return Margin(metric=name, limit=limit, value=_figure(c, name))


def _figure(c: Configuration, name: str) -> float:
    value = c.figures[name]
    assert value is not None  # candidates have every figure that a goal names
    return value


def _readable(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _sign(metric: str) -> str:
    return "≥" if metric_of(metric).better == "higher" else "≤"
