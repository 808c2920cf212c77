"""Which runs of the candidate stand against which of the baseline: those that measured the same."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from paretobench.analysis.configurations import Configuration, combine_repeats, worst_of
from paretobench.analysis.neighbours import neighbours_of
from paretobench.core.metrics import LATENCY_KINDS, qualified, split_name
from paretobench.core.points import Point
from paretobench.gate.identity import by_key, content_key, load_shape, load_text
from paretobench.gate.lost import lost_of
from paretobench.gate.rounds import ConfigurationRuns, runs_of
from paretobench.gate.sides import SideRuns
from paretobench.gate.values import Lost, Match, Measure, SideName, Unmatched
from paretobench.report.settings_text import configuration_label, in_order
from paretobench.report.text import one_line, plural

_REASON_LENGTH = 200
_RATES = ("output_tokens_per_s", "total_tokens_per_s", "requests_per_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """What of both sides was found to belong together, and what was not."""

    matches: tuple[Match, ...]
    lost: tuple[Lost, ...]
    unmatched: tuple[Unmatched, ...]
    warnings: tuple[str, ...]


def measures_of(throughput: str, latency: str) -> dict[Measure, str]:
    """Return the figure behind each measure. A percentile of another kind gives that kind's p50
    and p95; a latency that is none is that of whole requests.

    >>> measures_of("output_tokens_per_s", "chat.p99_ttft_ms")["p50_latency"]
    'chat.p50_ttft_ms'
    """
    of_class, base = split_name(latency)
    kind = base.removesuffix("_ms").partition("_")[2]
    kind = kind if kind in LATENCY_KINDS else "e2e"
    p50, p95 = (
        name if of_class is None else qualified(of_class, name)
        for name in (f"p50_{kind}_ms", f"p95_{kind}_ms")
    )
    return {"throughput": throughput, "p50_latency": p50, "p95_latency": p95}


def match_configurations(before: SideRuns, after: SideRuns, *, tells_variants: bool) -> Matching:
    """Return what both sides measured, and what stands in one alone."""
    mine = by_key(before, tells_variants=tells_variants)
    others = by_key(after, tells_variants=tells_variants)
    report = before.side.report
    measures = measures_of(report.throughput, report.latency)
    gating = gating_keys(before, tells_variants) | gating_keys(after, tells_variants)
    on_frontier = {content_key(c.settings, tells_variants=tells_variants) for c in report.frontier}
    matches: list[Match] = []
    lost: list[Lost] = []
    unmatched: list[Unmatched] = []
    stages: list[ConfigurationRuns] = []
    for key, configuration in sorted(mine.items(), key=lambda item: in_order(item[1].settings)):
        label = configuration_label(configuration.settings, report.varied)
        if key not in others:
            why = why_alone(configuration, others.values(), "candidate")
            unmatched.append(Unmatched(side="baseline", label=label, why=why))
            continue
        runs = runs_of(configuration, others[key], before, after)
        stages.append(runs)
        found = _match(key, label, runs, configuration, others[key], measures, key in gating)
        if isinstance(found, Match):
            matches.append(found)
        gone = lost_of(key, label, runs, was_on_frontier=key in on_frontier)
        if gone is not None:
            lost.append(gone)
        elif isinstance(found, str):
            unmatched.append(Unmatched(side=None, label=label, why=found))
    for key, configuration in others.items():
        if key not in mine:
            label = configuration_label(configuration.settings, after.side.report.varied)
            why = why_alone(configuration, mine.values(), "baseline")
            unmatched.append(Unmatched(side="candidate", label=label, why=why))
    counted, in_one_pair = _told_by_pairs(matches)
    return Matching(
        matches=tuple(counted),
        lost=tuple(lost),
        unmatched=tuple(unmatched),
        warnings=(*_alone_warning(len(mine), unmatched), *in_one_pair, *_warnings(matches, stages)),
    )


def gating_keys(side: SideRuns, tells_variants: bool) -> set[str]:
    """Return what stands on the side's frontier, and next to it in batch size or wait."""
    report = side.side.report
    near = [
        n.configuration for c in report.frontier for n in neighbours_of(c, report.configurations)
    ]
    return {
        content_key(c.settings, tells_variants=tells_variants) for c in (*report.frontier, *near)
    }


def _match(
    key: str,
    label: str,
    runs: ConfigurationRuns,
    before: Configuration,
    after: Configuration,
    measures: Mapping[Measure, str],
    is_gating: bool,
) -> Match | str:
    """Return the match, or why these two cannot be held against each other."""
    if not runs.valid_rounds:
        return _why_not_valid(runs)
    mine, others, is_paired = runs.counted()
    left, right = (_values([run for _, run in side], measures) for side in (mine, others))
    if isinstance(left, str) or isinstance(right, str):
        name = left if isinstance(left, str) else right
        return f"{name} is in no run a number over 0: it has no ratio"
    return Match(
        key=key,
        label=label,
        is_gating=is_gating,
        is_paired=is_paired,
        baseline=left,
        candidate=right,
        baseline_rounds=tuple(number for number, _ in mine),
        candidate_rounds=tuple(number for number, _ in others),
        before=_of_runs(before, [run for _, run in mine]),
        after=_of_runs(after, [run for _, run in others]),
        throughput_is_a_rate=split_name(measures["throughput"])[1] in _RATES,
    )


