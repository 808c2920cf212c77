"""A comparison as workflow commands that GitHub shows beside a commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from paretobench.gate.headline import headline
from paretobench.gate.lost import judge_lost
from paretobench.gate.text import (
    before_after_text,
    cost_text,
    evidence_text,
    goal_name,
    loss_text,
    measure_label,
    regressions,
    thresholds_text,
    worst,
)
from paretobench.gate.values import Comparison, ConfigurationLoss, OperatingPointChange
from paretobench.report.text import one_line, plural

Kind = Literal["error", "warning", "notice"]
_KINDS: tuple[Kind, ...] = ("error", "warning", "notice")
_MOST = 10  # of a kind and step; GitHub drops the rest
_TITLE = 120  # characters
_MESSAGE = 600


def github_annotations(comparison: Comparison) -> list[str]:
    """Return one line a finding, `::error …`, `::warning …` or `::notice …`.

    The verdict comes first: a regression is an error, an inconclusive comparison a warning (its
    exit code makes the job red), a pass a notice. At most 10 of a kind, the most severe first;
    where there are more, the last counts those that are left out.
    """
    found = [
        _verdict(comparison),
        *_configurations(comparison),
        *_lost(comparison),
        *_operating_points(comparison),
        *_left_out(comparison),
    ]
    lines = []
    for kind in _KINDS:
        own = [(title, message) for k, title, message in found if k == kind]
        if len(own) > _MOST:
            count = len(own) - _MOST + 1
            text = f"{plural(count, 'more finding')}; all are in the job's summary and compare.md."
            own = [*own[: _MOST - 1], ("More", text)]
        lines += [command(kind, title, message) for title, message in own]
    return lines


def command(kind: Kind, title: str, message: str) -> str:
    """Return a workflow command, escaped as GitHub's runner reads it.

    >>> command("error", "100%: a,b", "x\\ny: z")
    '::error title=100%25%3A a%2Cb::x%0Ay: z'
    """
    head = _escaped(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={head}::{_escaped(message)}"


Finding = tuple[Kind, str, str]


def _verdict(comparison: Comparison) -> Finding:
    decision = comparison.decision
    kinds: dict[str, Kind] = {"pass": "notice", "regression": "error", "inconclusive": "warning"}
    lines = [
        f"{one_line(decision.reason, limit=_MESSAGE)} ({evidence_text(decision)})",
        thresholds_text(decision),
    ]
    return kinds[decision.outcome], one_line(headline(comparison), limit=_TITLE), "\n".join(lines)


def _configurations(comparison: Comparison) -> list[Finding]:
    kind: Kind = "error" if comparison.decision.outcome == "regression" else "warning"
    return [(kind, *_of_one(comparison, c)) for c in regressions(comparison.decision)]


def _of_one(comparison: Comparison, found: ConfigurationLoss) -> tuple[str, str]:
    title = one_line(found.match.label, limit=_TITLE)
    shown = worst(found)
    if shown is None:
        return title, "It regressed."
    measure, loss = shown
    report = comparison.baseline.report
    figures = before_after_text(report, found.match, measure)
    return title, f"{measure_label(report, measure)}: {figures}, {loss_text(loss)}"


def _lost(comparison: Comparison) -> list[Finding]:
    decision = comparison.decision
    found: list[Finding] = []
    for lost in sorted(decision.lost, key=lambda f: not f.was_on_frontier):
        decides = judge_lost([lost], is_advisory=decision.is_advisory).regressions
        kind: Kind = "error" if decides and decision.outcome == "regression" else "warning"
        reason = one_line(lost.reason, limit=_MESSAGE)
        text = f"Valid in the baseline, now {lost.verdict.replace('_', ' ')}: {reason}"
        found.append((kind, one_line(f"Lost: {lost.label}", limit=_TITLE), text))
    return found


def _operating_points(comparison: Comparison) -> list[Finding]:
    kind: Kind = "error" if comparison.decision.outcome == "regression" else "warning"
    return [
        (kind, one_line(f"Operating point {goal_name(comparison, c)}", limit=_TITLE), _missed(c))
        for c in comparison.operating_points
        if c.still_meets is False
    ]


def _missed(change: OperatingPointChange) -> str:
    limits = one_line(change.limits, limit=_MESSAGE) or "its limits"
    if change.best_now is None:
        return f"It no longer meets {limits}, and nothing else does."
    return f"It no longer meets {limits}; the best that does: {cost_text(change)}."


def _left_out(comparison: Comparison) -> Sequence[Finding]:
    found: list[Finding] = [
        ("notice", "Left the frontier", one_line(f"{move.label}: {move.why}", limit=_MESSAGE))
        for move in comparison.left
    ]
    if comparison.unmatched:
        count = plural(len(comparison.unmatched), "configuration")
        found.insert(
            0, ("notice", "Not compared", f"{count} left out: not valid, or in one run alone.")
        )
    return found


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
