"""Configurations that were valid in the baseline and are not in the candidate: what they decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from paretobench.analysis.configurations import worst_of
from paretobench.gate.rounds import ConfigurationRuns
from paretobench.gate.values import Lost

_BROKEN = ("failed", "out_of_memory")
# what a system that became slower does; other verdicts are of the measurement
OF_THE_SYSTEM = (*_BROKEN, "overloaded")
MOST = 0.5  # more than this share of the rounds


@dataclass(frozen=True, slots=True, kw_only=True)
class LostFindings:
    """Why they make a regression, why they leave it open, and what is only said."""

    regressions: tuple[str, ...]
    doubts: tuple[str, ...]
    notes: tuple[str, ...]


def lost_of(key: str, label: str, runs: ConfigurationRuns, *, was_on_frontier: bool) -> Lost | None:
    """Return how a configuration was lost, None where it was not.

    What is told, with its own share of the rounds, is what decides: that it broke in most, that it
    was overloaded in most on the frontier, that it broke at all, then the worst of the rest.
    """
    gone = [worst_of(of_round.after) for _, of_round in runs.rounds if of_round.is_lost]
    if not gone:
        return None
    num = sum(of_round.is_valid or of_round.is_lost for _, of_round in runs.rounds)
    broken = [run for run in gone if run.verdict in _BROKEN]
    overloaded = [run for run in gone if run.verdict == "overloaded"]
    if broken and (
        len(broken) > MOST * num or not (was_on_frontier and len(overloaded) > MOST * num)
    ):
        told = broken
    else:
        told = overloaded or gone
    worst = worst_of(told)
    return Lost(
        key=key,
        label=label,
        was_on_frontier=was_on_frontier,
        verdict=worst.verdict,
        reason=worst.reason,
        share_of_rounds=len(told) / num,
    )


def judge_lost(lost: Sequence[Lost], *, is_advisory: bool) -> LostFindings:
    """Return what the lost configurations decide.

    One that failed or ran out of memory in more than half of the rounds is a
    regression, in fewer a doubt: it is beyond any margin. One of the frontier that is overloaded in
    more than half is a regression where pairs were measured side by side, a doubt where the
    baseline is a stored one, for the machine may have been slower. Other verdicts are about the
    measurement, and are only said.
    """
    regressions: list[str] = []
    doubts: list[str] = []
    notes: list[str] = []
    for one in lost:
        in_most = one.share_of_rounds > MOST
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
