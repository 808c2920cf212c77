"""Every figure of a trial, of all requests and of each class.

(T0, T1] is the measuring window. Latencies are those of the measured requests, all of them: one
that failed, was rejected or never finished counts as +inf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.client import loop_cost_share
from paretobench.analysis.conditions import Conditions
from paretobench.analysis.latencies import (
    e2e_latency_s,
    inf_if_none,
    inter_token_latencies_s,
    queue_time_s,
    time_per_output_token_s,
    time_to_first_token_s,
    wait_s,
)
from paretobench.analysis.percentiles import is_low, mean_of, percentile
from paretobench.analysis.request_work import served_lengths
from paretobench.analysis.sla import ServiceLevels
from paretobench.analysis.utilisation import utilisation
from paretobench.analysis.validity import judge
from paretobench.analysis.window import (
    DEVICE_FIGURES,
    STEP_FIGURES,
    device_figures,
    steps_in_window,
)
from paretobench.core.metrics import LATENCY_KINDS, METRICS, STATISTICS, qualified
from paretobench.core.points import Point, Settings
from paretobench.core.units import to_ms
from paretobench.core.values import RequestRecord, Trace, Window

_PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0}
_UNKNOWN = Conditions()


def summarize(
    settings: Settings,
    trace: Trace,
    levels: ServiceLevels,
    conditions: Conditions = _UNKNOWN,
) -> Point:
    """Return the point that a trace amounts to: every figure of METRICS and the verdict.

    Where `levels` tells classes apart, each class's figures stand beside those of all.
    """
    figures, low, samples = _figures_of(settings, trace, levels, conditions)
    for name in levels.by_class:
        own, own_low, own_samples = _figures_of(settings, _only(trace, name), levels, conditions)
        if settings.arrangement != "separate":
            own |= dict.fromkeys(STEP_FIGURES)  # steps and device serve all classes
        own |= dict.fromkeys(DEVICE_FIGURES)
        figures |= {qualified(name, metric): value for metric, value in own.items()}
        low += tuple(qualified(name, metric) for metric in own_low)
        samples |= {qualified(name, kind): of_kind for kind, of_kind in own_samples.items()}
    used = utilisation(trace, figures["busy_fraction"], conditions)
    figures |= {} if used is None else {"mfu": used.mfu, "mbu": used.mbu}
    judgement = judge(settings, trace, figures, conditions)
    return Point(
        settings=settings,
        figures=figures,
        low_percentiles=low,
        verdict=judgement.verdict,
        reason=judgement.reason,
        remedy=judgement.remedy,
        samples=samples,
        binds="" if used is None else used.binds,
        lengths=served_lengths(trace.requests),
    )


def _only(trace: Trace, class_name: str) -> Trace:
    """Return a class's requests, and the steps of its engine where it has one."""
    return replace(
        trace,
        requests=tuple(r for r in trace.requests if r.class_name == class_name),
        steps=tuple(step for step in trace.steps if step.engine == class_name),
    )


def _figures_of(
    settings: Settings, trace: Trace, levels: ServiceLevels, conditions: Conditions
) -> tuple[dict[str, float | None], tuple[str, ...], dict[str, NDArray[np.float64]]]:
    """Return the figures of a trace, the names of the percentiles with too few samples, and the
    latencies by kind but for ITL, of which there is one a token."""
    measured = [record for record in trace.requests if record.measured]
    figures: dict[str, float | None] = dict.fromkeys(METRICS)
    samples = _latency_samples(measured)
    figures |= _latency_figures(samples)
    figures["num_measured"] = len(measured)
    figures["num_kv_waited"] = sum(record.kv_blocked_s is not None for record in measured)
    figures["num_failed"] = sum(record.status != "finished" for record in measured)
    figures["max_wait_ms"] = max((to_ms(wait_s(record)) for record in measured), default=None)
    figures["num_preemptions"] = sum(record.num_preemptions for record in measured)
    figures["recomputed_tokens"] = sum(record.recomputed_tokens for record in measured)
    figures["sla_attainment"] = levels.attainment(measured)
    if trace.window is not None and trace.window.duration_s > 0:
        figures |= _window_figures(settings, trace, trace.window, levels)
        figures["loop_cost_share"] = loop_cost_share(trace.steps, trace.window, conditions)
    kept = {kind: of_kind for kind, of_kind in samples.items() if kind != "itl"}
    return figures, _low_percentiles(samples), kept


def _latency_samples(measured: Sequence[RequestRecord]) -> dict[str, NDArray[np.float64]]:
    tpot = (time_per_output_token_s(record) for record in measured)
    return {
        "queue": np.array([queue_time_s(record) for record in measured]),
        "ttft": np.array([time_to_first_token_s(record) for record in measured]),
        "tpot": np.array([value for value in tpot if value is not None]),
        "itl": inter_token_latencies_s(measured),
        "e2e": np.array([e2e_latency_s(record) for record in measured]),
    }


def _latency_figures(samples: Mapping[str, NDArray[np.float64]]) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    for kind in LATENCY_KINDS:
        for statistic in STATISTICS:
            if statistic == "mean":
                value = mean_of(samples[kind])
            else:
                value = percentile(samples[kind], _PERCENTILES[statistic])
            figures[f"{statistic}_{kind}_ms"] = None if value is None else to_ms(value)
    return figures


def _low_percentiles(samples: Mapping[str, NDArray[np.float64]]) -> tuple[str, ...]:
    return tuple(
        f"{statistic}_{kind}_ms"
        for kind in LATENCY_KINDS
        for statistic, share in _PERCENTILES.items()
        if is_low(samples[kind].size, share)
    )


def _window_figures(
    settings: Settings, trace: Trace, window: Window, levels: ServiceLevels
) -> dict[str, float | None]:
    span_s = window.duration_s
    output_tokens = sum(_count_in(record.token_times_s, window) for record in trace.requests)
    # a prompt is served when its first token is: its tokens count then
    prompt_tokens = sum(
        record.prompt_tokens
        for record in trace.requests
        if record.first_token_s is not None and _is_in(record.first_token_s, window)
    )
    delivered = [
        record
        for record in trace.requests
        if record.status == "finished" and _is_in(inf_if_none(record.finished_s), window)
    ]
    good = sum(map(levels.is_met, delivered)) / span_s if levels.any_set else None
    figures: dict[str, float | None] = {
        "window_s": span_s,
        "output_tokens_per_s": output_tokens / span_s,
        "total_tokens_per_s": (output_tokens + prompt_tokens) / span_s,
        "requests_per_s": len(delivered) / span_s,
        "goodput_requests_per_s": good,
    }
    figures |= steps_in_window(trace.steps, window, settings)
    figures |= device_figures(trace.telemetry, window, output_tokens=output_tokens)
    return figures


def _is_in(time_s: float, window: Window) -> bool:
    return window.start_s < time_s <= window.end_s


def _count_in(times_s: Sequence[float], window: Window) -> int:
    first, last = np.searchsorted(times_s, (window.start_s, window.end_s), side="right")
    return int(last - first)
