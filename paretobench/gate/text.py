"""A comparison's verdict and figures as people read them, alike in every output."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from paretobench.gate.matching import measures_of
from paretobench.gate.values import (
    MEASURES,
    Comparison,
    ConfigurationLoss,
    Decision,
    Loss,
    Match,
    Measure,
    OperatingPointChange,
    Outcome,
)
from paretobench.report.model import Report
from paretobench.report.text import MISSING, number, one_line, plural, short_label, with_unit

OUTCOMES: dict[Outcome, str] = {
    "pass": "No regression",
    "regression": "Regression",
    "inconclusive": "Inconclusive",
}


def outcome_text(decision: Decision) -> str:
    """Return the outcome; an advisory pass says within what, for that may be much."""
    if not decision.is_advisory:
        return OUTCOMES[decision.outcome]
    if decision.outcome == "pass":
        return f"Within {limit_text(decision.thresholds.advisory)} (advisory)"
    return f"{OUTCOMES[decision.outcome]} (advisory)"


def share_text(share: float) -> str:
    """Return a share in percent, with a real minus sign.

    >>> [share_text(s) for s in (0.002, -0.0312, 0.304, -0.0001)]
    ['0.2%', '−3.1%', '30%', '0.0%']
    """
    return f"{_percents(share)[0]}%"


def limit_text(share: float) -> str:
    """Return a threshold in percent, as it was given.

    >>> limit_text(0.03), limit_text(0.025)
    ('3%', '2.5%')
    """
    return f"{100 * share:.6g}%"


def loss_text(loss: Loss | None) -> str:
    """Return a loss in words, with its interval; what is better is said to be.

    >>> loss_text(Loss(loss=-0.3, interval=None, num_runs=1))
    '30% better (no interval)'
    """
    if loss is None:
        return "no figure in common"
    ends = [] if loss.interval is None else [loss.interval.low, loss.interval.high]
    size, *_ = _percents(abs(loss.loss), *ends)
    is_none = float(size) == 0
    sign = -1.0 if loss.loss < 0 and not is_none else 1.0
    _, *shown = _percents(abs(loss.loss), *sorted(sign * end for end in ends))
    word = "no difference" if is_none else f"{size}% {'worse' if sign > 0 else 'better'}"
    return f"{word} ({' to '.join(shown)}%)" if shown else f"{word} (no interval)"


def signed_loss(loss: Loss | None) -> str:
    """Return a loss for a table: above 0 is worse.

    >>> signed_loss(Loss(loss=-0.042, interval=None, num_runs=2)), signed_loss(None)
    ('−4.2%', '—')
    """
    if loss is None:
        return MISSING
    ends = [] if loss.interval is None else [loss.interval.low, loss.interval.high]
    value, *shown = _percents(loss.loss, *ends, signed=True)
    return f"{value}% ({' to '.join(shown)})" if shown else f"{value}%"


def thresholds_text(decision: Decision) -> str:
    """Return what decides, as one sentence."""
    limits = decision.thresholds
    level = f"{100 * limits.confidence:.6g}%"
    if decision.is_advisory:
        return (
            "Not measured in interleaved pairs, so this is advisory: it fails only beyond a loss "
            f"of {limit_text(limits.advisory)}, or where a configuration fails or runs out of "
            "memory."
        )
    return (
        f"Regression: the lower {level} bound of the overall loss is above "
        f"{limit_text(limits.max_loss)}, that of one measure is (Holm-corrected), one "
        f"configuration is shown (Holm-corrected) to have lost more than "
        f"{limit_text(limits.single_margin)}, or one is lost. Pass: the upper bound is below "
        f"{limit_text(limits.pass_below)}. Otherwise inconclusive."
    )


def evidence_text(decision: Decision) -> str:
    """Return what the verdict rests on: `5 pairs, 8 configurations`."""
    pairs = plural(decision.num_pairs, "pair") if decision.num_pairs > 1 else "one run each"
    return f"{pairs}, {plural(len(counting(decision)), 'configuration')}"


def metric_of_measure(report: Report, measure: Measure) -> str:
    """Return the figure that a measure is of."""
    return measures_of(report.throughput, report.latency)[measure]


def measure_label(report: Report, measure: Measure) -> str:
    """Return what people call a measure: `output throughput`, `p95 E2E`."""
    return short_label(metric_of_measure(report, measure))


def before_after(match: Match, measure: Measure) -> tuple[float | None, float | None]:
    """Return what both sides measured: the geometric means of the runs, whose ratio the loss is."""
    return _mean(match.baseline.get(measure, ())), _mean(match.candidate.get(measure, ()))


def before_after_text(report: Report, match: Match, measure: Measure) -> str:
    """Return both sides' figures with their unit: `812 → 790 tokens/s`."""
    metric = metric_of_measure(report, measure)
    before, after = before_after(match, measure)
    first, last = with_unit(metric, before), with_unit(metric, after)
    unit = last.partition(" ")[2]
    return f"{first.removesuffix(f' {unit}') if unit else first} → {last}"


