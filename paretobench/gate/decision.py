"""Whether the frontier moved: losses with their intervals, and the rule that decides."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.gate.values import Decision, Lost, Match, Thresholds


def decide(
    matches: Sequence[Match],
    lost: Sequence[Lost],
    thresholds: Thresholds,
    *,
    num_pairs: int,
    is_advisory: bool,
) -> Decision:
    """Return whether the candidate is worse than the baseline."""
    raise NotImplementedError
