"""What became of the baseline's operating points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from paretobench.analysis.certificates import certify
from paretobench.analysis.configurations import Configuration
from paretobench.analysis.operating_points import Goal, OperatingPoint, choose_operating_point
from paretobench.analysis.sla import service_levels
from paretobench.core.metrics import metric_of
from paretobench.gate.identity import content_key
from paretobench.gate.lost import OF_THE_SYSTEM
from paretobench.gate.values import OperatingPointChange
from paretobench.report.certificates import certificate_of, status_text
from paretobench.report.manifest import goals, scenario
from paretobench.report.model import Report
from paretobench.report.text import one_line, short_label, with_unit


def operating_point_changes(
    before: Report, after: Report, candidates: Mapping[str, Configuration], *, tells_variants: bool
) -> list[OperatingPointChange]:
    """Return what became of each goal of the baseline, by the limits of the baseline.

    `candidates` are the candidate's configurations by what they measured. Whether the same
    configuration still keeps every limit is what its certificate shows: None where that is not
    shown.
    """
    workloads = before.workloads or ("",)
    asked = [(goal, workload) for goal in goals(before.run) for workload in workloads]
    changes = []
    for point, (goal, workload) in zip(before.operating_points, asked, strict=True):
        now = choose_operating_point(
            replace(goal, name=point.goal.name),
            [c for c in after.configurations if c.settings.workload == workload],
            latency=before.latency,
        )
        changes.append(_change(point, now, before, after, candidates, tells_variants))
    return changes


def _change(
    point: OperatingPoint,
    now: OperatingPoint,
    before: Report,
    after: Report,
    candidates: Mapping[str, Configuration],
    tells_variants: bool,
) -> OperatingPointChange:
    chosen, goal = point.configuration, point.goal
    same = (
        None
        if chosen is None
        else candidates.get(content_key(chosen.settings, tells_variants=tells_variants))
    )
    still_meets, note = _still_meets(goal, same, before, after)
    if chosen is None:
        still_meets, note = None, f"not met in the baseline: {point.reason}"
    elif now.configuration is None:
        note = "; ".join(part for part in (note, f"nothing meets it now: {now.reason}") if part)
    return OperatingPointChange(
        goal=goal.name,
        objective=goal.objective,
        limits=", ".join(_limit(name, limit) for name, limit in goal.subject_to.items()),
        before=chosen,
        same_now=same if same is not None and same.is_valid else None,
        best_now=now.configuration,
        still_meets=still_meets,
        cost=_cost(goal, chosen, now.configuration),
        note=note,
    )


def _still_meets(
    goal: Goal, same: Configuration | None, before: Report, after: Report
) -> tuple[bool | None, str]:
    """Return whether a configuration of the candidate keeps the goal's limits, and what to add."""
    if same is None:
        return None, "its configuration is not in the candidate"
    if not same.is_valid:
        reason = one_line(same.reason, limit=200)
        told = f"its configuration is not valid now ({same.verdict.replace('_', ' ')}: {reason})"
        return (False if same.verdict in OF_THE_SYSTEM else None), told
    lacking = [name for name in goal.subject_to if same.figures.get(name) is None]
    if lacking:
        return None, f"{', '.join(lacking)} was not measured"
    certificate = certify(goal, same, service_levels(scenario(before.run)))
    for recorded in after.operating_points:  # without its raw files a run has what was shown then
        stated = certificate_of(after, recorded)
        same_goal = recorded.goal.subject_to == goal.subject_to
        if stated is not None and same_goal and recorded.configuration is same:
            certificate = stated
    if certificate.status == "not_shown":
        return None, status_text(certificate)
    return certificate.status != "not_met", ""


def _cost(goal: Goal, before: Configuration | None, now: Configuration | None) -> float | None:
    """Return the loss of the objective as a share, below 0 where it is better now."""
    if before is None or now is None:
        return None
    old, new = before.figures.get(goal.objective), now.figures.get(goal.objective)
    if not old or new is None:
        return None
    return 1 - new / old if goal.maximize else new / old - 1


def _limit(name: str, limit: float) -> str:
    sign = "≥" if metric_of(name).better == "higher" else "≤"
    return f"{short_label(name)} {sign} {with_unit(name, limit)}"
