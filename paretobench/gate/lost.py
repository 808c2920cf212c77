"""Configurations that were valid in the baseline and are not in the candidate: what they decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paretobench.gate.values import Lost

_BROKEN = ("failed", "out_of_memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class LostFindings:
    """Why they make a regression, why they leave it open, and what is only said."""

    regressions: tuple[str, ...]
    doubts: tuple[str, ...]
    notes: tuple[str, ...]


def judge_lost(lost: Sequence[Lost], *, is_advisory: bool) -> LostFindings:
    """Return what the lost configurations decide.

    One that failed or ran out of memory in more than half of the candidate's rounds is a
    regression, in fewer a doubt: it is beyond any margin. One of the frontier that is overloaded in
    more than half is a regression where pairs were measured side by side, a doubt where the
    baseline is a stored one, for the machine may have been slower. Other verdicts are about the
    measurement, and are only said.
    """
    regressions: list[str] = []
    doubts: list[str] = []
    notes: list[str] = []
    for one in lost:
        in_most = one.share_of_rounds > 0.5
        told = f"{one.label}: {one.verdict} in the candidate{_rounds(one)} ({one.reason})"
        if one.verdict in _BROKEN:
            (regressions if in_most else doubts).append(told)
        elif one.verdict == "overloaded" and in_most and one.was_on_frontier:
            (doubts if is_advisory else regressions).append(told)
        else:
            notes.append(f"{told}; not compared")
    return LostFindings(regressions=tuple(regressions), doubts=tuple(doubts), notes=tuple(notes))


def _rounds(one: Lost) -> str:
    return "" if one.share_of_rounds >= 1 else f" in {one.share_of_rounds:.0%} of the rounds"
