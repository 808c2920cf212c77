"""Two sides read, checked, matched and decided."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from paretobench.gate.values import Comparison, Thresholds


def compare_runs(
    baseline: Path, candidate: Path, *, allow: Collection[str], thresholds: Thresholds
) -> Comparison:
    """Return how the candidate's frontier stands to the baseline's.

    Each side is a run folder, or a folder of them, one a pair (`pair-1`, `pair-2`, …): the runs of
    one name on both sides are a pair. Raises RunFolderError where a folder is none,
    NotComparableError where they differ in something that `allow` does not name.
    """
    raise NotImplementedError
