"""`operating_points.yaml`: what to deploy, for people and for deployment scripts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from paretobench import __version__
from paretobench.analysis.configurations import Configuration
from paretobench.analysis.operating_points import Goal, Margin, OperatingPoint
from paretobench.report.certificates import certificate_mapping
from paretobench.report.deploy_classes import (
    class_entries,
    class_settings,
    controller_entry,
    engine_limits,
    rounded,
)
from paretobench.report.manifest import device_name, is_simulated, scenario, section
from paretobench.report.model import Report, no_valid_trial
from paretobench.report.text import one_line

_ALWAYS_EXPECTED = (
    "output_tokens_per_s",
    "requests_per_s",
    "p50_e2e_ms",
    "p95_e2e_ms",
    "p50_ttft_ms",
    "p95_ttft_ms",
)


def operating_points_yaml(report: Report) -> bytes:
    """Return the file: an entry for each goal, with `met` false where nothing meets it by its
    figures; `shown` is what the certificate says."""
    run = report.run
    device = device_name(run) or ("simulated" if is_simulated(run) else "unknown device")
    name = one_line(str(run.manifest.get("name") or run.path.name))
    lines = [f"# {name} on {device}, measured with paretobench {_version(report)}"]
    if not any(c.is_valid for c in report.configurations):
        lines.append(f"# {one_line(no_valid_trial(report.points))}")
    if not report.operating_points:
        lines.append("# the scenario names no operating points")
    body = yaml.safe_dump(
        operating_points_mapping(report), sort_keys=False, allow_unicode=True, width=100
    )
    return ("\n".join(lines) + "\n" + body).encode("utf-8")


def operating_points_mapping(report: Report) -> dict[str, dict[str, Any]]:
    """Return what to deploy for each goal, in values that YAML and JSON can hold.

    Figures are rounded to 6 significant digits; an infinite one stays infinite.
    """
    return {
        point.goal.name: _met(report, point, point.configuration)
        if point.configuration is not None
        else _not_met(report, point)
        for point in report.operating_points
    }


def reason_of(report: Report, point: OperatingPoint) -> str:
    """Return why the configuration was chosen, or why there is none."""
    if any(c.is_valid for c in report.configurations):
        return point.reason
    return no_valid_trial(report.points)


def _met(report: Report, point: OperatingPoint, chosen: Configuration) -> dict[str, Any]:
    settings = chosen.settings
    certificate = certificate_mapping(report, point)
    return {
        "met": True,
        "shown": certificate["status"],
        **({} if settings.variant is None else {"variant": settings.variant}),
        **engine_limits(settings),
        "latency_sla_ms": _latency_sla_ms(report, point.goal),
        "policy": settings.policy,
        **({"controller": controller_entry(report, settings)} if settings.controller else {}),
        **class_settings(report, settings),
        **{
            name: getattr(settings, name)
            for name in ("kv_budget_tokens", "max_prefill_tokens_per_step")
            if getattr(settings, name) is not None
        },
        "expected": _expected(report, point, chosen),
        **({"classes": class_entries(report, chosen)} if report.class_names else {}),
        "load": settings.load,
        "workload": settings.workload,
        "margins": {
            margin.metric: {
                "limit": margin.limit,
                "value": rounded(margin.value),
                "margin_share": rounded(margin.share),
            }
            for margin in point.margins
        },
        "reason": point.reason,
        "trial_id": settings.trial_id,
        "configuration_id": settings.configuration_id,
        "certificate": certificate,
    }


def _expected(
    report: Report, point: OperatingPoint, chosen: Configuration
) -> dict[str, float | None]:
    metrics = dict.fromkeys(
        (
            report.throughput,
            report.latency,
            point.goal.objective,
            *point.goal.subject_to,
            *_ALWAYS_EXPECTED,
        )
    )
    return {
        name: rounded(chosen.figures[name])
        for name in metrics
        if chosen.figures.get(name) is not None
    }


def _not_met(report: Report, point: OperatingPoint) -> dict[str, Any]:
    certificate = certificate_mapping(report, point)
    return {
        "met": False,
        "shown": certificate["status"],
        "reason": reason_of(report, point),
        "nearest": _nearest(point.margins),
        "certificate": certificate,
    }


def _nearest(margins: tuple[Margin, ...]) -> dict[str, dict[str, float | None]]:
    return {m.metric: {"limit": m.limit, "value": rounded(m.value)} for m in margins}


def _latency_sla_ms(report: Report, goal: Goal) -> float | None:
    limits: Mapping[str, float] = goal.subject_to
    end_to_end = [limit for name, limit in limits.items() if name.endswith("_e2e_ms")]
    if end_to_end:
        return min(end_to_end)
    sla = section(scenario(report.run), "sla").get("e2e_ms")
    return None if sla is None else float(sla)


def _version(report: Report) -> str:
    return one_line(str(report.run.manifest.get("paretobench_version") or __version__))
