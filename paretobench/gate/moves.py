"""Who joined the frontier, who left it, and why."""

from __future__ import annotations

from collections.abc import Mapping

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.frontier import curve_of
from paretobench.gate.identity import content_key
from paretobench.gate.matching import why_alone
from paretobench.gate.values import FrontierMove
from paretobench.report.frontier_uncertainty import probability_of, probability_text
from paretobench.report.model import Report
from paretobench.report.settings_text import configuration_label
from paretobench.report.text import one_line

WITHIN_NOISE = 0.05  # a probability to stand on the frontier from which it may well


def frontier_moves(
    before: Report,
    after: Report,
    mine: Mapping[str, Configuration],
    others: Mapping[str, Configuration],
    *,
    tells_variants: bool,
) -> tuple[tuple[FrontierMove, ...], tuple[FrontierMove, ...]]:
    """Return who joined and who left; `mine` and `others` are each side's configurations by key."""
    was, stands = (
        {content_key(c.settings, tells_variants=tells_variants): c for c in report.frontier}
        for report in (before, after)
    )
    joined = tuple(
        FrontierMove(
            label=configuration_label(c.settings, after.varied),
            why=_why(before, mine[key], "in the baseline")
            if key in mine
            else why_alone(c, mine.values(), "baseline"),
        )
        for key, c in stands.items()
        if key not in was
    )
    left = tuple(
        FrontierMove(
            label=configuration_label(c.settings, before.varied),
            why=_why(after, others[key], "in the candidate")
            if key in others
            else why_alone(c, others.values(), "candidate"),
        )
        for key, c in was.items()
        if key not in stands
    )
    return joined, left


def _why(report: Report, configuration: Configuration, where: str) -> str:
    """Return why a configuration is not on a report's frontier."""
    if not configuration.is_valid:
        reason = one_line(configuration.reason, limit=200)
        return f"not valid {where}, {configuration.verdict.replace('_', ' ')}: {reason}"
    names = (report.throughput, report.latency)
    if any(configuration.figures.get(name) is None for name in names):
        return f"{' or '.join(names)} was not measured {where}"
    rival = _dominator(report, configuration)
    why = f"dominated {where}"
    if rival is not None:
        why += f" by {configuration_label(rival.settings, report.varied)}"
    probability = probability_of(report, configuration)
    if probability is not None and probability >= WITHIN_NOISE:
        chance = probability_text(probability)
        why += f"; within the noise: with a probability of {chance} it stands on the frontier"
    return why


def _dominator(report: Report, configuration: Configuration) -> Configuration | None:
    """Return who on the frontier beats a configuration, the nearest in throughput."""
    gain, cost = (_figure(configuration, n) for n in (report.throughput, report.latency))
    rivals = [
        rival
        for rival in report.frontier
        if curve_of(rival) == curve_of(configuration)
        and _figure(rival, report.throughput) >= gain
        and _figure(rival, report.latency) <= cost
    ]
    return min(rivals, key=lambda rival: _figure(rival, report.throughput), default=None)


def _figure(configuration: Configuration, name: str) -> float:
    value = configuration.figures[name]
    assert value is not None  # the frontier's have both
    return value
