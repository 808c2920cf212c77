"""compare.png: both frontiers, the band of noise, and arrows from old to new."""

from __future__ import annotations

from paretobench.gate.values import Comparison


def draw_comparison(comparison: Comparison) -> bytes:
    """Return the picture as PNG."""
    raise NotImplementedError
