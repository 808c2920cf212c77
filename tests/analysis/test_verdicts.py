"""Trials in virtual time with a fault planted, each with its verdict; clean ones are valid."""

from __future__ import annotations

import bisect
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from paretobench.analysis.conditions import Conditions
from paretobench.analysis.metrics import summarize
from paretobench.analysis.sla import ServiceLevels, SlaLimits
from paretobench.analysis.stationarity import late_truncation
from paretobench.core.points import Point, Settings
from paretobench.core.step_times import StepTimes
from paretobench.core.values import (
    BatchingConfig,
    RequestRecord,
    TelemetrySample,
    Trace,
    Trial,
    Window,
)
from paretobench.core.workloads import (
    ArrivalProcess,
    ClosedLoop,
    FixedLength,
    LoadSpec,
    UniformLength,
    WorkloadSpec,
)
from paretobench.runners.latency_model import LatencyModelRunner
from paretobench.serving.clock import VirtualClock
from paretobench.targets.serve import serve_trial

TIMES = StepTimes(prefill_base_s=0.002, decode_base_s=0.004, decode_per_sequence_s=2e-4)
CAPACITY = {"static": 63.0, "continuous": 73.8}  # requests a second of 4 slots, full all the while
Slowed = Callable[[float, float], float]
CLOSED = ClosedLoop(concurrency=4)


def at(share: float, policy: str = "static") -> ArrivalProcess:
    return ArrivalProcess(kind="poisson", requests_per_s=share * CAPACITY[policy])


def trial_of(load: LoadSpec, policy: str = "static", num_requests: int = 800) -> Trial:
    return Trial(
        batching=BatchingConfig(policy=policy, max_batch_size=4, max_waiting_time_s=0.0),
        load=load,
        workload=WorkloadSpec(
            prompt_tokens=FixedLength(value=32), output_tokens=UniformLength(low=4, high=16)
        ),
        num_requests=num_requests,
        num_warmup=80,
        warmup_e2e=5.0,
        min_duration_s=0.0,
        timeout_s=1e9,
        repeat=0,
        seed=4,
    )


class SlowedRunner(LatencyModelRunner):
    run_alike = None  # type: ignore[assignment]

    def __init__(self, clock: VirtualClock, slowed: Slowed) -> None:
        super().__init__(TIMES, lambda seconds: clock.sleep(slowed(clock.now(), seconds)))


def serve(trial: Trial, slowed: Slowed | None = None) -> Trace:
    clock = VirtualClock()
    runner = SlowedRunner(clock, slowed) if slowed else LatencyModelRunner(TIMES, clock.sleep)
    return serve_trial(trial, runner, clock)


@cache
def clean(policy: str = "static") -> Trace:
    return serve(trial_of(at(0.6, policy), policy))


def judged(trace: Trace, trial: Trial, conditions: Conditions | None = None) -> Point:
    return summarize(Settings.of(trial), trace, ServiceLevels(), conditions or Conditions())


@pytest.mark.parametrize("policy", ["static", "continuous"])
def test_a_clean_trial_is_valid(policy: str) -> None:
    point = judged(clean(policy), trial_of(at(0.6, policy), policy))
    assert (point.verdict, point.reason, point.remedy) == ("valid", "", "")
    assert point.figures["num_warmup"] == 80


@pytest.mark.parametrize("policy", ["static", "continuous"])
def test_clients_that_keep_all_slots_full_are_valid(policy: str) -> None:
    trial = trial_of(CLOSED, policy, num_requests=20)
    assert judged(serve(trial), trial).verdict == "valid"


@pytest.mark.parametrize("load", [at(0.4), at(0.7), CLOSED], ids=str)
def test_a_stall_of_two_seconds_is_no_steady_state(load: LoadSpec) -> None:
    to_come = [9.0]

    def stalls(start_s: float, duration_s: float) -> float:
        if to_come and start_s >= to_come[0]:
            to_come.pop()
            return duration_s + 2.0
        return duration_s

    point = judged(serve(trial_of(load), stalls), trial_of(load))
    assert point.verdict == "nonstationary"
    assert "one step stalled for 2" in point.reason
    assert point.remedy


