"""A comparison as Markdown, for a report or a CI job's summary."""

from __future__ import annotations

from paretobench.gate.values import Comparison


def comparison_markdown(comparison: Comparison) -> str:
    """Return the verdict first, then what shows it."""
    raise NotImplementedError
