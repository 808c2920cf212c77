"""The batching part of an operating point: engine-wide limits, and each class's."""

from __future__ import annotations

import math
from typing import Any

from paretobench.analysis.configurations import Configuration
from paretobench.core.metrics import qualified
from paretobench.core.points import Settings
from paretobench.report.class_effects import e2e_sla_ms
from paretobench.report.manifest import scenario, section
from paretobench.report.model import Report
from paretobench.scenario.classes import PRIORITIES

_EXPECTED = (
    "output_tokens_per_s",
    "requests_per_s",
    "p50_e2e_ms",
    "p95_e2e_ms",
    "p50_ttft_ms",
    "p95_ttft_ms",
    "sla_attainment",
    "max_wait_ms",
)


def engine_limits(settings: Settings) -> dict[str, Any]:
    """Return what limits an engine as a whole, nothing where each class has one of its own."""
    limits: dict[str, Any] = {}
    if settings.arrangement != "separate":
        limits["max_batch_size"] = settings.max_batch_size
    if not settings.class_batching:
        limits["max_waiting_time_ms"] = settings.max_waiting_time_ms
    return limits


def class_settings(report: Report, settings: Settings) -> dict[str, Any]:
    """Return how classes share engines and batches; empty where there are none."""
    if not report.class_names:
        return {}
    found: dict[str, Any] = {"arrangement": settings.arrangement}
    if settings.arrangement != "separate":
        found["mix_classes"] = settings.mix_classes
    if settings.arrangement == "priority":
        found["aging_ms"] = settings.aging_ms
        if settings.policy == "continuous":
            found["preemption"] = settings.preemption or "none"
    return found


def class_entries(report: Report, chosen: Configuration) -> dict[str, dict[str, Any]]:
    """Return by class its limits, priority and SLA, and what to expect; empty without classes."""
    settings, limits = chosen.settings, chosen.settings.class_limits()
    entries: dict[str, dict[str, Any]] = {}
    for name in report.class_names:
        own = limits.get(name, {})
        priority = own.get("priority", _priority(report, name))
        expected = {
            metric: rounded(chosen.figures[qualified(name, metric)])
            for metric in _EXPECTED
            if chosen.figures.get(qualified(name, metric)) is not None
        }
        entries[name] = {
            "max_batch_size": own.get("max_batch_size", settings.max_batch_size),
            "max_waiting_time_ms": own.get("max_waiting_time_ms", settings.max_waiting_time_ms),
            "priority": priority,
            **({"device_share": own.get("device_share")} if _is_separate(settings) else {}),
            "latency_sla_ms": e2e_sla_ms(report, name),
            "expected": expected,
        }
    return entries


def controller_entry(report: Report, settings: Settings) -> dict[str, Any] | str | None:
    """Return the controller with its constants as the scenario has them, None without one.

    Where several of the scenario's controllers answer to the recorded name it is that name.
    """
    if settings.controller is None:
        return None
    sla_ms = section(scenario(report.run), "sla").get("e2e_ms")
    sections = section(scenario(report.run), "batching").get("controller") or []
    found = [
        {**one, "latency_sla_ms": one.get("latency_sla_ms") or sla_ms}
        for one in sections
        if one and settings.controller.startswith(str(one.get("kind")))
    ]
    if len(found) > 1:
        found = [c for c in found if f"SLA {c['latency_sla_ms'] or 0:g} ms" in settings.controller]
    return found[0] if len(found) == 1 else settings.controller


def rounded(value: float | None) -> float | None:
    """Return a figure with 6 significant digits; missing and infinite stay as they are."""
    if value is None or not math.isfinite(value):
        return value
    return float(f"{value:.6g}")


def _is_separate(settings: Settings) -> bool:
    return settings.arrangement == "separate"


def _priority(report: Report, name: str) -> int | None:
    found = section(scenario(report.run), "classes", name).get("priority")
    return PRIORITIES.get(found) if isinstance(found, str) else found
