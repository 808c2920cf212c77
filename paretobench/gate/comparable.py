"""Whether two sides may be held against each other; every difference is named at once."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from paretobench.core.errors import NotComparableError
from paretobench.core.metrics import split_name
from paretobench.core.points import Settings
from paretobench.gate.facts import ALLOWANCES, Fact, facts_of
from paretobench.gate.identity import by_key, load_text, tells_variants, variants_of
from paretobench.gate.sides import SideRuns
from paretobench.gate.values import Difference
from paretobench.report.manifest import is_simulated, scenario, section, systems, workload_facts
from paretobench.report.text import joined
from paretobench.results.reader import RunFolder

_MAX_NAMED = 6
_OF_SLA = ("goodput_requests_per_s", "sla_attainment")


def check_comparable(
    before: SideRuns, after: SideRuns, allow: Collection[str]
) -> tuple[tuple[Difference, ...], tuple[str, ...]]:
    """Return the differences that `allow` names, and warnings of what is not known to be the same.

    Raises NotComparableError, naming every other difference, where there is one.
    """
    found: list[tuple[Difference, Fact]] = []
    unknown: dict[str, None] = {}
    for what, mine, other in _facts_that_differ(before, after, unknown):
        found.append((_difference(what, mine, other, allow), mine))
    for side in (before, after):
        found += [(difference, fact) for difference, fact in _within(side)]
    refused = [(d, f) for d, f in found if not d.is_allowed]
    contents = _contents_that_differ(before, after)
    if refused or contents:
        raise NotComparableError(_refusal(before, after, refused, contents))
    return tuple(d for d, _ in found), (*_unknown_text(unknown), *_other_card(before, after))


def _facts_that_differ(
    before: SideRuns, after: SideRuns, unknown: dict[str, None]
) -> Iterator[tuple[str, Fact, Fact]]:
    """Yield what is not the same in the first run of each side; `unknown` gains what one lacks.

    What differs alike in every variant is told once.
    """
    differ: dict[str, list[tuple[str | None, Fact, Fact]]] = {}
    variants = _variants_in_both(before, after)
    for mine, other in variants:
        left = facts_of(before.side.runs[0], mine)
        right = facts_of(after.side.runs[0], other)
        unknown |= dict.fromkeys(left.keys() ^ right.keys())
        for what in left:
            if what in right and left[what].value != right[what].value:
                differ.setdefault(what, []).append((mine, left[what], right[what]))
    for what, entries in differ.items():
        _, left_fact, right_fact = entries[0]
        if len(entries) == len(variants) and len({e[1:] for e in entries}) == 1:
            yield what, left_fact, right_fact
        else:
            yield from ((f"{what} of {mine}", fact, other) for mine, fact, other in entries)


def _variants_in_both(before: SideRuns, after: SideRuns) -> list[tuple[str | None, str | None]]:
    if tells_variants(before, after):
        return [(name, name) for name in variants_of(before) if name in variants_of(after)]
    return [(name, other) for name in variants_of(before) for other in variants_of(after)]


def _difference(what: str, mine: Fact, other: Fact, allow: Collection[str]) -> Difference:
    return Difference(
        what=what,
        baseline=mine.value,
        candidate=other.value,
        is_allowed=mine.allowance is not None and mine.allowance in allow,
    )


def _within(side: SideRuns) -> Iterator[tuple[Difference, Fact]]:
    """Yield how later runs of a side differ from its first: nothing may."""
    first = side.side.runs[0]
    for name, run in zip(side.names[1:], side.side.runs[1:], strict=True):
        for variant in systems(first):
            known = facts_of(first, variant)
            facts = {**known, **facts_of(run, variant)}
            for what in known:
                if facts[what].value != known[what].value:
                    told = f"{what} of the {side.side.name}'s {side.names[0]} and {name}"
                    yield (
                        _difference(told, known[what], facts[what], ()),
                        Fact(what=what, value=known[what].value, allowance=None),
                    )


def _contents_that_differ(before: SideRuns, after: SideRuns) -> list[tuple[str, str, str]]:
    """Return what was asked of both and is not the same, or that they have nothing in common."""
    first, second = before.side.runs[0], after.side.runs[0]
    found = [
        (what, mine, other)
        for what, mine, other in (
            ("objectives", _objectives(first), _objectives(second)),
            ("SLA", _sla(first), _sla(second)),
        )
        if mine != other
    ]
    others = {(f.get("workload"), f.get("class")): f for f in workload_facts(second)}
    for facts in workload_facts(first):  # a trace's name does not tell what is in it
        same = others.get((facts.get("workload"), facts.get("class")), facts)
        if same != facts:
            what = f"request lengths of {facts.get('workload')}"
            found.append((what, _lengths(facts), _lengths(same)))
    return found + _nothing_in_common(before, after)


def _nothing_in_common(before: SideRuns, after: SideRuns) -> list[tuple[str, str, str]]:
    several = tells_variants(before, after)
    if by_key(before, tells_variants=several).keys() & by_key(after, tells_variants=several).keys():
        return []
    mine, other = (
        [c.settings for c in side.side.report.configurations] for side in (before, after)
    )
    if not mine or not other:
        return [("configurations", f"{len(mine)} measured", f"{len(other)} measured")]
    ways = (
        ("variant", lambda s: s.variant or "no name") if several else None,
        ("workload", lambda s: s.workload),
        ("load", load_text),
    )
    for way in ways:
        if way is not None:
            what, text_of = way
            left, right = (list(dict.fromkeys(map(text_of, of))) for of in (mine, other))
            if not set(left) & set(right):
                return [(what, _some(left), _some(right))]
    return [("batching", _batchings(mine), _batchings(other))]


def _batchings(settings: Sequence[Settings]) -> str:
    return _some(
        list(
            dict.fromkeys(f"{s.policy} batch {s.max_batch_size}, {load_text(s)}" for s in settings)
        )
    )


def _objectives(run: RunFolder) -> str:
    objectives = section(scenario(run), "objectives")
    return f"{objectives.get('throughput')} against {objectives.get('latency')}"


def _sla(run: RunFolder) -> str:
    """Return the limits that goodput depends on, nothing where it is no objective."""
    objectives = section(scenario(run), "objectives")
    if split_name(str(objectives.get("throughput")))[1] not in _OF_SLA:
        return ""
    classes = section(scenario(run), "classes")
    limits: dict[str, Any] = {
        name: {key: value for key, value in classes[name].items() if "sla" in key}
        for name in classes
    }
    return json.dumps({"": scenario(run).get("sla"), **limits}, sort_keys=True)


def _lengths(facts: Any) -> str:
    parts = [
        f"{name.removesuffix('_tokens')} mean {facts[name]['mean']:.4g}, max {facts[name]['max']}"
        for name in ("prompt_tokens", "output_tokens")
        if facts.get(name)
    ]
    return "; ".join(parts)


def _refusal(
    before: SideRuns,
    after: SideRuns,
    refused: Sequence[tuple[Difference, Fact]],
    contents: Sequence[tuple[str, str, str]],
) -> str:
    baseline, candidate = before.side.path, after.side.path
    lines = [f"{baseline} and {candidate} are not comparable, they differ in:"]
    for difference, fact in refused:
        may = f" (--allow {fact.allowance})" if fact.allowance else ""
        lines.append(
            f"  {difference.what}: {difference.baseline} in the baseline, "
            f"{difference.candidate} in the candidate{may}"
        )
    for what, mine, other in contents:
        lines.append(f"  {what}: {mine} in the baseline, {other} in the candidate")
    command = "simulate" if is_simulated(before.side.runs[0]) else "sweep"
    again = f"paretobench {command} SCENARIO --like {before.side.runs[0].path}"
    return "\n".join([*lines, *_remedies(again, refused, contents)])


def _remedies(
    again: str,
    refused: Sequence[tuple[Difference, Fact]],
    contents: Sequence[tuple[str, str, str]],
) -> list[str]:
    names = [a for a in ALLOWANCES if any(f.allowance == a for _, f in refused)]
    always = [d.what for d, f in refused if f.allowance is None]
    remedies = []
    if contents:
        remedies.append(f"Serve what the baseline served, at its rates: {again}")
    if names:
        remedies.append(f"Where the difference is what you compare: --allow {','.join(names)}")
    if always:
        remedies.append(
            f"No option allows another {joined(always)}: measure both sides anew on one system "
            "that is the same in all but the change"
        )
    return remedies


def _unknown_text(unknown: dict[str, None]) -> Iterator[str]:
    if unknown:
        yield (
            f"only one side records {joined(sorted(unknown))}: whether that is the same is not "
            "known"
        )


def _other_card(before: SideRuns, after: SideRuns) -> Iterator[str]:
    cards = [
        {str(s["gpu_uuid"]) for s in systems(side.side.runs[0]).values() if s.get("gpu_uuid")}
        for side in (before, after)
    ]
    if cards[0] and cards[1] and cards[0] != cards[1]:
        yield (
            "the two sides were measured on two cards of one model: cards differ, so measure pairs "
            "on one of them to see a small difference"
        )


def _some(items: Sequence[str]) -> str:
    more = f" and {len(items) - _MAX_NAMED} more" if len(items) > _MAX_NAMED else ""
    return f"{'; '.join(items[:_MAX_NAMED])}{more}"
