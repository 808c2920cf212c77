"""Two sides read, checked, matched and decided."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from paretobench.gate.comparable import check_comparable
from paretobench.gate.decision import decide
from paretobench.gate.goals import operating_point_changes
from paretobench.gate.hypervolumes import hypervolume_ratios
from paretobench.gate.identity import by_key, tells_variants
from paretobench.gate.interleaving import why_advisory, why_one_pair
from paretobench.gate.matching import match_configurations
from paretobench.gate.moves import frontier_moves
from paretobench.gate.sides import SideRuns, read_sides
from paretobench.gate.valid_rounds import of_valid_rounds
from paretobench.gate.values import Comparison, Thresholds
from paretobench.report.manifest import latency_cap


def compare_runs(
    baseline: Path, candidate: Path, *, allow: Collection[str], thresholds: Thresholds
) -> Comparison:
    """Return how the candidate's frontier stands to the baseline's.

    Each side is a run folder, or a folder of them, one a pair (`pair-1`, `pair-2`, …): the runs of
    one name on both sides are a pair. Raises RunFolderError where a folder is none,
    NotComparableError where they differ in something that `allow` does not name.
    """
    before, after = read_sides(baseline, candidate)
    differences, not_known = check_comparable(before, after, allow)
    several = tells_variants(before, after)
    before, after = of_valid_rounds(before, after, tells_variants=several)
    matching = match_configurations(before, after, tells_variants=several)
    advisory = why_advisory(before, after) or why_one_pair(matching.matches)
    decision = decide(
        matching.matches,
        matching.lost,
        thresholds,
        num_pairs=len(before.names),
        is_advisory=advisory is not None,
    )
    mine, others = (by_key(side, tells_variants=several) for side in (before, after))
    old, new = before.side.report, after.side.report
    joined, left = frontier_moves(old, new, mine, others, tells_variants=several)
    return Comparison(
        baseline=before.side,
        candidate=after.side,
        decision=decision,
        matches=matching.matches,
        unmatched=matching.unmatched,
        differences=differences,
        hypervolumes=tuple(hypervolume_ratios(matching.matches, old, latency_cap(old.run))),
        operating_points=tuple(operating_point_changes(old, new, others, tells_variants=several)),
        joined=joined,
        left=left,
        warnings=(
            *([] if advisory is None else [advisory]),
            *matching.warnings,
            *not_known,
            *_unfinished(before),
            *_unfinished(after),
        ),
    )


def _unfinished(side: SideRuns) -> list[str]:
    """Return which runs of a side do not hold all that was planned."""
    return [
        f"{run.path} is {run.manifest.get('state')}: not all that was planned was measured"
        for run in side.side.runs
        if run.manifest.get("state") != "complete"
    ]