def _values(
    runs: Sequence[Point], measures: Mapping[Measure, str]
) -> dict[Measure, tuple[float, ...]] | str:
    """Return each run's value by measure, or the figure that all of them lack; a missing one is
    inf: it has no ratio either, and is left out with its pair."""
    values: dict[Measure, tuple[float, ...]] = {}
    for measure, name in measures.items():
        found = [run.figures.get(name) for run in runs]
        values[measure] = tuple(math.inf if value is None else value for value in found)
        if not any(0 < value < math.inf for value in values[measure]):
            return name
    return values


def _of_runs(configuration: Configuration, runs: Sequence[Point]) -> Configuration:
    """Return the configuration as these runs show it, which stay in this order."""
    if {id(run) for run in runs} == {id(run) for run in configuration.runs}:
        return replace(configuration, runs=tuple(runs))
    (of_runs,) = combine_repeats(runs)
    return replace(of_runs, runs=tuple(runs))


def _why_not_valid(runs: ConfigurationRuns) -> str:
    """Return why no pair has valid runs on both sides."""
    before = [run for _, of_round in runs.rounds for run in of_round.before]
    after = [run for _, of_round in runs.rounds for run in of_round.after]
    if not before:
        return "no pair measured it on both sides"
    worst, now = worst_of(before), worst_of(after)
    if worst.verdict == now.verdict:
        return f"not valid in either: {_told(worst)}"
    told = [
        f"not valid in the {side}: {_told(run)}"
        for side, run in (("baseline", worst), ("candidate", now))
        if run.verdict != "valid"
    ]
    return "; ".join(told)


def _told(run: Point) -> str:
    return f"{run.verdict.replace('_', ' ')} ({one_line(run.reason, limit=_REASON_LENGTH)})"


def why_alone(
    configuration: Configuration, others: Collection[Configuration], lacking: SideName
) -> str:
    """Return why a configuration has no partner: another rate is the commonest reason."""
    settings = configuration.settings
    rate = settings.offered_requests_per_s
    alike = [
        other.settings
        for other in others
        if load_shape(other.settings) == load_shape(settings)
        and other.settings.workload == settings.workload
    ]
    if rate is None or not alike or any(s.offered_requests_per_s == rate for s in alike):
        return f"not in the {lacking}"
    rates = ", ".join(dict.fromkeys(load_text(s) for s in alike))
    return (
        f"at {load_text(settings)}, which the {lacking} does not have ({rates}): sweep with --like "
        "to serve the same rates"
    )


def _alone_warning(num_before: int, unmatched: Sequence[Unmatched]) -> list[str]:
    alone = sum(found.side == "baseline" for found in unmatched)
    if not alone:
        return []
    return [
        f"{alone} of {plural(num_before, 'configuration')} of the baseline are not in the "
        "candidate: the outcome is that of the others"
    ]


def _told_by_pairs(matches: Sequence[Match]) -> tuple[list[Match], list[str]]:
    """Return the matches, of which those with one pair do not gate where others have several, and
    who these are: one pair says nothing of how pairs differ."""
    few = {m.key: m for m in matches if m.is_gating and len(set(m.baseline_rounds)) < 2}
    if not few or len(few) == sum(m.is_gating for m in matches):
        return list(matches), []
    told = "; ".join(m.label for m in few.values())
    return (
        [replace(m, is_gating=False) if m.key in few else m for m in matches],
        [f"valid on both sides in one pair alone, so not in the overall loss: {told}"],
    )


def _warnings(matches: Sequence[Match], runs: Sequence[ConfigurationRuns]) -> list[str]:
    found = []
    once = [r for r in runs if r.is_one_confirmed]
    if once:
        found.append(
            f"{plural(len(once), 'configuration')} on a frontier measured again by one side alone: "
            "the first measurements of both are compared where they served the same requests, else "
            "what each side published; sweep with --like to measure the same trials"
        )
    partly = [r for r in runs if 0 < len(r.valid_rounds) < len(r.rounds)]
    if partly:
        found.append(
            f"{plural(len(partly), 'configuration')} not valid on both sides in every pair: the "
            "other pairs count"
        )
    unpaired = [m for m in matches if not m.is_paired]
    if unpaired:
        found.append(
            f"{len(unpaired)} of {plural(len(matches), 'configuration')} did not serve the same "
            "requests on both sides: luck of the draw counts as noise there; sweep with --like to "
            "serve the same"
        )
    return found
