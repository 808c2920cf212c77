"""What a comparison says beside the losses: operating points, hypervolume, who joined or left."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.analysis.configurations import Configuration
from paretobench.gate.text import cost_text, goal_name, meets_text, side_names
from paretobench.gate.values import Comparison, FrontierMove, OperatingPointChange
from paretobench.report.markdown_table import table
from paretobench.report.settings_text import configuration_label
from paretobench.report.text import MISSING, markdown, one_line, plural, with_unit

_MAX_ROWS = 40
_OPEN_UP_TO = 8  # rows; a longer table is folded
_LABEL = 160  # characters
_WHY = 240


def change_sections(comparison: Comparison) -> list[str]:
    """Return the sections in order; one that has nothing to say is left out."""
    return [
        *_operating_point_lines(comparison),
        *_hypervolume_lines(comparison),
        *_move_lines(comparison),
        *_lost_lines(comparison),
        *_unmatched_lines(comparison),
        *_difference_lines(comparison),
    ]


def _operating_point_lines(comparison: Comparison) -> list[str]:
    changes = comparison.operating_points
    if not changes:
        return []
    varied = comparison.baseline.report.varied

    def at(configuration: Configuration | None, objective: str) -> str:
        if configuration is None:
            return MISSING
        value = with_unit(objective, configuration.figures.get(objective))
        label = one_line(configuration_label(configuration.settings, varied), limit=_LABEL)
        return f"{label}: {value}"

    rows = [
        [
            one_line(_goal(comparison, c), limit=_LABEL),
            at(c.before, c.objective),
            MISSING if c.same_now is None else with_unit(
                c.objective, c.same_now.figures.get(c.objective)
            ),
            meets_text(c),
            at(c.best_now, c.objective),
            cost_text(c),
            one_line(c.note, limit=_WHY),
        ]
        for c in changes[:_MAX_ROWS]
    ]  # fmt: skip
    header = ["for", "before", "the same now", "still meets its limits", "best now", "costs", ""]
    if not any(row[-1] for row in rows):
        header, rows = header[:-1], [row[:-1] for row in rows]
    return _section("Operating points", header, rows, len(changes))


def _goal(comparison: Comparison, change: OperatingPointChange) -> str:
    limits = f" ({change.limits})" if change.limits else ""
    return f"{goal_name(comparison, change)}{limits}"


def _hypervolume_lines(comparison: Comparison) -> list[str]:
    found = comparison.hypervolumes
    if not found:
        return []
    lines = []
    for ratio in found[:_MAX_ROWS]:
        named = f"of {one_line(ratio.curve, limit=_LABEL)} " if ratio.curve else ""
        ends = ratio.interval
        interval = "" if ends is None else f" ({ends.low:.3f} to {ends.high:.3f})"
        lines.append(
            f"- The candidate's hypervolume {markdown(named)}is ×{ratio.ratio:.3f}{interval} the "
            "baseline's; above 1 is better."
        )
    if len(found) > _MAX_ROWS:
        lines.append(f"- And {len(found) - _MAX_ROWS:,} more.")
    return ["### Hypervolume", "", *lines, ""]


def _move_lines(comparison: Comparison) -> list[str]:
    def rows(moves: Sequence[FrontierMove], what: str) -> list[list[str]]:
        return [[what, one_line(m.label, limit=_LABEL), one_line(m.why, limit=_WHY)] for m in moves]

    found = [*rows(comparison.left, "left"), *rows(comparison.joined, "joined")]
    if not found:
        return []
    title = "Joined and left the frontier"
    return _section(title, ["", "configuration", "why"], found[:_MAX_ROWS], len(found))


def _lost_lines(comparison: Comparison) -> list[str]:
    lost = comparison.decision.lost
    if not lost:
        return []
    several = comparison.decision.num_pairs > 1
    rows = [
        [
            one_line(found.label, limit=_LABEL),
            "yes" if found.was_on_frontier else "no",
            found.verdict.replace("_", " "),
            *([f"{found.share_of_rounds:.0%}"] if several else []),
            one_line(found.reason, limit=_WHY),
        ]
        for found in sorted(lost, key=lambda f: not f.was_on_frontier)[:_MAX_ROWS]
    ]
    header = ["configuration", "was on the frontier", "now"]
    header += [*(["in so many of the pairs"] if several else []), "why"]
    return _section("Lost: valid before, not valid now", header, rows, len(lost))


def _unmatched_lines(comparison: Comparison) -> list[str]:
    found = comparison.unmatched
    if not found:
        return []
    names = dict(zip(("baseline", "candidate"), side_names(comparison), strict=True))
    rows = [
        [
            one_line(u.label, limit=_LABEL),
            "both" if u.side is None else f"{u.side} ({names[u.side]})",
            one_line(u.why, limit=_WHY),
        ]
        for u in found[:_MAX_ROWS]
    ]
    title = f"Left out: {plural(len(found), 'configuration')}"
    return _section(title, ["configuration", "stands in", "why"], rows, len(found))


def _difference_lines(comparison: Comparison) -> list[str]:
    found = comparison.differences
    if not found:
        return []
    rows = [
        [
            one_line(d.what, limit=_LABEL),
            one_line(d.baseline, limit=_WHY),
            one_line(d.candidate, limit=_WHY),
            "allowed" if d.is_allowed else "NOT allowed",
        ]
        for d in found[:_MAX_ROWS]
    ]
    header = ["what", "baseline", "candidate", "--allow"]
    return _section("What differs between the two runs", header, rows, len(found))


def _section(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]], total: int
) -> list[str]:
    """Return a table under its title, folded where it is long; what was cut is counted."""
    lines = [*table(header, rows, num_left=len(header)), ""]
    if total > len(rows):
        lines += [f"And {total - len(rows):,} more.", ""]
    if total > _OPEN_UP_TO:
        title = f"{title} ({total:,})"
        return [f"<details><summary>{markdown(title)}</summary>", "", *lines, "</details>", ""]
    return [f"### {markdown(title)}", "", *lines]
