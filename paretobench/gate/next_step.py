"""What to do after a verdict: how many pairs to measure, or why no number of them would decide."""

from __future__ import annotations

from paretobench.gate.lost import judge_lost
from paretobench.gate.values import Decision

_ENOUGH_PAIRS = 5


def pairs_to_measure(decision: Decision) -> int | None:
    """Return how many pairs in all would tell more, None where no number of them would.

    That is 5, or one more than there are, after runs that could only advise, and where the pairs
    that there are tell no spread.
    """
    few = max(_ENOUGH_PAIRS, decision.num_pairs + 1)
    if decision.is_advisory:
        return few
    if decision.outcome != "inconclusive":
        return None
    if decision.more_pairs is not None:
        return decision.num_pairs + decision.more_pairs
    loss = decision.overall
    if loss is None or judge_lost(decision.lost, is_advisory=False).doubts:
        return None
    if loss.interval is None or loss.interval.method != "t_over_runs":
        return few
    return None


def why_no_pairs(decision: Decision) -> str:
    """Return what to do in place of measuring pairs, after an inconclusive verdict."""
    doubts = judge_lost(decision.lost, is_advisory=False).doubts
    if doubts:
        return f"More pairs do not decide; find out why: {doubts[0]}"
    if decision.overall is None:
        return "More pairs do not decide; find out why nothing of the frontier is valid in both"
    return (
        "More pairs do not decide; quiet the machine, or give thresholds that are further apart "
        "(--max-loss, --pass-below)"
    )
