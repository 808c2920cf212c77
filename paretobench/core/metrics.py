"""The names, units and directions of every figure that a trial yields.

One table: the scenario checks its objectives against it, `analysis` computes its names, `results`
orders the columns of `points.csv` by it, and the report prints its units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

LATENCY_KINDS = ("queue", "ttft", "tpot", "itl", "e2e")
STATISTICS = ("mean", "p50", "p90", "p95", "p99")
Direction = Literal["higher", "lower"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a figure is called, counted in and how it should move."""

    name: str
    unit: str
    better: Direction | None  # None: describes the trial, is no goal
    label: str


_LATENCY_LABELS = {
    "queue": "queue time",
    "ttft": "TTFT",
    "tpot": "TPOT",
    "itl": "ITL",
    "e2e": "E2E latency",
}


def _latency_metrics() -> list[Metric]:
    return [
        Metric(
            name=f"{statistic}_{kind}_ms",
            unit="ms",
            better="lower",
            label=f"{statistic} {_LATENCY_LABELS[kind]}",
        )
        for kind in LATENCY_KINDS
        for statistic in STATISTICS
    ]


def _metric(name: str, unit: str, better: Direction | None, label: str) -> Metric:
    return Metric(name=name, unit=unit, better=better, label=label)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _metric("output_tokens_per_s", "tokens/s", "higher", "output throughput"),
        _metric("total_tokens_per_s", "tokens/s", "higher", "total throughput"),
        _metric("requests_per_s", "1/s", "higher", "completed requests"),
        _metric("goodput_requests_per_s", "1/s", "higher", "goodput"),
        _metric("sla_attainment", "share", "higher", "SLA attainment"),
        *_latency_metrics(),
        _metric("mean_batch_size", "requests", None, "mean batch size"),
        _metric("batch_occupancy", "share", "higher", "batch occupancy"),
        _metric("padding_waste", "share", "lower", "padding waste"),
        _metric("busy_fraction", "share", None, "busy fraction"),
        _metric("gpu_util_pct", "%", None, "GPU utilisation"),
        _metric("sm_util_pct", "%", None, "SM activity"),
        _metric("tensor_util_pct", "%", None, "tensor core activity"),
        _metric("dram_util_pct", "%", None, "DRAM activity"),
        _metric("gpu_memory_bytes", "bytes", None, "GPU memory in use"),
        _metric("mean_power_w", "W", "lower", "mean GPU power"),
        _metric("energy_j", "J", "lower", "GPU energy"),
        _metric("tokens_per_joule", "tokens/J", "higher", "tokens per joule"),
        _metric("cpu_util_pct", "%", None, "host CPU utilisation"),
        _metric("cpu_steal_pct", "%", "lower", "CPU time given to other machines"),
        _metric("power_cap_share", "share", "lower", "time under the software power cap"),
        _metric("loop_cost_share", "share", None, "the loop's own cost"),
        _metric("window_s", "s", None, "measuring window"),
        _metric("num_warmup", "requests", None, "requests dropped as warm-up"),
        _metric("num_measured", "requests", None, "requests measured"),
        _metric("num_kv_waited", "requests", "lower", "requests that waited for KV memory"),
        _metric("num_failed", "requests", "lower", "requests failed, rejected or unfinished"),
        _metric("max_wait_ms", "ms", "lower", "longest wait"),
        _metric("num_preemptions", "", "lower", "preemptions"),
        _metric("recomputed_tokens", "tokens", "lower", "tokens computed again"),
    )
}


def qualified(class_name: str, name: str) -> str:
    """Return the name of one class's figure.

    >>> qualified("chat", "p95_e2e_ms")
    'chat.p95_e2e_ms'
    """
    return f"{class_name}.{name}"


def split_name(name: str) -> tuple[str | None, str]:
    """Return the class, None for all requests, and the metric that a figure's name stands for.

    >>> split_name("chat.p95_e2e_ms"), split_name("p95_e2e_ms")
    (('chat', 'p95_e2e_ms'), (None, 'p95_e2e_ms'))
    """
    class_name, _, metric = name.rpartition(".")
    return class_name or None, metric


def metric_of(name: str) -> Metric:
    """Return the metric of a figure's name; that of one class is labelled with the class.

    >>> metric_of("chat.p95_e2e_ms").label
    'chat p95 E2E latency'
    """
    class_name, base = split_name(name)
    metric = METRICS[base]
    if class_name is None:
        return metric
    return replace(metric, name=name, label=f"{class_name} {metric.label}")


def axis_label(name: str) -> str:
    """Return a metric's label with its unit.

    >>> axis_label("p95_e2e_ms")
    'p95 E2E latency (ms)'
    """
    metric = metric_of(name)
    return f"{metric.label} ({metric.unit})"
