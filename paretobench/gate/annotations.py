"""A comparison as workflow commands that GitHub shows beside a commit."""

from __future__ import annotations

from paretobench.gate.values import Comparison


def github_annotations(comparison: Comparison) -> list[str]:
    """Return one line a finding, `::error …`, `::warning …` or `::notice …`."""
    raise NotImplementedError
