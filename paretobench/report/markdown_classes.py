"""The parts of `report.md` on mixed traffic: what each class got, and what it cost the others."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.analysis.configurations import Configuration
from paretobench.core.metrics import metric_of, qualified
from paretobench.report.class_effects import (
    LimitCost,
    PolicyPair,
    limit_costs,
    policy_pairs,
    wait_for_the_longest,
)
from paretobench.report.columns import column_title
from paretobench.report.markdown_table import table
from paretobench.report.model import Report
from paretobench.report.settings_text import combination_order, configuration_label, family_label
from paretobench.report.text import (
    MISSING,
    joined,
    markdown,
    marked,
    memory_label,
    number,
    ratio_label,
    short_label,
    unit_of,
    with_article,
    with_unit,
)

_MAX_CONFIGURATIONS = 12
_FIGURES = (
    "p50_e2e_ms",
    "p95_e2e_ms",
    "p50_ttft_ms",
    "p95_ttft_ms",
    "output_tokens_per_s",
    "sla_attainment",
    "max_wait_ms",
)
_PREEMPTED = ("num_preemptions", "recomputed_tokens")
_PAIRED = ("mean_e2e_ms", "p50_e2e_ms", "p95_e2e_ms")


def class_sections(report: Report) -> list[str]:
    """Return the sections on classes, none where the traffic has one."""
    lines: list[str] = []
    if len(report.class_names) > 1:
        lines += ["## By class", "", *_by_class_lines(report), ""]
    pairs = policy_pairs(report)
    if pairs:
        lines += ["## What the longest request costs", "", *_longest_lines(report, pairs), ""]
    return lines


def _by_class_lines(report: Report) -> list[str]:
    lines = []
    for cost in limit_costs(report):
        lines += [markdown(_cost_sentence(report, cost)), ""]
    lines += _cost_table(report)
    shown = _shown(report)
    if not shown:
        return [*lines, "No valid trial stands on the frontier: points.csv has every class's rows."]
    figures = [*_FIGURES]
    every = [c.figures.get(qualified(n, m)) for c in shown for n in report.class_names
             for m in _PREEMPTED]  # fmt: skip
    figures += _PREEMPTED if any(every) else ()
    rows = [
        [
            configuration_label(c.settings, report.varied) if index == 0 else "",
            name,
            *(marked(c, qualified(name, metric)) for metric in figures),
        ]
        for c in shown
        for index, name in enumerate(report.class_names)
    ]
    header = ["configuration", "class", *map(column_title, figures)]
    note = "Every configuration's classes: [points.csv](points.csv)."
    return [*lines, *table(header, rows, num_left=2), "", note]


def _shown(report: Report) -> list[Configuration]:
    """Return the operating points and the frontier, each once; of a long frontier its first."""
    chosen = [p.configuration for p in report.operating_points if p.configuration is not None]
    every = {c.settings.configuration_id: c for c in (*chosen, *report.frontier)}
    return list(every.values())[:_MAX_CONFIGURATIONS]


def _cost_sentence(report: Report, cost: LimitCost) -> str:
    """Say what a class pays for the limit on another: in numbers, and under which arrangement."""
    goal, unit = cost.goal, unit_of(cost.goal.objective)
    best = number(cost.free.figures.get(goal.objective))
    best_of = f"{best} ({configuration_label(cost.free.settings, report.varied)})"
    limits = joined([_limit_text(name, limit) for name, limit in goal.subject_to.items()])
    if cost.kept is None:
        return (
            f"No valid configuration keeps {limits}. With no regard to it the best has "
            f"{best} {unit} ({configuration_label(cost.free.settings, report.varied)})."
        )
    if cost.kept is cost.free or cost.share is None:
        return f"Keeping {limits} costs no {unit}: the most that was measured, {best_of}, keeps it."
    kept = number(cost.kept.figures.get(goal.objective))
    kept_of = f"{kept} ({configuration_label(cost.kept.settings, report.varied)})"
    share = _percent(cost.share)
    return f"Keeping {limits} costs {share} of the {unit}: {kept_of} against {best_of}."


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.01 or share == 0 else f"{100 * share:.1g}%"


def _limit_text(name: str, limit: float) -> str:
    verb = "at or above" if metric_of(name).better == "higher" else "inside"
    return f"{short_label(name)} {verb} {with_unit(name, limit)}"


def _cost_table(report: Report) -> list[str]:
    """Return the cost for each policy and arrangement, where there are several."""
    families: dict[str, list[Configuration]] = {}
    for c in sorted(report.configurations, key=lambda c: combination_order(c.settings)):
        families.setdefault(family_label(c.settings, report.varied), []).append(c)
    rows = []
    for name, family in families.items():
        for cost in limit_costs(report, family):
            share = cost.share
            kept = None if cost.kept is None else cost.kept.figures.get(cost.goal.objective)
            cells = [
                "none keeps it" if cost.kept is None else number(kept),
                number(cost.free.figures.get(cost.goal.objective)),
                MISSING if share is None else _percent(share),
            ]
            rows.append([name, cost.goal.name, *cells])
    if len(families) < 2 or not rows:
        return []
    unit = unit_of(limit_costs(report)[0].goal.objective)
    header = ["arrangement", "for", f"best {unit} inside the limit", "best of all", "cost"]
    return [*table(header, rows, num_left=2), *_open_loop_note(report), ""]


def _open_loop_note(report: Report) -> list[str]:
    if any(c.settings.load_kind == "closed_loop" for c in report.configurations):
        return []
    return ["", "Under these loads throughput is at most what arrives: a cost shows at its limit."]


def _longest_lines(report: Report, pairs: Sequence[PolicyPair]) -> list[str]:
    found = wait_for_the_longest(report)
    lines = []
    if found is not None:
        name, least, most = found
        times = ratio_label(most)
        if ratio_label(least) != times:
            times = f"{ratio_label(least)} to {times}"
        lines = [
            f"Under static batching {markdown(with_article(name))} request takes {times} as long "
            "as under continuous batching at the same load and batch size (mean E2E latency): it "
            "is delivered with the longest of its batch.",
            "",
        ]
    waits = len({p.static.settings.max_waiting_time_ms for p in pairs}) > 1
    limits = any(memory_label(p.static.settings) for p in pairs)
    rows = [_pair_row(pair, name, waits or limits)
            for pair in pairs for name in report.class_names]  # fmt: skip
    header = ["load", "batch", "class"]
    for metric in _PAIRED:
        label = short_label(metric)
        header += [f"{label} static (ms)", f"{label} continuous (ms)", "ratio"]
    return [*lines, *table(header, rows, num_left=3)]


def _pair_row(pair: PolicyPair, name: str, in_full: bool) -> list[str]:
    settings = pair.static.settings
    batch = [str(settings.max_batch_size)]
    if in_full:
        batch += [f"wait {settings.max_waiting_time_ms:g} ms", memory_label(settings)]
    cells = [settings.load, ", ".join(part for part in batch if part), name]
    for metric in _PAIRED:
        for of_policy in (pair.static, pair.continuous):
            said = of_policy.verdict.replace("_", " ")
            cells.append(marked(of_policy, qualified(name, metric)) if of_policy.is_valid else said)
        ratio = pair.ratio(name, metric)
        cells.append(MISSING if ratio is None else ratio_label(ratio))
    return cells
