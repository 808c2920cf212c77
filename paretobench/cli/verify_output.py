"""What `paretobench verify` prints: the figures then and now, and whether the point holds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from paretobench.analysis.operating_points import Goal
from paretobench.analysis.proofs import Proof
from paretobench.analysis.verification import Comparison, Verification
from paretobench.core.intervals import Interval

if TYPE_CHECKING:
    from rich.table import Table

    from paretobench.report import Report

_SAID = {"holds": "holds", "does_not_hold": "does not hold", "inconclusive": "is inconclusive"}


def print_verification(
    goal: Goal, verification: Verification, again: Report, *, as_json: bool
) -> None:
    """Print the outcome on stdout, as text or as one JSON document."""
    if as_json:
        document = _document(goal, verification, again)
        print(json.dumps(document, indent=1, allow_nan=False))
        return
    from paretobench.cli.tables import print_table
    from paretobench.report.certificates import status_text

    print_table(_table(goal, verification))
    why = verification.reason or status_text(verification.certificate)
    print(f"{goal.name} {_SAID[verification.outcome]}: {why}")
    print(f"Wrote {again.run.path}. Read {again.run.path / 'report.md'}")


def _table(goal: Goal, verification: Verification) -> Table:
    from rich.markup import escape
    from rich.table import Table

    from paretobench.report.text import number, short_label, with_unit

    table = Table(title=escape(f"{goal.name}: the run, and measured again"))
    for title in ("figure", "limit", "the run", "measured again", "ratio", "95% bound"):
        table.add_column(title, justify="left" if title == "figure" else "right")
    bounds = {p.metric: p.bound for p in _proofs(verification)}
    for c in verification.comparisons:
        limit = goal.subject_to.get(c.metric)
        table.add_row(
            short_label(c.metric),
            with_unit(c.metric, limit),
            _value(c, c.before, c.before_interval),
            _value(c, c.after, c.after_interval),
            number(c.ratio),
            with_unit(c.metric, bounds.get(c.metric)),
        )
    return table


def _value(comparison: Comparison, value: float | None, interval: Interval | None) -> str:
    from paretobench.report.text import with_unit

    name = comparison.metric
    if interval is None:
        return with_unit(name, value)
    ends = f"{with_unit(name, interval.low)} to {with_unit(name, interval.high)}"
    return f"{with_unit(name, value)} ({ends})"


def _document(goal: Goal, verification: Verification, again: Report) -> dict[str, Any]:
    from paretobench.report.certificates import environment, proof_mapping
    from paretobench.report.document import strict

    variants = [c.settings.variant for c in again.configurations]
    certificate = verification.certificate
    document: dict[str, Any] = strict(
        {
            "point": goal.name,
            "outcome": verification.outcome,
            "reason": verification.reason,
            "status": None if certificate is None else certificate.status,
            "constraints": {p.metric: proof_mapping(p) for p in _proofs(verification)},
            "figures": {
                c.metric: {
                    "before": _ends(c.before, c.before_interval),
                    "after": _ends(c.after, c.after_interval),
                    "ratio": c.ratio,
                }
                for c in verification.comparisons
            },
            "environment": environment(again, variants[0] if variants else None),
            "folder": str(again.run.path),
        }
    )
    return document


def _ends(value: float | None, interval: Interval | None) -> dict[str, float | None]:
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return {"value": value, "low": low, "high": high}


def _proofs(verification: Verification) -> tuple[Proof, ...]:
    return () if verification.certificate is None else verification.certificate.proofs
