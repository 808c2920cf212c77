"""A comparison as Markdown, for a report or a CI job's summary."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from paretobench.gate.headline import headline
from paretobench.gate.markdown_changes import change_sections
from paretobench.gate.next_step import pairs_to_measure, why_no_pairs
from paretobench.gate.text import (
    before_after,
    evidence_text,
    limit_text,
    loss_text,
    measure_label,
    metric_of_measure,
    p_text,
    side_names,
    signed_loss,
    thresholds_text,
    worst_first,
)
from paretobench.gate.values import MEASURES, Comparison, ConfigurationLoss, Measure
from paretobench.report.columns import column_title
from paretobench.report.manifest import provenance_line
from paretobench.report.markdown_table import table
from paretobench.report.text import markdown, number, one_line, plural

_MAX_CONFIGURATIONS = 60  # rows; GitHub takes 1 MiB a step
_MAX_NOTES = 20
_LABEL = 160  # characters


def comparison_markdown(comparison: Comparison, *, picture: str | None = None) -> str:
    """Return the verdict first, then what shows it; `picture` is shown where it lies beside it.

    Nothing in it acts as markup that comes from a scenario, and long lists are cut and say so: it
    stays far below the 1 MiB that GitHub allows a step's summary.
    """
    lines = [
        *_verdict_lines(comparison),
        *([f"![Both frontiers, and arrows from old to new]({picture})", ""] if picture else []),
        *_configuration_lines(comparison),
        *change_sections(comparison),
        *_note_lines(comparison),
        *_reading_lines(comparison),
        *_next_lines(comparison),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _verdict_lines(comparison: Comparison) -> list[str]:
    decision, (before, after) = comparison.decision, side_names(comparison)
    lines = [f"**{markdown(headline(comparison))}**", ""]
    reason = markdown(one_line(decision.reason, limit=600))
    lines += [f"{reason[:1].upper()}{reason[1:]}{'' if reason.endswith('.') else '.'}", ""]
    lines += [markdown(thresholds_text(decision)), ""]
    report = comparison.baseline.report
    parts = [
        f"{markdown(measure_label(report, measure))} {loss_text(decision.by_measure[measure])}"
        for measure in MEASURES
        if measure in decision.by_measure
    ]
    lines += [f"By measure: {'; '.join(parts)}.", ""] if parts else []
    runs = [
        provenance_line(side.report.run) for side in (comparison.baseline, comparison.candidate)
    ]
    ran = runs[0] if runs[0] == runs[1] else f"{runs[0]}; candidate: {runs[1]}"
    return [
        *lines,
        f"Candidate {markdown(after)} against baseline {markdown(before)}, "
        f"{evidence_text(decision)}. {markdown(one_line(ran, limit=400))}.",
        "",
    ]


def _configuration_lines(comparison: Comparison) -> list[str]:
    decision, report = comparison.decision, comparison.baseline.report
    lines = ["### Configurations that count", ""]
    found = [
        c for c in worst_first(decision.configurations) if c.match.is_gating or c.is_regression
    ]
    if not found:
        return [
            *lines,
            "None: no configuration of a frontier, or next to one, is valid in both.",
            "",
        ]
    tests = any(p is not None for c in found for p in c.p_values.values())
    header = ["configuration"]
    header += [f"{column_title(metric_of_measure(report, m))}: loss" for m in MEASURES]
    header += ["Holm p", ""] if tests else []
    rows = [
        [one_line(c.match.label, limit=_LABEL), *(_cell(c, m) for m in MEASURES)]
        + ([_p_cell(c), "regression" if c.is_regression else ""] if tests else [])
        for c in found[:_MAX_CONFIGURATIONS]
    ]
    lines += [*table(header, rows, num_left=1), ""]
    others = len(comparison.matches) - len(found)
    notes = ["A cell is before → after, and the loss with its 95% interval: above 0 is worse."]
    if tests:
        margin = limit_text(decision.thresholds.single_margin)
        notes.append(f"Holm p: the least of the three tests of “it lost no more than {margin}”.")
    if len(found) > _MAX_CONFIGURATIONS:
        notes.append(f"And {len(found) - _MAX_CONFIGURATIONS:,} more that lost less.")
    if others > 0:
        count = plural(others, "further configuration")
        notes.append(
            f"Not counted: {count} that matched, but off the frontiers and not next to one."
        )
    return [*lines, " ".join(notes), ""]


def _cell(found: ConfigurationLoss, measure: Measure) -> str:
    before, after = before_after(found.match, measure)
    return f"{number(before)} → {number(after)}: {signed_loss(found.losses.get(measure))}"


def _p_cell(found: ConfigurationLoss) -> str:
    return p_text(min((p for p in found.p_values.values() if p is not None), default=None))


def _note_lines(comparison: Comparison) -> list[str]:
    notes = [*comparison.decision.notes, *comparison.warnings]
    if not notes:
        return []
    shown = [f"- Note: {markdown(one_line(note, limit=400))}" for note in notes[:_MAX_NOTES]]
    if len(notes) > _MAX_NOTES:
        shown.append(f"- And {len(notes) - _MAX_NOTES:,} more.")
    return ["### Notes", "", *shown, ""]


def _reading_lines(comparison: Comparison) -> list[str]:
    said = [
        "A loss is how much worse the candidate is, as a share: less throughput, or more latency; "
        "below 0 it is better. The overall loss is the geometric mean over the configurations that "
        "count, of throughput, p50 and p95 latency. p99 never decides: one run holds too few "
        "requests beyond it.",
    ]
    if comparison.decision.outcome == "inconclusive":
        said.append(
            "Inconclusive is not a pass: what was measured allows both a loss worth stopping for "
            "and none."
            + (" More pairs narrow the interval." if pairs_to_measure(comparison.decision) else "")
        )
    return ["### How to read this", "", " ".join(said), ""]


def _next_lines(comparison: Comparison) -> list[str]:
    decision = comparison.decision
    lines = ["Next:", "", "```sh", *next_commands(comparison), "```", ""]
    if decision.outcome == "inconclusive" and pairs_to_measure(decision) is None:
        return [f"{markdown(one_line(why_no_pairs(decision), limit=600))}.", "", *lines]
    return lines


def next_commands(comparison: Comparison) -> Sequence[str]:
    """Return what to run next, after this verdict."""
    decision = comparison.decision
    paths = [one_line(str(side.path)) for side in (comparison.baseline, comparison.candidate)]
    count = pairs_to_measure(decision)
    if count is not None:
        return (
            f"paretobench compare --run-pairs {count} --baseline-cmd '...' --candidate-cmd '...'",
        )
    # the runs of a pair lie in folders of their own
    runs = [
        one_line(str(side.report.run.path)) for side in (comparison.baseline, comparison.candidate)
    ]
    shown = paths if decision.num_pairs < 2 else runs
    return (f"paretobench report {' '.join(map(shlex.quote, shown))}",)
