"""How many more pairs of runs would decide, at the loss and the spread that were seen."""

from __future__ import annotations

import math

from paretobench.gate.estimates import Estimate
from paretobench.gate.log_ratios import log_ratio_of
from paretobench.gate.values import Thresholds

MOST_PAIRS = 1000
CHANCE = 0.8  # of deciding, with so many pairs


def more_pairs(overall: Estimate, thresholds: Thresholds) -> int | None:
    """Return how many more pairs would decide, four times in five, if loss and spread are as seen.

    It is the smallest number at which the interval's half width, and as much again as leaves
    `CHANCE`, fits between the loss and the bound that it has to clear: `max_loss` from above or
    `pass_below` from below, whichever takes fewer. None where the rounds tell no spread, where the
    loss lies on the wrong side of both (`pass_below` under `max_loss`), or where it takes more than
    `MOST_PAIRS`.

    >>> seen = Estimate(mean=0.015, error=0.01, degrees=4, num=5)
    >>> more_pairs(seen, Thresholds())
    16
    """
    if overall.error is None or overall.num < 2 or overall.method != "t_over_runs":
        return None
    room = max(
        overall.mean - log_ratio_of(thresholds.max_loss, None),
        log_ratio_of(thresholds.pass_below, None) - overall.mean,
    )
    spread = overall.error * math.sqrt(overall.num)
    for num in range(overall.num + 1, MOST_PAIRS + 1):
        if _reach(num, thresholds.confidence) * spread / math.sqrt(num) < room:
            return num - overall.num
    return None


def _reach(num: int, confidence: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(num - 1, (1 + confidence) / 2) + stdtrit(num - 1, CHANCE))
