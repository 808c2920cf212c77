"""The verdict with its figure on one line: the title of every output."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.gate.lost import judge_lost
from paretobench.gate.text import loss_text, measure_label, outcome_text, regressions, worst
from paretobench.gate.values import Comparison, ConfigurationLoss, Decision
from paretobench.report.text import one_line, plural


def headline(comparison: Comparison) -> str:
    """Return the verdict with its figure on one line, short enough for a title.

    A regression is said to be overall, of one configuration, or of one that was lost.
    """
    return f"{outcome_text(comparison.decision)}: {_found(comparison)}"


def _found(comparison: Comparison) -> str:
    decision = comparison.decision
    overall = decision.overall
    if decision.outcome == "inconclusive":
        if overall is None:
            return one_line(decision.reason, limit=120)
        more = decision.more_pairs
        return loss_text(overall) + (
            f"; about {plural(more, 'more pair')} to decide" if more else ""
        )
    if decision.outcome == "pass" or _overall_decides(decision):
        return loss_text(overall)
    return (
        _lost(comparison)
        or _of_one(comparison, regressions(decision))
        or _of_measure(comparison)
        or one_line(decision.reason, limit=120)
    )


def _lost(comparison: Comparison) -> str:
    """Return who was lost, empty where that decides nothing."""
    decision = comparison.decision
    judged = [
        lost
        for lost in decision.lost
        if judge_lost([lost], is_advisory=decision.is_advisory).regressions
    ]
    if not judged:
        return ""
    if len(judged) > 1 and not comparison.matches:
        return f"none of {plural(len(decision.lost), 'configuration')} is valid any more"
    first = max(judged, key=lambda found: found.was_on_frontier)
    others = _and_more(len(judged) - 1)
    now = first.verdict.replace("_", " ")
    return f"{one_line(first.label, limit=60)}{others} {'are' if others else 'is'} {now} now"


def _of_measure(comparison: Comparison) -> str:
    """Return the measure that lost most surely, empty where none is shown to have lost."""
    limits, decision = comparison.decision.thresholds, comparison.decision
    limit = limits.advisory if decision.is_advisory else limits.max_loss
    shown = [
        (loss.interval.low, measure)
        for measure, loss in decision.by_measure.items()
        if loss.interval is not None and loss.interval.low > limit
    ]
    if not shown:
        return ""
    _, measure = max(shown)
    label = measure_label(comparison.baseline.report, measure)
    return f"{label} {loss_text(decision.by_measure[measure])}"


def _of_one(comparison: Comparison, alone: Sequence[ConfigurationLoss]) -> str:
    if not alone:
        return ""
    first = worst(alone[0])
    name = one_line(alone[0].match.label, limit=60) + _and_more(len(alone) - 1)
    if first is None:
        return name
    measure, loss = first
    return f"{name}: {measure_label(comparison.baseline.report, measure)} {loss_text(loss)}"


def _and_more(count: int) -> str:
    return f" and {count} more" if count else ""


def _overall_decides(decision: Decision) -> bool:
    overall, limits = decision.overall, decision.thresholds
    if overall is None:
        return False
    limit = limits.advisory if decision.is_advisory else limits.max_loss
    return overall.interval is not None and overall.interval.low > limit
