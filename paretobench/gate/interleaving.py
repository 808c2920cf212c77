"""Whether both sides were measured in turn: else a drift of the machine looks like a change."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import datetime

from paretobench.gate.sides import SideRuns
from paretobench.gate.values import Match
from paretobench.results.reader import RunFolder

_ADVISORY = (
    "so the outcome is advisory: only a loss beyond the advisory threshold fails, or a "
    "configuration that fails or runs out of memory"
)


def why_advisory(before: SideRuns, after: SideRuns) -> str | None:
    """Return why these runs can only advise; None where they are interleaved pairs.

    There have to be two pairs or more, and between the two runs of a pair none of another.
    """
    if len(before.names) < 2:
        return f"one run a side tells no change from a drift of the machine, {_ADVISORY}"
    spans: list[tuple[datetime, datetime, str]] = []
    for name, mine, other in zip(before.names, before.side.runs, after.side.runs, strict=True):
        ends = [*_times(mine), *_times(other)]
        known = [end for end in ends if end is not None]
        if len(known) < len(ends):
            return f"{name} does not say when it was measured, {_ADVISORY}"
        spans.append((min(known), max(known), name))
    spans.sort()
    for (_, end, name), (start, _, other_name) in itertools.pairwise(spans):
        if start < end:
            return (
                f"{name} and {other_name} were not measured one after the other, each with both "
                f"sides in turn, {_ADVISORY}"
            )
    return None


def why_one_pair(matches: Sequence[Match]) -> str | None:
    """Return why pairs of which one alone is valid on both sides can only advise, as one would."""
    rounds = {number for m in matches if m.is_gating for number in m.baseline_rounds}
    if len(rounds) != 1:
        return None
    return f"what is valid on both sides is so in one pair alone, {_ADVISORY}"


def _times(run: RunFolder) -> tuple[datetime | None, datetime | None]:
    return _time(run.manifest.get("created_at")), _time(run.manifest.get("finished_at"))


def _time(text: object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