def worst(found: ConfigurationLoss) -> tuple[Measure, Loss] | None:
    """Return the measure that shows the most: the least p-value, else the largest loss."""
    measured = [m for m in MEASURES if m in found.losses]
    if not measured:
        return None

    def shown(measure: Measure) -> tuple[float, float]:
        p = found.p_values.get(measure)
        return (1.0 if p is None else p, -found.losses[measure].loss)

    measure = min(measured, key=shown)
    return measure, found.losses[measure]


def worst_first(found: Iterable[ConfigurationLoss]) -> list[ConfigurationLoss]:
    """Return regressions first, then by falling loss."""
    return sorted(found, key=lambda c: (not c.is_regression, -_largest(c)))


def counting(decision: Decision) -> list[ConfigurationLoss]:
    """Return the configurations that the overall loss is the mean of, the worst first."""
    return [c for c in worst_first(decision.configurations) if c.match.is_gating]


def regressions(decision: Decision) -> list[ConfigurationLoss]:
    """Return the configurations that regressed by themselves, the worst first."""
    return [c for c in worst_first(decision.configurations) if c.is_regression]


def side_names(comparison: Comparison) -> tuple[str, str]:
    """Return what to call the two: the folders' names, with as many parents as tell them apart."""
    first, last = comparison.baseline.path.parts, comparison.candidate.path.parts
    for count in range(1, max(len(first), len(last)) + 1):
        names = "/".join(first[-count:]), "/".join(last[-count:])
        if names[0] != names[1]:
            return one_line(names[0], limit=60), one_line(names[1], limit=60)
    return "baseline", "candidate"


def goal_name(comparison: Comparison, change: OperatingPointChange) -> str:
    """Return an operating point's name, with the workload where several were measured."""
    chosen = change.before or change.same_now or change.best_now
    if chosen is None or len(comparison.baseline.report.workloads) < 2:
        return one_line(change.goal)
    return one_line(f"{change.goal} [{chosen.settings.workload}]")


def cost_text(change: OperatingPointChange) -> str:
    """Return what an operating point costs now, `—` where nothing keeps its limits."""
    if change.cost is None:
        return MISSING
    size = share_text(abs(change.cost))
    if size == "0.0%":
        return "the same"
    return f"{size} {'worse' if change.cost > 0 else 'better'}"


def meets_text(change: OperatingPointChange) -> str:
    """Return whether an operating point still keeps its limits."""
    if change.before is None:
        return MISSING
    if change.still_meets is None:
        return "not shown"
    if not change.limits:
        return "no limit"
    return "yes" if change.still_meets else "NO"


def p_text(p: float | None) -> str:
    """Return a p-value.

    >>> p_text(0.0123), p_text(0.00004), p_text(None)
    ('0.012', '< 0.001', '—')
    """
    if p is None:
        return MISSING
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def short_names(labels: Sequence[str], *, separator: str = ", ") -> dict[str, str]:
    """Return each label without the parts that all of them have.

    >>> short_names(["batch 4, wait 0 ms, closed loop", "batch 8, wait 0 ms, closed loop"])
    {'batch 4, wait 0 ms, closed loop': 'batch 4', 'batch 8, wait 0 ms, closed loop': 'batch 8'}
    """
    parts = {label: label.split(separator) for label in labels}
    shared = set.intersection(*map(set, parts.values())) if len(parts) > 1 else set()
    return {
        label: separator.join(part for part in of_label if part not in shared) or label
        for label, of_label in parts.items()
    }


def _largest(found: ConfigurationLoss) -> float:
    return max((loss.loss for loss in found.losses.values()), default=-math.inf)


def _percents(*shares: float, signed: bool = False) -> list[str]:
    """Return shares in percent, all with as many digits: one decimal while all are below 20%."""
    decimals = 1 if all(abs(share) < 0.2 for share in shares) else 0
    return [_percent(share, decimals, signed=signed) for share in shares]


def _percent(share: float, decimals: int, *, signed: bool) -> str:
    if not math.isfinite(share):
        return number(share)
    text = f"{100 * share:{'+' if signed else ''}.{decimals}f}".replace("-", "−")
    digits = text.lstrip("+−")
    return digits if float(digits) == 0 else text


def _mean(values: Sequence[float]) -> float | None:
    if not values:
        return None
    if any(value <= 0 for value in values):
        return sum(values) / len(values)
    return math.exp(sum(map(math.log, values)) / len(values))
