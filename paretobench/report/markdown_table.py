"""Markdown tables that no text in a cell can break."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.report.text import markdown


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, num_left: int) -> list[str]:
    """Return the lines of a table; the first `num_left` columns are set left, the others right.

    >>> table(["a", "b"], [["x|y", "1"]], num_left=1)
    ['| a | b |', '| --- | ---: |', '| x\\\\|y | 1 |']
    """
    rule = ["---" if i < num_left else "---:" for i in range(len(header))]
    return [
        _line([markdown(cell) for cell in header]),
        _line(rule),
        *(_line([markdown(cell) for cell in row]) for row in rows),
    ]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
