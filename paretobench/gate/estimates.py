"""Means of log ratios with what is known of their error; positive is worse."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from paretobench.core.intervals import Interval, IntervalMethod
from paretobench.gate.log_ratios import LogRatios, log_ratio_of, loss_of
from paretobench.gate.values import Loss, Measure


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with its standard error, None where too few values tell it.

    `num` independent values told it; `degrees` are those of the t distribution.
    """

    mean: float
    error: float | None
    degrees: float
    num: int
    method: IntervalMethod = "t_over_runs"

    def bounds(self, confidence: float) -> tuple[float, float] | None:
        """Return the two-sided interval."""
        from scipy.special import stdtrit

        if self.error is None:
            return None
        half = float(stdtrit(self.degrees, (1 + confidence) / 2)) * self.error
        return self.mean - half, self.mean + half

    def p_value(self, limit: float) -> float | None:
        """Return the p value of the one-sided test of "no more than `limit`"."""
        from scipy.special import stdtr

        if self.error is None or math.isinf(limit):
            return None
        if self.error == 0:
            return 0.0 if self.mean > limit else 1.0
        return float(stdtr(self.degrees, (limit - self.mean) / self.error))

    def as_loss(self, measure: Measure | None, confidence: float) -> Loss:
        """Return it as a share."""
        bounds = self.bounds(confidence)
        interval = None
        if bounds is not None:
            low, high = (loss_of(bound, measure) for bound in bounds)
            interval = Interval(low=low, high=high, method=self.method)
        return Loss(loss=loss_of(self.mean, measure), interval=interval, num_runs=self.num)

    def p_of_more_than(self, loss: float, measure: Measure | None) -> float | None:
        """Return the p value of "lost no more than this share"."""
        return self.p_value(log_ratio_of(loss, measure))


def of_configuration(ratios: LogRatios) -> Estimate | None:
    """Return what one configuration lost in one measure; None where nothing is left of its runs.

    Paired: the t interval of the rounds' mean differences. Otherwise Welch's, of the rounds of
    either side. Runs stand in for rounds where there is one round.
    """
    if ratios.baseline or ratios.candidate:
        return _welch(ratios.baseline, ratios.candidate)
    return _t(ratios.in_round or tuple(ratios.by_round.values()))


def over_configurations(series: Sequence[Sequence[LogRatios]]) -> Estimate | None:
    """Return the mean over configurations of the mean over their measures.

    `series` has for each configuration one entry a measure. What the machine did meanwhile is
    common to all configurations of a run, so a round is one value, however many configurations it
    has: the error is that of the rounds' means, with one degree of freedom fewer than rounds. Where
    configurations lack rounds it is that of the rounds' shares in the whole mean, and there are as
    many rounds as a configuration has on average. One with a single round of several says nothing
    of how rounds differ, and is left out; where all are so, there is no error. Of one round alone
    there is the spread over configurations only, which knows nothing of how runs differ.
    None where no configuration has runs in a round of both sides.
    """
    known = [kept for measures in series if (kept := [m for m in measures if m.by_round])]
    if not known:
        return None
    if len({number for measures in known for m in measures for number in m.by_round}) > 1:
        enough = [kept for measures in known if (kept := [m for m in measures if _has_several(m)])]
        return _over_rounds(enough) if enough else _without_error(known)
    of_each = [_mean([_mean(m.by_round.values()) for m in measures]) for measures in known]
    mean = _mean(of_each)
    if len(of_each) > 1:
        over = _t(of_each)
        return Estimate(
            mean=mean,
            error=over.error if over else None,
            degrees=len(of_each) - 1,
            num=1,
            method="t_over_configurations",
        )
    return _of_repeats(known[0], mean)


def _has_several(ratios: LogRatios) -> bool:
    return len(ratios.by_round) > 1


def _over_rounds(series: Sequence[Sequence[LogRatios]]) -> Estimate:
    """Return the mean with the error of its rounds, of which each entry has more than one.

    An entry's residuals are to its own mean, so of n rounds they are drawn out by sqrt(n/(n-1)).
    """
    mean, num = 0.0, 0.0
    shares: dict[int, float] = {}
    for measures in series:
        for ratios in measures:
            own, rounds = _mean(ratios.by_round.values()), len(ratios.by_round)
            weight = 1 / (len(series) * len(measures))
            mean, num = mean + weight * own, num + weight * rounds
            drawn_out = weight / rounds * math.sqrt(rounds / (rounds - 1))
            for number, value in ratios.by_round.items():
                shares[number] = shares.get(number, 0.0) + drawn_out * (value - own)
    error = math.sqrt(math.fsum(s * s for s in shares.values()))
    return Estimate(mean=mean, error=error, degrees=num - 1, num=len(shares))


def _without_error(series: Sequence[Sequence[LogRatios]]) -> Estimate:
    means = [_mean([_mean(m.by_round.values()) for m in measures]) for measures in series]
    return Estimate(mean=_mean(means), error=None, degrees=0, num=1)


def _of_repeats(measures: Sequence[LogRatios], mean: float) -> Estimate:
    """Return the estimate of one configuration in one round: its measures may err together."""
    of_measures = [of_configuration(m) for m in measures]
    errors = [e.error for e in of_measures if e is not None and e.error is not None]
    degrees = min(
        (e.degrees for e in of_measures if e is not None and e.error is not None), default=0
    )
    error = _mean(errors) if errors and len(errors) == len(measures) else None
    return Estimate(mean=mean, error=error, degrees=degrees, num=1)


def _t(values: Sequence[float]) -> Estimate | None:
    if not values:
        return None
    error = None if len(values) < 2 else math.sqrt(_variance(values) / len(values))
    return Estimate(mean=_mean(values), error=error, degrees=len(values) - 1, num=len(values))


def _welch(before: Sequence[float], after: Sequence[float]) -> Estimate | None:
    if not before or not after:
        return None
    mean, num = _mean(after) - _mean(before), min(len(before), len(after))
    if num < 2:
        return Estimate(mean=mean, error=None, degrees=0, num=num)
    parts = [(_variance(side) / len(side), len(side) - 1) for side in (before, after)]
    total = math.fsum(part for part, _ in parts)
    below = math.fsum(part * part / degrees for part, degrees in parts)
    degrees = total * total / below if below > 0 else float(sum(d for _, d in parts))
    return Estimate(mean=mean, error=math.sqrt(total), degrees=degrees, num=num)


def _mean(values: Collection[float]) -> float:
    return math.fsum(values) / len(values)


def _variance(values: Sequence[float]) -> float:
    mean = _mean(values)
    return math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1)
