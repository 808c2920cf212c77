"""Whether the frontier moved: the rule that decides.

Every figure is a mean log ratio, positive is worse. A configuration's is over its rounds, paired
where both sides served the same schedule, else Welch's. The overall loss is the mean over the
frontier and its neighbours of their measures that can move (`losses`), its interval that of the
rounds' means (`estimates`): what the machine did during a run is common to all its configurations,
so five pairs of twelve configurations are five values and not sixty. `docs/comparing_statistics.md`
has the simulation that this was chosen by.

A regression is shown in one of four ways: the lower bound of the overall loss is above `max_loss`;
that of one measure is, Holm-corrected over the three, so that a loss in p95 alone is not averaged
away; one configuration's test, Holm-corrected over all configurations and measures, shows more than
`single_margin`; or a configuration is lost (`lost`). A loss may be shown to be above `max_loss` and
below `pass_below` at once: what is shown wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from paretobench.gate.estimates import Estimate
from paretobench.gate.losses import Losses, find_losses
from paretobench.gate.lost import LostFindings, judge_lost
from paretobench.gate.more_pairs import CHANCE, MOST_PAIRS, more_pairs
from paretobench.gate.values import (
    MEASURES,
    ConfigurationLoss,
    Decision,
    Loss,
    Lost,
    Match,
    Measure,
    Outcome,
    Thresholds,
)

MEASURE_NAMES: dict[Measure, str] = {
    "throughput": "throughput",
    "p50_latency": "p50 latency",
    "p95_latency": "p95 latency",
}
_MAX_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ruling:
    outcome: Outcome
    reason: str
    more_pairs: int | None = None


def decide(
    matches: Sequence[Match],
    lost: Sequence[Lost],
    thresholds: Thresholds,
    *,
    num_pairs: int,
    is_advisory: bool,
) -> Decision:
    """Return whether the candidate is worse than the baseline.

    `num_pairs` is how many pairs of runs there are. Where `is_advisory`, the overall loss and the
    measures decide only beyond `advisory`, and single configurations not at all.
    """
    losses = find_losses(matches, thresholds, is_advisory=is_advisory)
    ruling = _rule(losses, lost, thresholds, is_advisory=is_advisory)
    confidence = thresholds.confidence
    decision = Decision(
        outcome=ruling.outcome,
        reason=ruling.reason,
        overall=losses.overall.as_loss(None, confidence) if losses.overall else None,
        by_measure={m: e.as_loss(m, confidence) for m, e in losses.by_measure.items()},
        configurations=losses.configurations,
        lost=tuple(lost),
        num_pairs=num_pairs,
        more_pairs=ruling.more_pairs,
        is_advisory=is_advisory,
        thresholds=thresholds,
    )
    notes = (
        *_notes(decision, losses),
        *(_strict_note(matches, lost, thresholds) if is_advisory else ()),
        *judge_lost(lost, is_advisory=is_advisory).notes,
    )
    return replace(decision, notes=notes)


def _rule(
    losses: Losses, lost: Sequence[Lost], thresholds: Thresholds, *, is_advisory: bool
) -> _Ruling:
    findings = judge_lost(lost, is_advisory=is_advisory)
    shown = _shown(losses, findings, thresholds, is_advisory=is_advisory)
    if shown:
        return _Ruling(outcome="regression", reason=_listed(shown))
    overall, confidence = losses.overall, thresholds.confidence
    if overall is None:
        return _Ruling(outcome="inconclusive", reason=_nothing(losses, findings))
    told = overall_text(overall.as_loss(None, confidence), confidence)
    if findings.doubts:
        reason = f"{_listed(findings.doubts)}; {told}"
        return _Ruling(outcome="inconclusive", reason=reason)
    limit = thresholds.advisory if is_advisory else thresholds.pass_below
    interval = overall.as_loss(None, confidence).interval
    if interval is None:
        few = "one run of one configuration has no interval: measure pairs (--run-pairs 5)"
        return _Ruling(outcome="inconclusive", reason=f"{told}; {few}")
    if interval.high < limit:
        return _Ruling(outcome="pass", reason=f"{told}, its upper bound is below {percent(limit)}")
    more = None if is_advisory else more_pairs(overall, thresholds)
    reason = f"{told}, {_undecided(overall, more, thresholds, is_advisory=is_advisory)}"
    return _Ruling(outcome="inconclusive", reason=reason, more_pairs=more)


def _shown(
    losses: Losses, findings: LostFindings, thresholds: Thresholds, *, is_advisory: bool
) -> list[str]:
    """Return what shows a regression, most telling first."""
    limit = thresholds.advisory if is_advisory else thresholds.max_loss
    confidence, shown = thresholds.confidence, []
    if losses.overall is not None:
        overall = losses.overall.as_loss(None, confidence)
        if overall.interval is not None and overall.interval.low > limit:
            told = overall_text(overall, confidence)
            shown.append(f"{told}, its lower bound is above {percent(limit)}")
    shown += findings.regressions
    if not shown:
        for measure, p in losses.shown_in_measures(limit).items():
            if p <= (1 - confidence) / 2:
                loss = losses.by_measure[measure].as_loss(measure, confidence)
                shown.append(
                    f"{MEASURE_NAMES[measure]} alone lost {loss_text(loss, confidence)}, more than "
                    f"{percent(limit)} also when corrected for the number of measures"
                )
    worst = sorted(
        (c for c in losses.configurations if c.is_regression), key=lambda c: min(_known(c))
    )
    return shown + [_single_text(c, thresholds) for c in worst]


def _known(of_one: ConfigurationLoss) -> list[float]:
    return [p for p in of_one.p_values.values() if p is not None]


def _single_text(of_one: ConfigurationLoss, thresholds: Thresholds) -> str:
    p, measure = min((p, m) for m, p in of_one.p_values.items() if p is not None)
    loss = of_one.losses[measure]
    return (
        f"{of_one.match.label} lost {loss_text(loss, thresholds.confidence)} in "
        f"{MEASURE_NAMES[measure]}, more than {percent(thresholds.single_margin)} "
        f"(p = {p:.2g} after Holm)"
    )


def _nothing(losses: Losses, findings: LostFindings) -> str:
    if findings.doubts:
        return _listed(findings.doubts)
    if not losses.configurations:
        return "no configuration is valid on both sides: there is nothing to compare"
    if not any(c.match.is_gating for c in losses.configurations):
        return "no configuration of a frontier, nor next to one, is valid on both sides"
    return "no run of a configuration of the frontier has a finite value on both sides"


def _undecided(
    overall: Estimate, more: int | None, thresholds: Thresholds, *, is_advisory: bool
) -> str:
    if is_advisory:
        return (
            f"the interval holds {percent(thresholds.advisory)}: more of the same decides nothing, "
            "measure pairs (--run-pairs 5)"
        )
    low, high = percent(thresholds.max_loss), percent(thresholds.pass_below)
    told = f"neither is its lower bound above {low} nor its upper bound below {high}"
    if more is not None:
        plural = "" if more == 1 else "s"
        return f"{told}: about {more} more pair{plural} would decide ({CHANCE:.0%} of the time)"
    if overall.num < 2:
        return f"{told}: one pair cannot tell how runs differ, measure more (--run-pairs 5)"
    if thresholds.pass_below <= thresholds.max_loss:
        return f"{told}: a loss between them is neither, however many pairs are measured"
    return f"{told}: {MOST_PAIRS} pairs would not decide at this spread, quiet the machine"


def _notes(decision: Decision, losses: Losses) -> list[str]:
    thresholds, notes = decision.thresholds, []
    overall = decision.overall
    if overall is not None and overall.interval is not None:
        if overall.interval.method == "t_over_configurations":
            notes.append(
                "one pair of runs: the interval is the spread over configurations, and lacks how "
                "runs of the same thing differ"
            )
        elif thresholds.max_loss < overall.interval.low and (
            overall.interval.high < thresholds.pass_below and not decision.is_advisory
        ):
            notes.append(
                f"the loss is also shown to be below {percent(thresholds.pass_below)}: one above "
                f"{percent(thresholds.max_loss)} is a regression all the same"
            )
    tests = sum(len(_known(c)) for c in decision.configurations)
    if tests:
        notes.append(
            f"single configurations: {tests} one-sided tests ({len(decision.configurations)} "
            f"configurations × {len(MEASURES)} measures) of at most "
            f"{percent(thresholds.single_margin)}, corrected together after Holm"
        )
    if losses.num_left_out:
        runs = "run is" if losses.num_left_out == 1 else "runs are"
        notes.append(f"{losses.num_left_out} {runs} left out of a measure: no finite value over 0")
    return notes + _measure_notes(decision)


def _measure_notes(decision: Decision) -> list[str]:
    """Return which measures lost something for sure but are not decided on: never silently."""
    limit, confidence = decision.thresholds.pass_below, decision.thresholds.confidence
    return [
        f"{MEASURE_NAMES[measure]} lost {loss_text(loss, confidence)} by itself: not shown to be "
        f"below {percent(limit)}"
        for measure, loss in decision.by_measure.items()
        if decision.outcome == "pass"
        and loss.interval is not None
        and loss.interval.low > 0
        and loss.interval.high > limit
    ]


def _strict_note(
    matches: Sequence[Match], lost: Sequence[Lost], thresholds: Thresholds
) -> list[str]:
    losses = find_losses(matches, thresholds, is_advisory=False)
    if losses.overall is None:
        return []
    ruling = _rule(losses, lost, thresholds, is_advisory=False)
    words = {"pass": "pass", "regression": "a regression", "inconclusive": "inconclusive"}
    return [
        f"advisory: a stored baseline fails only beyond {percent(thresholds.advisory)}. The rule "
        f"for pairs would have said: {words[ruling.outcome]} ({ruling.reason})"
    ]


def overall_text(loss: Loss, confidence: float) -> str:
    """Return the overall loss in words, with its interval."""
    return f"overall loss {loss_text(loss, confidence)}"


def loss_text(loss: Loss, confidence: float) -> str:
    """Return a loss with its interval.

    >>> from paretobench.core.intervals import Interval
    >>> interval = Interval(low=0.016, high=0.026, method="t_over_runs")
    >>> loss_text(Loss(loss=0.021, interval=interval, num_runs=5), 0.95)
    '2.1% (95%: 1.6 to 2.6%)'
    """
    told = f"{100 * loss.loss:.1f}%"
    if loss.interval is None:
        return told
    ends = f"{100 * loss.interval.low:.1f} to {100 * loss.interval.high:.1f}%"
    return f"{told} ({100 * confidence:g}%: {ends})"


def percent(share: float) -> str:
    """Return a share as people read it.

    >>> percent(0.01), percent(0.0215)
    ('1%', '2.1%')
    """
    return f"{round(100 * share, 1):g}%"


def _listed(reasons: Sequence[str]) -> str:
    named = "; ".join(reasons[:_MAX_NAMED])
    more = len(reasons) - _MAX_NAMED
    return f"{named}; and {more} more" if more > 0 else named
