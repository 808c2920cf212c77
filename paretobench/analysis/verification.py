"""Whether a configuration, measured again, still does what was said of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from paretobench.analysis.certificates import Certificate, certify
from paretobench.analysis.configurations import Configuration
from paretobench.analysis.operating_points import Goal
from paretobench.analysis.sla import ServiceLevels
from paretobench.core.intervals import Interval
from paretobench.core.metrics import metric_of

Outcome = Literal["holds", "does_not_hold", "inconclusive"]
_SLACK = 0.02  # of the objective: what the frontier calls equal
_SLACK_OF_LATENCY = 0.05
_CANNOT_SERVE = ("overloaded", "out_of_memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A figure as the run gave it and as measured again; None where it is missing."""

    metric: str
    before: float | None
    before_interval: Interval | None
    after: float | None
    after_interval: Interval | None

    @property
    def ratio(self) -> float | None:
        """The second figure over the first; None where either is missing or not finite.

        >>> Comparison(metric="p95_e2e_ms", before=200.0, before_interval=None, after=210.0,
        ...     after_interval=None).ratio
        1.05
        """
        if not self.before or self.after is None:
            return None
        return self.after / self.before if math.isfinite(self.before + self.after) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What measuring again says; `certificate` is None where there are no figures to certify."""

    outcome: Outcome
    reason: str
    certificate: Certificate | None
    comparisons: tuple[Comparison, ...]


def verify(
    goal: Goal,
    before: Configuration,
    after: Configuration | None,
    levels: ServiceLevels,
    metrics: Sequence[str],
) -> Verification:
    """Return whether a configuration still meets the goal as the run said.

    It holds where the second measurement certifies every constraint, and the objective is not
    worse than it was by more than 2%, of a latency 5%. It does not where a constraint is missed,
    the objective is worse by more with intervals apart, or the configuration could not serve this
    load for as long. `metrics` are compared; `after` is None where nothing was measured.
    """
    comparisons = tuple(_compare(name, before, after) for name in metrics)
    certificate = None
    needed = (goal.objective, *goal.subject_to)
    if after is not None and after.verdict in _CANNOT_SERVE:
        outcome: Outcome = "does_not_hold"
        reason = f"{after.verdict.replace('_', ' ')}: {after.reason}"
    elif after is None or not after.is_valid:
        outcome = "inconclusive"
        reason = "nothing was measured" if after is None else f"{after.verdict}: {after.reason}"
    elif any(after.figures.get(name) is None for name in needed):
        outcome, reason = "inconclusive", f"not every figure of {', '.join(needed)} was measured"
    else:
        certificate = certify(goal, after, levels)
        outcome, reason = _of_figures(goal, certificate, _compare(goal.objective, before, after))
    return Verification(
        outcome=outcome, reason=reason, certificate=certificate, comparisons=comparisons
    )


def _of_figures(goal: Goal, certificate: Certificate, objective: Comparison) -> tuple[Outcome, str]:
    for proof in certificate.proofs:
        if proof.status == "not_met":
            return "does_not_hold", f"{proof.metric}: {proof.reason}"
    worse = _is_worse(goal, objective)
    if worse is True:
        return "does_not_hold", f"{goal.objective} is worse than the run said"
    for proof in certificate.proofs:
        if proof.status == "not_shown":
            return "inconclusive", f"{proof.metric}: {proof.reason}"
    if worse is None:
        return "inconclusive", f"{goal.objective} seems worse than the run said, not beyond doubt"
    return "holds", ""


def _is_worse(goal: Goal, objective: Comparison) -> bool | None:
    """Return whether the objective fell short of what was said; None where that is in doubt."""
    assert objective.before is not None
    assert objective.after is not None
    slack = _SLACK_OF_LATENCY if metric_of(goal.objective).unit == "ms" else _SLACK
    sign = 1.0 if goal.maximize else -1.0
    wanted = sign * objective.before - slack * abs(objective.before)
    if sign * objective.after >= wanted:
        return False
    before, after = objective.before_interval, objective.after_interval
    if after is None:
        return None
    best_now = after.high if goal.maximize else -after.low
    worst_then = wanted
    if before is not None:
        worst_then = min(wanted, before.low if goal.maximize else -before.high)
    return True if best_now < worst_then else None


def _compare(name: str, before: Configuration, after: Configuration | None) -> Comparison:
    return Comparison(
        metric=name,
        before=before.figures.get(name),
        before_interval=before.intervals.get(name),
        after=None if after is None else after.figures.get(name),
        after_interval=None if after is None else after.intervals.get(name),
    )
