"""Every figure of a trial, each formula in one place.

`a` scheduled arrival, `d` admission, `f` first token on the host, `e` delivery, `n` output tokens,
(T0, T1] the measuring window. Latencies are those of the measured requests, all of them: one that
failed, was rejected or never finished counts as +inf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.percentiles import is_low, mean_of, percentile
from paretobench.analysis.validity import judge
from paretobench.analysis.window import device_figures, steps_in_window
from paretobench.core.metrics import LATENCY_KINDS, METRICS, STATISTICS
from paretobench.core.points import Point, Settings
from paretobench.core.units import to_ms
from paretobench.core.values import RequestRecord, Trace, Window

_PERCENTILES = {"p50": 50.0, "p90": 90.0, "p95": 95.0, "p99": 99.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaLimits:
    """What one request must keep to, in seconds; None is no limit."""

    e2e_s: float | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None

    @property
    def any_set(self) -> bool:
        """Return whether there is any limit."""
        return any(limit is not None for limit in (self.e2e_s, self.ttft_s, self.tpot_s))

    def is_met(self, record: RequestRecord) -> bool:
        """Return whether the request was delivered inside every limit."""
        if record.status != "finished":
            return False
        tpot_s = time_per_output_token_s(record)
        return not any(
            limit is not None and value is not None and value > limit
            for limit, value in (
                (self.e2e_s, e2e_latency_s(record)),
                (self.ttft_s, time_to_first_token_s(record)),
                (self.tpot_s, tpot_s),
            )
        )


def queue_time_s(record: RequestRecord) -> float:
    """Return d − a in seconds; inf where the request was never admitted."""
    return _inf_if_none(record.admitted_s) - record.arrival_s


def time_to_first_token_s(record: RequestRecord) -> float:
    """Return f − a in seconds; inf where there was no first token."""
    return _inf_if_none(record.first_token_s) - record.arrival_s


def e2e_latency_s(record: RequestRecord) -> float:
    """Return e − a in seconds; inf where nothing was delivered."""
    return _inf_if_none(record.finished_s) - record.arrival_s


def time_per_output_token_s(record: RequestRecord) -> float | None:
    """Return (e − f)/(n − 1) in seconds; None for n = 1, inf where nothing was delivered."""
    if record.output_tokens == 1:
        return None
    if record.finished_s is None or record.first_token_s is None:
        return float("inf")
    return (record.finished_s - record.first_token_s) / (record.output_tokens - 1)


def inter_token_latencies_s(records: Sequence[RequestRecord]) -> NDArray[np.float64]:
    """Return every gap between two tokens of one request, pooled over requests, in seconds."""
    gaps = [np.diff(r.token_times_s) for r in records if len(r.token_times_s) > 1]
    return np.concatenate(gaps) if gaps else np.empty(0)


def summarize(settings: Settings, trace: Trace, sla: SlaLimits) -> Point:
    """Return the point that a trace amounts to: every figure of METRICS and the verdict."""
    measured = [record for record in trace.requests if record.measured]
    figures: dict[str, float | None] = dict.fromkeys(METRICS)
    samples = _latency_samples(measured)
    figures |= _latency_figures(samples)
    figures["num_measured"] = len(measured)
    figures["num_kv_waited"] = sum(record.kv_blocked_s is not None for record in measured)
    figures["num_failed"] = sum(record.status != "finished" for record in measured)
    if trace.window is not None and trace.window.duration_s > 0:
        figures |= _window_figures(settings, trace, trace.window, sla)
    if sla.any_set and measured:
        figures["sla_attainment"] = sum(map(sla.is_met, measured)) / len(measured)
    verdict, reason = judge(settings, trace, measured, figures)
    return Point(
        settings=settings,
        figures=figures,
        low_percentiles=_low_percentiles(samples),
        verdict=verdict,
        reason=reason,
    )


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
    settings: Settings, trace: Trace, window: Window, sla: SlaLimits
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
        if record.status == "finished" and _is_in(_inf_if_none(record.finished_s), window)
    ]
    good = sum(map(sla.is_met, delivered)) / span_s if sla.any_set else None
    figures: dict[str, float | None] = {
        "window_s": span_s,
        "output_tokens_per_s": output_tokens / span_s,
        "total_tokens_per_s": (output_tokens + prompt_tokens) / span_s,
        "requests_per_s": len(delivered) / span_s,
        "goodput_requests_per_s": good,
    }
    figures |= steps_in_window(trace.steps, window, max_batch_size=settings.max_batch_size)
    figures |= device_figures(trace.telemetry, window, output_tokens=output_tokens)
    return figures


def _is_in(time_s: float, window: Window) -> bool:
    return window.start_s < time_s <= window.end_s


def _count_in(times_s: Sequence[float], window: Window) -> int:
    return sum(window.start_s < time_s <= window.end_s for time_s in times_s)


def _inf_if_none(value: float | None) -> float:
    return float("inf") if value is None else value
