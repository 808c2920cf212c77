"""Every figure of a trial, of all requests and of each class.

(T0, T1] is the measuring window. Latencies are those of the measured requests, all of them: one
that failed, was rejected or never finished counts as +inf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.client import loop_cost_share
from paretobench.analysis.conditions import Conditions
from paretobench.analysis.latencies import (
    e2e_latency_s,
    inter_token_latencies_s,
    queue_time_s,
    time_per_output_token_s,
    time_to_first_token_s,
    wait_s,
)
from paretobench.analysis.percentiles import PERCENTILES, is_low, mean_of, percentile
from paretobench.analysis.rates import delivered_in, rate_intervals
from paretobench.analysis.request_work import served_lengths
from paretobench.analysis.run_intervals import latency_intervals, mean_interval
from paretobench.analysis.sla import ServiceLevels
from paretobench.analysis.utilisation import utilisation
from paretobench.analysis.validity import judge
from paretobench.analysis.window import (
    DEVICE_FIGURES,
    STEP_FIGURES,
    device_figures,
    steps_in_window,
)
from paretobench.core.intervals import Interval
from paretobench.core.metrics import LATENCY_KINDS, METRICS, STATISTICS, qualified
from paretobench.core.points import Point, Settings
from paretobench.core.units import to_ms
from paretobench.core.values import RequestRecord, Trace, Window

_UNKNOWN = Conditions()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    """Figures, the percentiles with too few samples, the latencies in seconds by kind but for ITL,
    of which there is one a token, and the figures' intervals."""

    figures: dict[str, float | None]
    low: tuple[str, ...]
    samples: dict[str, NDArray[np.float64]]
    intervals: dict[str, Interval]


def summarize(
    settings: Settings,
    trace: Trace,
    levels: ServiceLevels,
    conditions: Conditions = _UNKNOWN,
) -> Point:
    """Return the point that a trace amounts to: every figure of METRICS and the verdict.

    Where `levels` tells classes apart, each class's figures stand beside those of all.
    """
    every = _figures_of(settings, trace, levels, conditions)
    figures, low, samples, intervals = every.figures, every.low, every.samples, every.intervals
    for name in levels.by_class:
        of_class = _figures_of(settings, _only(trace, name), levels, conditions)
        own = of_class.figures
        if settings.arrangement != "separate":
            own |= dict.fromkeys(STEP_FIGURES)  # steps and device serve all classes
        own |= dict.fromkeys(DEVICE_FIGURES)
        figures |= {qualified(name, metric): value for metric, value in own.items()}
        low += tuple(qualified(name, metric) for metric in of_class.low)
        intervals |= {qualified(name, metric): i for metric, i in of_class.intervals.items()}
        samples |= {qualified(name, kind): of_kind for kind, of_kind in of_class.samples.items()}
    used = utilisation(trace, figures["busy_fraction"], conditions)
    figures |= {} if used is None else {"mfu": used.mfu, "mbu": used.mbu}
    judgement = judge(settings, trace, figures)
    return Point(
        settings=settings,
        figures=figures,
        low_percentiles=low,
        verdict=judgement.verdict,
        reason=judgement.reason,
        remedy=judgement.remedy,
        intervals=intervals,
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
) -> _Measured:
    """Return what a trace says of all its requests, and how far it may be off."""
    measured = [record for record in trace.requests if record.measured]
    figures: dict[str, float | None] = dict.fromkeys(METRICS)
    samples = _latency_samples(measured)
    figures |= _latency_figures(samples)
    figures["num_measured"] = len(measured)
    figures["num_warmup"] = _num_before(trace.requests, measured)
    figures["num_kv_waited"] = sum(record.kv_blocked_s is not None for record in measured)
    figures["num_failed"] = sum(record.status != "finished" for record in measured)
    figures["max_wait_ms"] = max((to_ms(wait_s(record)) for record in measured), default=None)
    figures["num_preemptions"] = sum(record.num_preemptions for record in measured)
    figures["recomputed_tokens"] = sum(record.recomputed_tokens for record in measured)
    kept = {kind: of_kind for kind, of_kind in samples.items() if kind != "itl"}
    intervals = latency_intervals(kept)
    met = levels.outcomes(measured)
    figures["sla_attainment"] = mean_of(met)
    attainment = mean_interval(met, most=1.0)
    if attainment is not None:
        intervals["sla_attainment"] = attainment
    if trace.window is not None and trace.window.duration_s > 0:
        of_window, rates = _window_figures(settings, trace, trace.window, levels, len(measured))
        figures |= of_window
        figures["loop_cost_share"] = loop_cost_share(trace.steps, trace.window, conditions)
        intervals |= rates
    return _Measured(
        figures=figures, low=_low_percentiles(samples), samples=kept, intervals=intervals
    )


def _num_before(records: Sequence[RequestRecord], measured: Sequence[RequestRecord]) -> int | None:
    """Return how many requests came before the measured ones; None where nothing was measured."""
    first = min((record.request_id for record in measured), default=None)
    return None if first is None else sum(record.request_id < first for record in records)


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
                value = percentile(samples[kind], PERCENTILES[statistic])
            figures[f"{statistic}_{kind}_ms"] = None if value is None else to_ms(value)
    return figures


def _low_percentiles(samples: Mapping[str, NDArray[np.float64]]) -> tuple[str, ...]:
    return tuple(
        f"{statistic}_{kind}_ms"
        for kind in LATENCY_KINDS
        for statistic, share in PERCENTILES.items()
        if is_low(samples[kind].size, share)
    )


def _window_figures(
    settings: Settings, trace: Trace, window: Window, levels: ServiceLevels, num_measured: int
) -> tuple[dict[str, float | None], dict[str, Interval]]:
    counted = delivered_in(trace.requests, window, levels, num_measured)
    sums = {name: float(of_rate.sum()) for name, of_rate in counted.items()}
    figures: dict[str, float | None] = {
        "window_s": window.duration_s,
        **{name: total / window.duration_s for name, total in sums.items()},
    }
    figures |= steps_in_window(trace.steps, window, settings)
    figures |= device_figures(
        trace.telemetry, window, output_tokens=int(sums["output_tokens_per_s"])
    )
    return figures, rate_intervals(counted, window)
