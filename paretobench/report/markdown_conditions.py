"""What was measured around the trials, as `report.md` and the JSON document say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paretobench.analysis.ceiling_drift import CeilingChange, ceiling_changes, drift_tolerance
from paretobench.core.ceilings import Ceilings
from paretobench.core.errors import RunFolderError
from paretobench.report.manifest import conditions, section
from paretobench.report.model import Report
from paretobench.report.text import joined, number
from paretobench.results.reader import RunFolder


def condition_facts(report: Report) -> list[tuple[str, str]]:
    """Return the loop's own cost and the ceilings, empty where they were not measured."""
    changes = _changes(report.run)
    return [
        ("Loop's own cost", _loop_text(report)),
        ("Ceilings before → after", "; ".join(map(_change_text, changes))),
    ]


def ceiling_caveats(report: Report) -> list[str]:
    """Say where the device could not do the same before and after the trials, and what to do."""
    before, after = _ceilings(report.run, "before"), _ceilings(report.run, "after")
    if before is None or after is None:
        return []
    tolerance = drift_tolerance(before)
    apart = [_apart_text(c) for c in ceiling_changes(before, after) if c.is_apart(tolerance)]
    if not apart:
        return []
    cause, cure = "another process on its cores or its memory", "end what else runs here"
    if str(before.system.get("device")).startswith("cuda"):
        cause, cure = "heat, a power limit or another process", "let it cool, see to its clocks"
    return [
        f"The device was not the same before and after the trials: {'; '.join(apart)} (more than "
        f"{tolerance:.0%} apart). The likely cause is {cause}, and trials in between may have met "
        f"it too: {cure} (`paretobench doctor` says more) and measure again. Of each rate the "
        "better one counts as the limit."
    ]


def conditions_document(run: RunFolder) -> dict[str, Any]:
    """Return what was measured around the trials in plain values, for `--json`."""
    return {
        "loop_cost_us": dict(section(run.manifest, "conditions", "loop_cost_us")),
        "ceilings": [
            {
                "quantity": change.quantity,
                "dtype": change.dtype,
                "before_per_s": change.before_per_s,
                "after_per_s": change.after_per_s,
            }
            for change in _changes(run)
        ],
    }


def _loop_text(report: Report) -> str:
    costs_s = conditions(report.run, None).loop_cost_s
    if not costs_s:
        return ""
    parts = [f"{number(s * 1e6)} µs at batch {size}" for size, s in sorted(costs_s.items())]
    shares = [c.figures.get("loop_cost_share") for c in report.configurations]
    largest = max((share for share in shares if share is not None), default=None)
    most = "" if largest is None else f": at most {number(100 * largest)}% of a step"
    return f"{joined(parts)}, a step of the serving loop with a runner that computes nothing{most}"


def _changes(run: RunFolder) -> tuple[CeilingChange, ...]:
    return ceiling_changes(_ceilings(run, "before"), _ceilings(run, "after"))


def _ceilings(run: RunFolder, when: str) -> Ceilings | None:
    found: Mapping[str, Any] = section(run.manifest, "conditions", f"ceilings_{when}")
    try:
        return Ceilings.from_dict(found) if found else None
    except (KeyError, TypeError) as error:
        raise RunFolderError(
            f"{run.path / 'manifest.json'}: `conditions.ceilings_{when}` cannot be read "
            f"({error}); restore the file or measure again"
        ) from error


def _change_text(change: CeilingChange) -> str:
    before, after, unit = _rates(change)
    moved = "" if change.relative is None else f" ({change.relative:+.1%})"
    return f"{_name(change)} {before} → {after} {unit}{moved}"


def _apart_text(change: CeilingChange) -> str:
    before, after, unit = _rates(change)
    return f"{_name(change)} was {before} {unit} before and {after} after"


def _name(change: CeilingChange) -> str:
    return "read bandwidth" if change.dtype is None else f"{change.dtype} matrix rate"


def _rates(change: CeilingChange) -> tuple[str, str, str]:
    """Return the rate before, the rate after and the unit of both."""
    rates = (change.before_per_s, change.after_per_s)
    scale, unit = 1e9, "GB/s" if change.dtype is None else "GFLOP/s"
    if change.dtype is not None and max(rate or 0.0 for rate in rates) >= 1e12:
        scale, unit = 1e12, "TFLOP/s"
    before, after = (number(None if rate is None else rate / scale) for rate in rates)
    return before, after, unit