@pytest.mark.parametrize("change", [0.3, -0.2])
@pytest.mark.parametrize("load", [at(0.5), CLOSED], ids=str)
def test_steps_that_become_slower_or_faster_are_no_steady_state(
    load: LoadSpec, change: float
) -> None:
    trace = serve(trial_of(load), lambda start_s, s: s * (1 + change * min(start_s / 16, 1.0)))
    point = judged(trace, trial_of(load))
    assert point.verdict == "nonstationary"
    assert f"{'more' if change > 0 else 'less'} time in the last quarter" in point.reason


def test_a_slow_start_that_the_warm_up_did_not_cover_is_found_by_mser() -> None:
    # fewer clients at first look like it: here the first 15% of the latencies are twice the rest
    rng = np.random.default_rng(0)
    steady = rng.exponential(1.0, 1000)
    found = late_truncation(np.r_[steady[:150] + 1.0, steady[150:]])
    assert found is not None
    assert found.share == pytest.approx(0.15, abs=0.03)
    assert found.shift == pytest.approx(1 / 1.15 - 1, abs=0.03)
    assert late_truncation(steady) is None


def test_ten_percent_over_the_capacity_is_overloaded() -> None:
    trial = trial_of(at(1.1))
    trace = serve(trial)
    first = judged(trace, trial)
    assert first.verdict == "overloaded"
    assert "exceeds the capacity" in first.reason
    assert "twice the length" not in first.reason
    assert "offer less than the 6" in first.remedy
    assert "also at twice the length" in judged(replace(trace, attempt=2), trial).reason


def with_samples(**fields: object) -> Trace:
    samples = tuple(TelemetrySample(t_s=float(t), **fields) for t in range(3, 20))  # type: ignore
    return replace(clean(), telemetry=samples)


@pytest.mark.parametrize(
    ("fields", "verdict", "said"),
    [
        ({"throttle_reasons": "sw_power_cap|sw_thermal_slowdown"}, "throttled", "sw_thermal"),
        ({"throttle_reasons": "hw_power_brake_slowdown"}, "throttled", "hw_power_brake"),
        ({"throttle_reasons": "sw_power_cap"}, "valid", ""),
        ({"num_other_gpu_processes": 2}, "disturbed", "up to 2 other processes"),
        ({"cpu_steal_pct": 5.5}, "disturbed", "5.5% of the CPU time"),
        ({"cpu_steal_pct": 4.5, "num_other_gpu_processes": 0}, "valid", ""),
    ],
)
def test_what_the_machine_did_meanwhile_decides(
    fields: dict[str, object], verdict: str, said: str
) -> None:
    point = judged(with_samples(**fields), trial_of(at(0.6)))
    assert point.verdict == verdict
    assert said in point.reason
    assert bool(point.remedy) == (verdict != "valid")
    capped = "sw_power_cap" in str(fields.get("throttle_reasons"))
    if "throttle_reasons" in fields:
        assert point.figures["power_cap_share"] == float(capped)


def test_heat_outside_the_window_does_not_count() -> None:
    hot = TelemetrySample(t_s=0.5, throttle_reasons="hw_thermal_slowdown")
    assert judged(replace(clean(), telemetry=(hot,)), trial_of(at(0.6))).verdict == "valid"


@pytest.mark.parametrize(("cost_us", "verdict"), [(300.0, "client_limited"), (100.0, "valid")])
def test_a_loop_that_costs_a_twentieth_of_a_step_limits(cost_us: float, verdict: str) -> None:
    conditions = Conditions(loop_cost_s={1: cost_us * 1e-6, 4: cost_us * 1e-6})
    trial = trial_of(at(0.6))
    timed = replace(clean(), started_monotonic_s=1.0)
    assert judged(timed, trial, conditions).verdict == verdict
    assert judged(clean(), trial, conditions).verdict == "valid", "virtual time costs nothing"


def test_the_loop_is_judged_by_the_share_that_the_report_shows() -> None:
    # of two engines side by side the mean batch size is a sum, but each step has its own engine's
    steps = tuple(replace(s, engine=name) for s in clean().steps for name in ("a", "b"))
    timed = replace(clean(), steps=steps, started_monotonic_s=1.0)
    limits = json.dumps({name: {"max_batch_size": 4, "device_share": 0.5} for name in "ab"})
    settings = replace(
        Settings.of(trial_of(at(0.6))), arrangement="separate", class_batching=limits
    )

    def with_cost(loop_cost_s: dict[int, float]) -> Point:
        return summarize(settings, timed, ServiceLevels(), Conditions(loop_cost_s=loop_cost_s))

    cheap = with_cost({3: 10e-6, 4: 1e-3})
    assert (cheap.figures["mean_batch_size"] or 0) > 4
    assert (cheap.figures["loop_cost_share"] or 1) < 0.01
    assert cheap.verdict == "valid"
    dear = with_cost({3: 1e-3, 4: 1e-3})
    assert f"costs {dear.figures['loop_cost_share']:.0%} of the median step" in dear.reason


