"""What two sides' runs of a configuration differ by, as log ratios: positive is worse."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from paretobench.gate.values import Match, Measure

_Run = tuple[int, float]  # its round, the log of what it measured


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRatios:
    """The log ratios of one configuration and measure.

    `by_round` holds the mean of the runs of each round that both sides have, and `in_round` each
    pair of runs where there is one such round alone. `baseline` and `candidate` are the logs of
    each side's rounds (of its runs, where it has one round), positive is worse; empty where the
    runs are paired. `num_left_out` runs had no finite value over 0.
    """

    by_round: Mapping[int, float]
    in_round: tuple[float, ...]
    baseline: tuple[float, ...]
    candidate: tuple[float, ...]
    num_left_out: int


def log_ratios(match: Match, measure: Measure) -> LogRatios:
    """Return how much worse the candidate's runs of a configuration are."""
    sign = -1.0 if measure == "throughput" else 1.0
    before = _logs(match.baseline_rounds, match.baseline[measure], sign)
    after = _logs(match.candidate_rounds, match.candidate[measure], sign)
    if match.is_paired:
        return _paired(before, after)
    known_before = [run for run in before if run is not None]
    known_after = [run for run in after if run is not None]
    means_before, means_after = _by_round(known_before), _by_round(known_after)
    common = [r for r in means_before if r in means_after]
    return LogRatios(
        by_round={r: means_after[r] - means_before[r] for r in common},
        in_round=(),
        baseline=_replicates(known_before, means_before),
        candidate=_replicates(known_after, means_after),
        num_left_out=before.count(None) + after.count(None),
    )


def loss_of(log_ratio: float, measure: Measure | None) -> float:
    """Return the loss that a log ratio is: of throughput how much less, else how much more.

    None stands for several measures together: how much longer the same work takes.

    >>> round(loss_of(math.log(1.25), "throughput"), 4), round(loss_of(math.log(1.25), None), 4)
    (0.2, 0.25)
    """
    if measure == "throughput":
        return -_expm1(-log_ratio)
    return _expm1(log_ratio)


def log_ratio_of(loss: float, measure: Measure | None) -> float:
    """Return the log ratio of a loss; inf where all is lost.

    >>> round(loss_of(log_ratio_of(0.02, "throughput"), "throughput"), 4)
    0.02
    """
    if measure == "throughput":
        return -math.log1p(-loss) if loss < 1 else math.inf
    return math.log1p(loss)


def _expm1(value: float) -> float:
    return math.inf if value > 700 else math.expm1(value)  # beyond it a float has no room


def _logs(rounds: Iterable[int], values: Iterable[float], sign: float) -> list[_Run | None]:
    return [
        (number, sign * math.log(value)) if math.isfinite(value) and value > 0 else None
        for number, value in zip(rounds, values, strict=True)
    ]


def _paired(before: list[_Run | None], after: list[_Run | None]) -> LogRatios:
    pairs = zip(before, after, strict=True)
    known = [(b, a) for b, a in pairs if b is not None and a is not None]
    differences = [(b[0], a[1] - b[1]) for b, a in known]
    by_round = _by_round(differences)
    return LogRatios(
        by_round=by_round,
        in_round=tuple(d for _, d in differences) if len(by_round) == 1 else (),
        baseline=(),
        candidate=(),
        num_left_out=len(before) - len(known),
    )


def _by_round(runs: list[_Run]) -> dict[int, float]:
    of_round: dict[int, list[float]] = {}
    for number, value in runs:
        of_round.setdefault(number, []).append(value)
    return {number: math.fsum(values) / len(values) for number, values in of_round.items()}


def _replicates(runs: list[_Run], means: Mapping[int, float]) -> tuple[float, ...]:
    if len(means) > 1:
        return tuple(means.values())
    return tuple(value for _, value in runs)
