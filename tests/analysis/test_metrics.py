"""Each formula on records small enough to do by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretobench.analysis.metrics import summarize
from paretobench.analysis.percentiles import percentile
from paretobench.analysis.sla import ServiceLevels, SlaLimits
from paretobench.core.points import Point, Settings
from paretobench.core.profiles import BurstProfile
from paretobench.core.values import (
    RequestRecord,
    StepRecord,
    TelemetrySample,
    Trace,
    Window,
)

MakeSettings = Callable[..., Settings]
NO_SLA = ServiceLevels()

# arrives at 1, joins at 1.5, tokens at 2, 3 and 4, delivered at 5
RECORD = RequestRecord(
    request_id=0,
    class_name="default",
    arrival_s=1.0,
    prompt_tokens=8,
    output_tokens=3,
    measured=True,
    admitted_s=1.5,
    first_token_s=2.0,
    finished_s=5.0,
    status="finished",
    error=None,
    token_times_s=(2.0, 3.0, 4.0),
)
STEP = StepRecord(
    phase="decode",
    start_s=2.0,
    duration_s=2.0,
    batch_size=2,
    joined=0,
    decode_rows=2,
    prompt_tokens=0,
    new_tokens=1,
    kv_tokens=20,
    padded_tokens=1,
    queue_depth=0,
    close_reason=None,
)


def trace_of(*records: RequestRecord, **changes: object) -> Trace:
    trace = Trace(
        requests=records,
        steps=(STEP,),
        window=Window(start_s=1.0, end_s=5.0),
        outcome="completed",
    )
    return replace(trace, **changes)  # type: ignore[arg-type]


def summary(make_settings: MakeSettings, trace: Trace, sla: ServiceLevels = NO_SLA) -> Point:
    return summarize(make_settings(), trace, sla)


def test_latencies_run_from_the_scheduled_arrival(make_settings: MakeSettings) -> None:
    figures = summary(make_settings, trace_of(RECORD)).figures
    assert figures["mean_queue_ms"] == 500.0
    assert figures["mean_ttft_ms"] == 1000.0
    assert figures["mean_e2e_ms"] == 4000.0
    assert figures["mean_tpot_ms"] == 1500.0  # (5 - 2) / (3 - 1): no TTFT in it
    assert figures["mean_itl_ms"] == 1000.0


def test_tpot_of_one_token_is_missing_not_zero(make_settings: MakeSettings) -> None:
    single = replace(RECORD, output_tokens=1, token_times_s=(2.0,))
    figures = summary(make_settings, trace_of(single)).figures
    assert figures["mean_tpot_ms"] is None
    assert figures["mean_itl_ms"] is None


def test_throughput_counts_tokens_of_the_window_alone(make_settings: MakeSettings) -> None:
    warmup = replace(
        RECORD, request_id=1, measured=False, first_token_s=0.5, token_times_s=(0.5, 1.0, 1.5)
    )
    figures = summary(make_settings, trace_of(RECORD, warmup)).figures
    # 2, 3, 4 of the first; 1.5 of the second: its 1.0 lies on the open edge
    assert figures["output_tokens_per_s"] == 4 / 4
    assert figures["total_tokens_per_s"] == (4 + 8) / 4
    assert figures["requests_per_s"] == 2 / 4


@pytest.mark.parametrize(("finished_s", "counted"), [(1.0, 0), (1.1, 1), (5.0, 1), (5.1, 0)])
def test_what_is_delivered_at_the_windows_start_belongs_to_the_warm_up(
    make_settings: MakeSettings, finished_s: float, counted: int
) -> None:
    record = replace(RECORD, arrival_s=0.0, admitted_s=0.1, first_token_s=0.5)
    record = replace(record, token_times_s=(0.5, 0.6, 0.7), finished_s=finished_s)
    figures = summary(make_settings, trace_of(record)).figures
    assert figures["requests_per_s"] == counted / 4


def test_a_request_that_failed_is_infinite_in_the_tail(make_settings: MakeSettings) -> None:
    lost = replace(
        RECORD,
        request_id=1,
        admitted_s=None,
        first_token_s=None,
        finished_s=None,
        status="rejected",
        error="too long",
        token_times_s=(),
    )
    point = summary(
        make_settings, trace_of(RECORD, lost), ServiceLevels(default=SlaLimits(e2e_s=10))
    )
    assert point.figures["p95_e2e_ms"] == float("inf")
    assert point.figures["p50_e2e_ms"] == float("inf")  # between the two
    assert point.figures["num_failed"] == 1
    assert point.figures["sla_attainment"] == 0.5
    assert point.verdict == "failed"
    assert point.reason == "1 of 2 requests rejected: too long"


def test_a_step_counts_by_its_share_of_the_window(make_settings: MakeSettings) -> None:
    edge = replace(STEP, start_s=4.0, duration_s=2.0, batch_size=4, decode_rows=4, padded_tokens=0)
    figures = summary(make_settings, trace_of(RECORD, steps=(STEP, edge))).figures
    assert figures["busy_fraction"] == 3 / 4  # 2 s and half of 2 s, of 4 s
    assert figures["mean_batch_size"] == pytest.approx((2 * 2 + 4 * 1) / 3)
    assert figures["batch_occupancy"] == pytest.approx((2 * 2 + 4 * 1) / 3 / 4)
    assert figures["padding_waste"] == pytest.approx(1 / (2 + 4 / 2))


def test_a_prompt_counts_its_tokens_as_computed(make_settings: MakeSettings) -> None:
    prefill = replace(
        STEP,
        phase="prefill",
        joined=2,
        decode_rows=0,
        prompt_tokens=62,
        new_tokens=2,
        padded_tokens=0,
        start_s=1,
    )
    step = replace(STEP, start_s=3.0)
    figures = summary(make_settings, trace_of(RECORD, steps=(prefill, step))).figures
    assert figures["padding_waste"] == pytest.approx(1 / 64)


def test_goodput_counts_requests_inside_every_limit(make_settings: MakeSettings) -> None:
    late = replace(RECORD, request_id=1, finished_s=4.9)
    sla = ServiceLevels(default=SlaLimits(e2e_s=3.95, ttft_s=2.0))
    figures = summary(make_settings, trace_of(RECORD, late), sla).figures
    assert figures["goodput_requests_per_s"] == 1 / 4
    assert figures["sla_attainment"] == 0.5


def test_without_limits_there_is_no_goodput(make_settings: MakeSettings) -> None:
    assert summary(make_settings, trace_of(RECORD)).figures["goodput_requests_per_s"] is None


def sample(t_s: float, energy_j: float, util: float) -> TelemetrySample:
    return TelemetrySample(t_s=t_s, energy_j=energy_j, gpu_util_pct=util)


def test_energy_is_the_counters_difference_at_the_ends_of_the_window(
    make_settings: MakeSettings,
) -> None:
    telemetry = (sample(0.0, 100, 1), sample(2.0, 120, 40), sample(4.0, 160, 60), sample(6, 200, 9))
    figures = summary(make_settings, trace_of(RECORD, telemetry=telemetry)).figures
    assert figures["energy_j"] == 180 - 110
    assert figures["tokens_per_joule"] == pytest.approx(3 / 70)
    assert figures["gpu_util_pct"] == 50.0  # of the two samples inside


def test_what_no_gpu_reported_is_missing(make_settings: MakeSettings) -> None:
    telemetry = (TelemetrySample(t_s=2.0, cpu_util_pct=80.0),)
    figures = summary(make_settings, trace_of(RECORD, telemetry=telemetry)).figures
    assert figures["gpu_util_pct"] is None
    assert figures["energy_j"] is None
    assert figures["cpu_util_pct"] == 80.0


def test_percentiles_with_few_samples_beyond_are_marked(make_settings: MakeSettings) -> None:
    records = [replace(RECORD, request_id=i) for i in range(150)]
    low = summary(make_settings, trace_of(*records)).low_percentiles
    assert "p95_e2e_ms" in low
    assert "p90_e2e_ms" not in low
    assert "p95_itl_ms" not in low  # 300 gaps


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=50), st.sampled_from([50.0, 90.0, 95.0, 99.0])
)
def test_finite_percentiles_are_numpys(samples: list[float], share: float) -> None:
    expected = float(np.percentile(samples, share))
    assert percentile(np.array(samples), share) == pytest.approx(expected)


def waits(rise_s: float) -> list[RequestRecord]:
    records = []
    for i in range(100):
        wait_s = 0.01 + rise_s * i + 0.004 * (i % 3)
        records.append(
            replace(
                RECORD,
                request_id=i,
                arrival_s=float(i),
                admitted_s=i + wait_s,
                first_token_s=i + wait_s + 0.1,
                finished_s=i + wait_s + 0.3,
                token_times_s=(i + wait_s + 0.1,),
            )
        )
    return records


def test_a_backlog_that_grows_is_overloaded(make_settings: MakeSettings) -> None:
    trace = trace_of(*waits(0.5), window=Window(start_s=0.0, end_s=100.0))
    point = summarize(make_settings(load_kind="poisson"), trace, NO_SLA)
    assert point.verdict == "overloaded"
    assert "exceeds the capacity" in point.reason


def served_late(count: int, finished_s: float = 200.0) -> list[RequestRecord]:
    """Requests of which the last `count` are delivered after the window."""
    records = waits(0.0)
    return [
        replace(r, finished_s=finished_s) if r.request_id >= 100 - count else r for r in records
    ]


@pytest.mark.parametrize(("batch_size", "verdict"), [(4, "overloaded"), (3, "valid")])
def test_a_deficit_with_full_batches_all_the_while_is_overloaded(
    make_settings: MakeSettings, batch_size: int, verdict: str
) -> None:
    step = replace(STEP, start_s=0.0, duration_s=100.0, batch_size=batch_size, padded_tokens=0)
    window = Window(start_s=0.0, end_s=100.0)
    trace = trace_of(*served_late(3, 102.0), window=window, steps=(step,))
    point = summarize(make_settings(load_kind="poisson"), trace, NO_SLA)
    assert point.verdict == verdict
    assert ("100% full for 100% of it" in point.reason) == (verdict == "overloaded")


def test_full_batches_that_keep_up_are_valid(make_settings: MakeSettings) -> None:
    step = replace(STEP, start_s=0.0, duration_s=100.0, batch_size=4, padded_tokens=0)
    trace = trace_of(*served_late(1, 101.0), window=Window(start_s=0.0, end_s=100.0), steps=(step,))
    assert summarize(make_settings(load_kind="poisson"), trace, NO_SLA).verdict == "valid"


def test_steady_waits_are_valid(make_settings: MakeSettings) -> None:
    trace = trace_of(*waits(0.0), window=Window(start_s=0.0, end_s=100.0))
    assert summarize(make_settings(load_kind="poisson"), trace, NO_SLA).verdict == "valid"


def test_a_closed_loop_cannot_be_overloaded(make_settings: MakeSettings) -> None:
    trace = trace_of(*waits(0.5), window=Window(start_s=0.0, end_s=100.0))
    assert summarize(make_settings(), trace, NO_SLA).verdict == "valid"


@pytest.mark.parametrize(
    ("batch_size", "offered", "verdict"),
    [(1, 1.3, "overloaded"), (1, 1.1, "valid"), (4, 1.3, "valid")],
)
def test_a_varying_load_is_judged_by_the_rate_at_which_a_backlog_clears(
    make_settings: MakeSettings, batch_size: int, offered: float, verdict: str
) -> None:
    # the last one waits longest, 2.6 s, in which it and the two before it are admitted: a backlog
    # at batch 1, at batch 4 one batch that fills; 20 are served after the window
    waits_s = [2.501 + i / 1000 for i in range(100)]
    records = [
        replace(r, admitted_s=r.arrival_s + wait_s)
        for r, wait_s in zip(served_late(20), waits_s, strict=True)
    ]
    settings = make_settings(
        load_kind="burst",
        rate_profile=BurstProfile(factor=3.0, burst_s=2.0, period_s=10.0).to_json(),
        offered_requests_per_s=offered,
        max_batch_size=batch_size,
    )
    trace = trace_of(*records, window=Window(start_s=0.0, end_s=100.0))
    point = summarize(settings, trace, NO_SLA)
    assert point.verdict == verdict, point.reason
    if verdict == "overloaded":
        assert "the backlog cleared at 1.15 requests/s with 1.3 offered on average" in point.reason


def test_out_of_memory_is_a_verdict_of_its_own(make_settings: MakeSettings) -> None:
    trace = Trace(requests=(), steps=(), window=None, outcome="out_of_memory", reason="no room")
    point = summary(make_settings, trace)
    assert (point.verdict, point.reason) == ("out_of_memory", "no room")
    assert point.figures["output_tokens_per_s"] is None


TARGET = '{"kind": "aimd", "latency_sla_ms": 50.0}'


@pytest.mark.parametrize(("fastest_s", "verdict"), [(0.071, "failed"), (0.05, "too_short")])
def test_a_target_that_no_batch_kept_fails_the_trial(
    make_settings: MakeSettings, fastest_s: float, verdict: str
) -> None:
    records = [
        replace(RECORD, request_id=i, admitted_s=0.0, finished_s=service_s)
        for i, service_s in enumerate((0.3, fastest_s, 0.2))
    ]
    point = summarize(make_settings(controller_constants=TARGET), trace_of(*records), NO_SLA)
    assert point.verdict == verdict
    if verdict == "failed":
        assert point.reason == ("no batch can meet the controller's 50 ms: the fastest took 71 ms")
        assert point.remedy == "raise latency_sla_ms"
    assert point.figures["num_measured"] == 3  # nothing measured is lost


def test_a_missed_target_is_the_reason_of_a_trial_that_ran_out_of_time(
    make_settings: MakeSettings,
) -> None:
    settings = make_settings(controller_constants=TARGET, load_kind="poisson")
    late = trace_of(*waits(0.5), outcome="timed_out", reason="timed out after 9 s")
    assert "no batch can meet" in summarize(settings, late, NO_SLA).reason
    died = trace_of(*waits(0.5), outcome="failed", reason="killed by signal 9")
    assert summarize(settings, died, NO_SLA).reason == "killed by signal 9"