def with_pauses(trace: Trace, pause_s: float, every: int) -> Trace:
    """Return the trace of a loop that pauses before every so-manieth step, and so sees late."""
    starts = np.array([step.start_s for step in trace.steps])
    ends = starts + np.array([step.duration_s for step in trace.steps])
    paused = starts[::every]

    def at_step(t: float) -> float:
        return t + pause_s * int(np.searchsorted(paused, t, side="right"))

    def before_step(t: float) -> float:
        return t + pause_s * int(np.searchsorted(paused, t, side="left"))

    def record(r: RequestRecord) -> RequestRecord:
        running = int(np.searchsorted(starts, r.arrival_s, side="right")) - 1
        seen_s = max(r.arrival_s, ends[running]) if running >= 0 else r.arrival_s
        return replace(
            r,
            arrival_s=before_step(r.arrival_s),
            taken_in_s=at_step(seen_s),
            admitted_s=at_step(r.admitted_s or 0.0),
            first_token_s=before_step(r.first_token_s or 0.0),
            finished_s=before_step(r.finished_s or 0.0),
            token_times_s=tuple(map(before_step, r.token_times_s)),
        )

    window = trace.window
    assert window is not None
    return replace(
        trace,
        requests=tuple(map(record, trace.requests)),
        steps=tuple(replace(s, start_s=at_step(s.start_s)) for s in trace.steps),
        window=Window(start_s=before_step(window.start_s), end_s=before_step(window.end_s)),
        started_monotonic_s=1.0,
    )


@pytest.mark.parametrize(
    ("pause_ms", "every", "verdict"),
    [(3.0, 1, "client_limited"), (0.2, 1, "valid"), (20.0, 2000, "valid")],
)
def test_arrivals_that_are_taken_in_late_limit_but_one_hiccup_does_not(
    pause_ms: float, every: int, verdict: str
) -> None:
    late = with_pauses(clean(), pause_ms / 1e3, every)
    assert judged(late, trial_of(at(0.6))).verdict == verdict


def test_arrivals_that_just_miss_a_step_wait_for_it_and_not_for_the_loop() -> None:
    trace = clean()
    starts = [step.start_s for step in trace.steps]
    ends = [step.start_s + step.duration_s for step in trace.steps]
    requests = []
    for r in trace.requests:  # each comes in the instant before a step begins
        i = min(bisect.bisect_left(starts, r.arrival_s), len(starts) - 1)
        requests.append(replace(r, arrival_s=starts[i] - 1e-5, taken_in_s=ends[i] + 1e-5))
    timed = replace(trace, requests=tuple(requests), started_monotonic_s=1.0)
    assert judged(timed, trial_of(at(0.6))).verdict != "client_limited"


@pytest.mark.parametrize(
    ("num_requests", "said"),
    [(19, "only 19 requests"), (30, "spans only 2.0 mean E2E"), (160, "")],
)
def test_a_window_of_two_batches_is_too_short(num_requests: int, said: str) -> None:
    batching = BatchingConfig(policy="static", max_batch_size=16, max_waiting_time_s=0.0)
    load = ArrivalProcess(kind="constant", requests_per_s=120.0)
    trial = replace(trial_of(load, num_requests=num_requests), batching=batching)
    point = judged(serve(trial), trial)
    assert point.verdict == ("too_short" if said else "valid")
    assert said in point.reason
    assert ("measure at least" in point.remedy) == bool(said)


def test_what_did_not_finish_is_infinitely_late_and_misses_the_sla() -> None:
    trace = clean()
    last = next(r for r in reversed(trace.requests) if r.measured)
    lost = [
        replace(r, finished_s=None, status="unfinished") if r is last else r for r in trace.requests
    ]
    levels = ServiceLevels(default=SlaLimits(e2e_s=1e6))
    trial = trial_of(at(0.6))
    point = summarize(Settings.of(trial), replace(trace, requests=tuple(lost)), levels)
    assert point.verdict == "failed"
    assert point.figures["mean_e2e_ms"] == float("inf")
    assert point.figures["sla_attainment"] == pytest.approx(1 - 1 / 800)
