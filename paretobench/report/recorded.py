"""What was shown of operating points while their requests were at hand, as the run folder has it.

A folder without its raw files (results that are committed) has no requests to show a percentile
with. The `operating_points.yaml` that was written when they were there says what was shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import yaml

from paretobench.analysis.certificates import Certificate, Rival
from paretobench.analysis.configurations import Configuration
from paretobench.analysis.operating_points import Goal, OperatingPoint, feasible_in_order
from paretobench.analysis.proofs import Proof, Status, status_of
from paretobench.core.intervals import IntervalMethod

_STATUSES: dict[str, Status] = {status: status for status in get_args(Status)}
_BY_REQUESTS = ("order_statistic", "clopper_pearson")
_METHODS = (*_BY_REQUESTS, *get_args(IntervalMethod), "none")


def with_recorded(
    found: Mapping[str, Certificate],
    points: Sequence[OperatingPoint],
    configurations: Sequence[Configuration],
    file: Path,
    *,
    latency: str,
) -> dict[str, Certificate]:
    """Return the certificates; those that lack their requests are as `file` recorded them.

    One is taken only for the same goal, configuration and constraints, and only if requests showed
    it. A file that is damaged is not used.
    """
    certificates = dict(found)
    lacking = [
        (point.goal, point.configuration)
        for point in points
        if point.configuration is not None
        and not all(run.samples for run in point.configuration.runs)
    ]
    entries = _read(file) if lacking else {}
    for goal, chosen in lacking:
        entry = _mapping(entries, goal.name)
        recorded = _mapping(entry, "certificate")
        proofs = _proofs(goal, _mapping(recorded, "constraints"))
        if entry.get("configuration_id") == chosen.settings.configuration_id and proofs:
            rivals = feasible_in_order(goal, configurations, latency=latency)
            certificates[goal.name] = replace(
                found[goal.name],
                status=status_of(proofs),
                proofs=proofs,
                runner_up=_rival(_mapping(recorded, "runner_up"), rivals)
                or found[goal.name].runner_up,
                alternative=_rival(_mapping(recorded, "best_certified"), rivals),
                as_measured=True,
            )
    return certificates


def _read(file: Path) -> Mapping[str, Any]:
    """Return the entries of the file, none where it is not there or is damaged."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _mapping(entry: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = entry.get(name)
    return found if isinstance(found, dict) else {}


def _proofs(goal: Goal, constraints: Mapping[str, Any]) -> tuple[Proof, ...]:
    """Return what was shown of each constraint; empty where the constraints are others, one is
    damaged, or none was shown by requests."""
    if set(constraints) != set(goal.subject_to):
        return ()
    try:
        proofs = tuple(_proof(name, constraints[name]) for name in goal.subject_to)
    except (KeyError, TypeError, ValueError, OverflowError):
        return ()
    is_same = all(proof.limit == goal.subject_to[proof.metric] for proof in proofs)
    return proofs if is_same and any(proof.method in _BY_REQUESTS for proof in proofs) else ()


def _proof(metric: str, entry: Mapping[str, Any]) -> Proof:
    """Return the proof that `proof_mapping` wrote. Raises KeyError, TypeError, ValueError,
    OverflowError."""
    count, more, method = entry["num_requests"], entry["more_requests"], entry["method"]
    if method not in _METHODS:
        raise ValueError(f"expected a method of a proof, found {method!r}")
    return Proof(
        metric=metric,
        limit=float(entry["limit"]),
        value=float(entry["value"]),
        low=_number(entry["lower_bound"]),
        high=_number(entry["upper_bound"]),
        status=_STATUSES[entry["status"]],
        method=method,
        num_requests=None if count is None else int(count),
        effective_requests=_number(entry["effective_requests"]),
        more_requests=None if more is None else int(more),
        reason=str(entry.get("reason", "")),
    )


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _rival(entry: Mapping[str, Any], rivals: Sequence[Configuration]) -> Rival | None:
    status = _STATUSES.get(str(entry.get("status")))
    for rival in rivals:
        if status and rival.settings.configuration_id == entry.get("configuration_id"):
            return Rival(configuration=rival, status=status)
    return None
