"""What a comparison shows on the terminal: tables, and lines under them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from paretobench.analysis.configurations import Configuration
from paretobench.gate.text import (
    cost_text,
    measure_label,
    meets_text,
    outcome_text,
    p_text,
    signed_loss,
)
from paretobench.gate.values import (
    MEASURES,
    Comparison,
    ConfigurationLoss,
    OperatingPointChange,
    Unmatched,
)
from paretobench.report.model import Report
from paretobench.report.settings_text import configuration_label
from paretobench.report.text import MISSING, one_line, plural, with_unit

if TYPE_CHECKING:
    from rich.table import Table

_MAX_LINES = 6


def losses_table(comparison: Comparison) -> Table:
    """Return what each configuration lost, by measure, and the overall loss, as a rich table."""
    from rich.markup import escape
    from rich.table import Table

    decision, report = comparison.decision, comparison.baseline.report
    table = Table(title="Losses from baseline to candidate: above 0 is worse")
    table.add_column("configuration", overflow="fold")
    for measure in MEASURES:
        table.add_column(measure_label(report, measure), justify="right")
    table.add_column("p (Holm)", justify="right")
    table.add_column("counts")
    for found in decision.configurations:
        label = escape(one_line(found.match.label))
        losses = (signed_loss(found.losses.get(measure)) for measure in MEASURES)
        table.add_row(label, *losses, _least_p(found), _counts(found))
    table.add_section()
    by_measure = (signed_loss(decision.by_measure.get(measure)) for measure in MEASURES)
    table.add_row("those that count", *by_measure, "", "")
    table.add_row("all of these together", signed_loss(decision.overall), "", "", "", "")
    level = f"{100 * decision.thresholds.confidence:.6g}%"
    notes = [f"In brackets {level} bounds. * a regression by itself"]
    unpaired = [f for f in decision.configurations if not f.match.is_paired]
    if unpaired:
        notes.append("~ the two sides did not serve the same requests")
    table.caption = "\n".join(notes)
    return table


def operating_points_table(comparison: Comparison) -> Table:
    """Return what became of each operating point of the baseline as a rich table."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Operating points of the baseline")
    for title in ("for", "was", "keeps its limits", "best now", "cost", "note"):
        table.add_column(title, overflow="fold")
    before, after = comparison.baseline.report, comparison.candidate.report
    for point in comparison.operating_points:
        limits = f" ({point.limits})" if point.limits else ""
        cells = (
            f"{point.goal}{limits}",
            _chosen(point, point.before, before),
            meets_text(point),
            "the same" if _is_same(point) else _chosen(point, point.best_now, after),
            cost_text(point),
            point.note,
        )
        table.add_row(*(escape(one_line(cell)) for cell in cells))
    return table


def finding_lines(comparison: Comparison) -> Iterator[str]:
    """Yield what the tables do not hold: hypervolume, who moved, what was lost or stands alone."""
    for found in comparison.hypervolumes:
        ends = found.interval
        told = "" if ends is None else f" ({ends.low:.3f}–{ends.high:.3f})"
        of_curve = f" of {found.curve}" if found.curve else ""
        yield f"Hypervolume{of_curve}, candidate over baseline: {found.ratio:.3f}{told}"
    groups = (
        ("Joined the frontier", [f"{m.label}: {m.why}" for m in comparison.joined]),
        ("Left the frontier", [f"{m.label}: {m.why}" for m in comparison.left]),
        (
            "No longer valid",
            [
                f"{lost.label}: {lost.verdict.replace('_', ' ')}, {lost.reason}"
                for lost in comparison.decision.lost
            ],
        ),
        ("Left out", _left_out(comparison.unmatched)),
        (
            "Allowed to differ",
            [f"{d.what}: {d.baseline} → {d.candidate}" for d in comparison.differences],
        ),
    )
    for title, items in groups:
        if items:
            yield f"{title}:"
            yield from (f"  {one_line(item, limit=300)}" for item in items[:_MAX_LINES])
            if len(items) > _MAX_LINES:
                yield f"  and {len(items) - _MAX_LINES} more: compare.md has all"


def verdict_line(comparison: Comparison) -> str:
    """Return the outcome and why, on one line."""
    decision = comparison.decision
    pairs = plural(decision.num_pairs, "pair")
    return f"{outcome_text(decision)}, {pairs}: {one_line(decision.reason, limit=600)}"


def _left_out(unmatched: Sequence[Unmatched]) -> list[str]:
    """Return a line a reason, with the labels that it is the reason of."""
    by_reason: dict[str, list[str]] = {}
    for found in unmatched:
        by_reason.setdefault(found.why, []).append(found.label)
    return [
        f"{labels[0]}{f' and {len(labels) - 1} more' if labels[1:] else ''}: {why}"
        for why, labels in by_reason.items()
    ]


def _least_p(found: ConfigurationLoss) -> str:
    known = [p for p in found.p_values.values() if p is not None]
    return p_text(min(known)) if known else MISSING


def _counts(found: ConfigurationLoss) -> str:
    marks = f"{'*' if found.is_regression else ''}{'' if found.match.is_paired else '~'}"
    return f"{'yes' if found.match.is_gating else 'no'} {marks}".strip()


def _chosen(
    point: OperatingPointChange, configuration: Configuration | None, report: Report
) -> str:
    if configuration is None:
        return "nothing"
    value = with_unit(point.objective, configuration.figures.get(point.objective))
    return f"{configuration_label(configuration.settings, report.varied)}: {value}"


def _is_same(point: OperatingPointChange) -> bool:
    same, best = point.same_now, point.best_now
    return (
        same is not None
        and best is not None
        and same.settings.configuration_id == best.settings.configuration_id
    )
