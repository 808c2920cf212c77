"""The part of `report.md` on controllers: what each gave away against hindsight."""

from __future__ import annotations

import math

from paretobench.analysis.regret import Regret
from paretobench.report.controllers import Contest
from paretobench.report.courses import LIMIT_CHANGES_FILE
from paretobench.report.markdown_table import table
from paretobench.report.text import MISSING, markdown, number, plural

_WHOLE_CYCLE = "whole cycle"


def controller_lines(contests: tuple[Contest, ...]) -> list[str]:
    """Return the section's lines, empty where no controller met a fixed setting."""
    lines: list[str] = []
    for contest in contests:
        lines += [f"Under {markdown(contest.label)}:", ""]
        lines += [f"- {markdown(verdict(regret))}" for regret in contest.regrets]
        header = [
            "controller",
            "phase",
            "goodput (1/s)",
            "best fixed (1/s)",
            "by",
            "regret",
            "p95 E2E (ms)",
            "best fixed (ms)",
            "by",
            "above it",
        ]
        rows = [row for regret in contest.regrets for row in _rows(regret)]
        changes = ", ".join(
            f"{name} {plural(len(course.limit_changes), 'time')}"
            for name, course in contest.courses.items()
        )
        lines += [
            "",
            *table(header, rows, num_left=2),
            "",
            "Goodput counts requests that kept the SLA, by the phase they arrived in. The best "
            "fixed setting of each phase is chosen in hindsight; a negative regret beats it. The "
            f"limit moved: {markdown(changes)} (each with its cause in `{LIMIT_CHANGES_FILE}`).",
            "",
        ]
    return lines[:-1]


def verdict(regret: Regret) -> str:
    """Return in one sentence whether the controller beats the best single fixed setting."""
    if regret.goodput is None or regret.best_single_goodput is None:
        return f"{regret.controller}: no SLA is set, so there is no goodput to compare."
    against = (
        f"{number(regret.goodput)} good requests/s against {number(regret.best_single_goodput)} of "
        f"the best single fixed setting ({regret.best_single})"
    )
    share = regret.goodput_regret
    hindsight = "" if share is None else f"; hindsight: {number(regret.hindsight_goodput)}"
    if regret.beats_best_single:
        return f"{regret.controller} beats every single fixed setting: {against}{hindsight}."
    return f"{regret.controller} does NOT beat the best single fixed setting: {against}{hindsight}."


def _rows(regret: Regret) -> list[list[str]]:
    rows = [
        [
            regret.controller,
            phase.phase,
            number(phase.goodput),
            number(phase.best_goodput),
            phase.best_goodput_by,
            _percent(phase.goodput_regret),
            number(phase.p95_e2e_ms),
            number(phase.best_p95_e2e_ms),
            phase.best_p95_by,
            _percent(phase.p95_regret),
        ]
        for phase in regret.phases
    ]
    rows.append(
        [
            regret.controller,
            _WHOLE_CYCLE,
            number(regret.goodput),
            number(regret.hindsight_goodput),
            "each phase's best",
            _percent(regret.goodput_regret),
            *[MISSING] * 4,
        ]
    )
    return rows


def _percent(share: float | None) -> str:
    if share is None or math.isinf(share):
        return number(share)
    return f"{number(100 * share)}%"
