"""From an operating point of a report to the servers it deploys."""

from __future__ import annotations

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.operating_points import OperatingPoint
from paretobench.core.points import Settings
from paretobench.report.certificates import certificate_of, status_text
from paretobench.report.deploy import operating_points_mapping
from paretobench.report.exporters.base import ClassQueue, Deployment, Server
from paretobench.report.manifest import device_name, is_simulated, model_name
from paretobench.report.model import Report
from paretobench.report.text import one_line, with_unit

_FIGURES = ("output_tokens_per_s", "requests_per_s", "p95_ttft_ms", "p95_e2e_ms")


def deployment_of(report: Report, point: OperatingPoint, chosen: Configuration) -> Deployment:
    """Return what a point that is met deploys."""
    return Deployment(
        name=point.goal.name,
        header=tuple(_header(report, point, chosen)),
        entry=operating_points_mapping(report)[point.goal.name],
        servers=tuple(
            _servers(chosen.settings, one_class_a_batch=_one_class(report, chosen.settings))
        ),
    )


def _header(report: Report, point: OperatingPoint, chosen: Configuration) -> list[str]:
    run = report.run
    simulated = "; SIMULATED, nothing was measured" if is_simulated(run) else ""
    system = chosen.settings.variant or model_name(run)
    name = one_line(str(run.manifest.get("name") or run.path.name))
    device = device_name(run) or "no device"
    wanted = dict.fromkeys((point.goal.objective, *point.goal.subject_to, *_FIGURES))
    figures = [
        f"{metric} {with_unit(metric, chosen.figures[metric])}"
        for metric in wanted
        if chosen.figures.get(metric) is not None
    ]
    return [
        f"operating point {point.goal.name} of {name}: {one_line(system)} on {device}{simulated}",
        f"expect, under {chosen.settings.load} ({chosen.settings.workload}): {', '.join(figures)}",
        f"certificate: {status_text(certificate_of(report, point))}",
        f"chosen: {point.reason}",
    ]


def _one_class(report: Report, settings: Settings) -> bool:
    shared = settings.arrangement != "separate" and len(report.class_names) > 1
    return shared and not settings.mix_classes


def _servers(settings: Settings, *, one_class_a_batch: bool) -> list[Server]:
    limits = settings.class_limits()
    if settings.arrangement == "separate":
        return [
            _server(
                settings,
                class_name=name,
                max_batch_size=own["max_batch_size"],
                max_waiting_time_ms=own["max_waiting_time_ms"],
                device_share=own.get("device_share"),
            )
            for name, own in limits.items()
        ]
    queues = [
        ClassQueue(
            name=name,
            max_batch_size=own["max_batch_size"],
            max_waiting_time_ms=own["max_waiting_time_ms"],
            priority=own["priority"],
        )
        for name, own in limits.items()
    ]
    return [
        _server(
            settings,
            class_name=None,
            max_batch_size=settings.max_batch_size,
            # a controller never holds a request
            max_waiting_time_ms=0.0 if settings.controller else settings.max_waiting_time_ms,
            one_class_a_batch=one_class_a_batch,
            queues=tuple(sorted(queues, key=lambda queue: -queue.priority)),
        )
    ]


def _server(
    settings: Settings,
    *,
    class_name: str | None,
    max_batch_size: int,
    max_waiting_time_ms: float,
    device_share: float | None = None,
    one_class_a_batch: bool = False,
    queues: tuple[ClassQueue, ...] = (),
) -> Server:
    return Server(
        class_name=class_name,
        policy=settings.policy,
        max_batch_size=max_batch_size,
        max_waiting_time_ms=max_waiting_time_ms,
        controller=settings.controller,
        kv_budget_tokens=settings.kv_budget_tokens,
        max_prefill_tokens_per_step=settings.max_prefill_tokens_per_step,
        device_share=device_share,
        queues=queues,
        one_class_a_batch=one_class_a_batch,
        aging_ms=settings.aging_ms if queues else None,
        preemption=settings.preemption if queues else None,
    )
