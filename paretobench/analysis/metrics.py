"""Every figure of a trial, of all requests and of each class.

(T0, T1] is the measuring window. Latencies are those of the measured requests, all of them: one
that failed, was rejected or never finished counts as +inf.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.client import loop_cost_share
from paretobench.analysis.conditions import Conditions
from paretobench.analysis.latencies import (
    e2e_latency_s,
    queue_time_s,
    time_per_output_token_s,
    time_to_first_token_s,
    wait_s,
)
from paretobench.analysis.percentiles import (
    PERCENTILES,
    is_low,
    mean_of,
    percentile_of_sorted,
)
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
from paretobench.core.columns import RequestColumns, StepColumns
from paretobench.core.intervals import Interval
from paretobench.core.metrics import LATENCY_KINDS, METRICS, STATISTICS, qualified
from paretobench.core.points import Point, Settings
from paretobench.core.units import to_ms
from paretobench.core.values import Trace, Window

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
    trace = replace(
        trace, requests=RequestColumns.of(trace.requests), steps=StepColumns.of(trace.steps)
    )
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
        lengths=served_lengths(RequestColumns.of(trace.requests)),
    )


def _only(trace: Trace, class_name: str) -> Trace:
    """Return a class's requests, and the steps of its engine where it has one."""
    requests, steps = RequestColumns.of(trace.requests), StepColumns.of(trace.steps)
    return replace(
        trace,
        requests=requests.where(requests.class_name.says(class_name)),
        steps=steps.where(steps.engine.says(class_name)),
    )


def _figures_of(
    settings: Settings, trace: Trace, levels: ServiceLevels, conditions: Conditions
) -> _Measured:
    """Return what a trace says of all its requests, and how far it may be off."""
    requests = RequestColumns.of(trace.requests)
    measured = requests.where(requests.measured)
    figures: dict[str, float | None] = dict.fromkeys(METRICS)
    samples = _latency_samples(measured)
    figures |= _latency_figures(samples)
    figures |= _counts(requests, measured)
    sizes = {kind: of_kind.size for kind, of_kind in samples.items()}
    samples.pop("itl")  # one a token: many, and nothing more is asked of them
    intervals = latency_intervals(samples)
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
        figures=figures, low=_low_percentiles(sizes), samples=samples, intervals=intervals
    )


def _counts(requests: RequestColumns, measured: RequestColumns) -> dict[str, float | None]:
    """Return how many requests there were, and how many of the measured ones met with what."""
    waits_s = wait_s(measured)
    return {
        "num_measured": len(measured),
        "num_warmup": _num_before(requests, measured),
        "num_kv_waited": int(np.count_nonzero(~np.isnan(measured.kv_blocked_s))),
        "num_failed": int(np.count_nonzero(~measured.status.says("finished"))),
        "max_wait_ms": to_ms(float(waits_s.max())) if waits_s.size else None,
        "num_preemptions": int(measured.num_preemptions.sum()),
        "recomputed_tokens": int(measured.recomputed_tokens.sum()),
    }


def _num_before(requests: RequestColumns, measured: RequestColumns) -> int | None:
    """Return how many requests came before the measured ones; None where nothing was measured."""
    if not len(measured):
        return None
    return int(np.count_nonzero(requests.request_id < measured.request_id.min()))


def _latency_samples(measured: RequestColumns) -> dict[str, NDArray[np.float64]]:
    tpot_s = time_per_output_token_s(measured)
    return {
        "queue": queue_time_s(measured),
        "ttft": time_to_first_token_s(measured),
        "tpot": tpot_s[~np.isnan(tpot_s)],
        "itl": measured.token_times_s.gaps(),
        "e2e": e2e_latency_s(measured),
    }


def _latency_figures(samples: Mapping[str, NDArray[np.float64]]) -> dict[str, float | None]:
    figures: dict[str, float | None] = {}
    for kind in LATENCY_KINDS:
        ordered = np.sort(samples[kind])
        for statistic in STATISTICS:
            if statistic == "mean":
                value = mean_of(samples[kind])
            else:
                value = percentile_of_sorted(ordered, PERCENTILES[statistic])
            figures[f"{statistic}_{kind}_ms"] = None if value is None else to_ms(value)
    return figures


def _low_percentiles(num_samples: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(
        f"{statistic}_{kind}_ms"
        for kind in LATENCY_KINDS
        for statistic, share in PERCENTILES.items()
        if is_low(num_samples[kind], share)
    )


def _window_figures(
    settings: Settings, trace: Trace, window: Window, levels: ServiceLevels, num_measured: int
) -> tuple[dict[str, float | None], dict[str, Interval]]:
    requests, steps = RequestColumns.of(trace.requests), StepColumns.of(trace.steps)
    counted = delivered_in(requests, window, levels, num_measured)
    sums = {name: float(of_rate.sum()) for name, of_rate in counted.items()}
    figures: dict[str, float | None] = {
        "window_s": window.duration_s,
        **{name: total / window.duration_s for name, total in sums.items()},
    }
    figures |= steps_in_window(steps, window, settings)
    figures |= device_figures(
        trace.telemetry, window, output_tokens=int(sums["output_tokens_per_s"])
    )
    return figures, rate_intervals(counted, window)
