"""Whether something else than the system under load decided a trial's figures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from paretobench.analysis.judgement import Judgement
from paretobench.core.columns import Floats, RequestColumns, StepColumns
from paretobench.core.units import to_ms
from paretobench.core.values import RequestRecord, TelemetrySample, Trace, Window

LOOP_SHARE_OF_STEP = 0.05  # beyond it a trial is client_limited
STEAL_PCT = 5.0  # beyond it a trial is disturbed
_LATE_S = 1e-3
_LATE_SHARE = 0.01  # of the median E2E latency
_LATE_QUANTILE = 0.99
_HICCUPS = 2
# names of telemetry.throttle; a software power cap is a setting of the card, and only noted
HELD_DOWN = (
    "hw_slowdown",
    "sw_thermal_slowdown",
    "hw_thermal_slowdown",
    "hw_power_brake_slowdown",
)


def client_limited(
    trace: Trace,
    measured: Sequence[RequestRecord],
    figures: Mapping[str, float | None],
) -> Judgement | None:
    """Return the verdict where the loop itself, not the runner, took too much of the time.

    It did where a step of the loop (measured with the null runner) costs over 5% of the median step
    in the window, or where arrivals were taken in more than max(1 ms, 1% of the median E2E latency)
    later than they could be. In virtual time neither can be.
    """
    if trace.started_monotonic_s is None:
        return None
    share = figures.get("loop_cost_share")
    if share is not None and share > LOOP_SHARE_OF_STEP:
        return Judgement(
            verdict="client_limited",
            reason=f"a step of the loop itself costs {share:.0%} of the median step",
            remedy="measure on a faster core, or a model whose steps take longer",
        )
    late_s = _lateness_s(StepColumns.of(trace.steps), RequestColumns.of(measured))
    allowed_s = max(_LATE_S, _LATE_SHARE * (figures.get("p50_e2e_ms") or 0.0) / 1e3)
    if late_s is None or late_s <= allowed_s:
        return None
    return Judgement(
        verdict="client_limited",
        reason=f"arrivals were taken in up to {to_ms(late_s):.3g} ms late "
        f"(99th percentile; allowed are {to_ms(allowed_s):.3g} ms)",
        remedy="free a CPU core for the loop: lower model.threads, or stop what else runs",
    )


def _lateness_s(steps: StepColumns, measured: RequestColumns) -> float | None:
    """Return the 99th percentile of what the loop lost on arrivals, but never the two worst.

    While a step runs nobody can be seen: what lies between arrival and intake and in no step is the
    loop's. (A request that just misses the intake before a step waits for all of it.) Requests that
    were taken in together count once, and one or two hiccups of the operating system are no
    verdict. None where it was not recorded.
    """
    late: list[Floats] = []
    for engine in steps.engine.present():
        own = steps.where(steps.engine.says(engine))
        durations = own.duration_s
        edges = np.stack((own.start_s, own.end_s), axis=1).ravel()  # [2 × steps], ascending
        done = np.cumsum(durations)
        stepped = np.stack((done - durations, done), axis=1).ravel()  # seconds in steps until then
        known = ~np.isnan(measured.taken_in_s)
        if engine is not None:
            known &= measured.class_name.says(engine)
        arrival, taken = measured.arrival_s[known], measured.taken_in_s[known]
        in_steps = np.interp(taken, edges, stepped) - np.interp(arrival, edges, stepped)
        moments, group = np.unique(taken, return_inverse=True)
        worst = np.zeros(moments.size)
        np.maximum.at(worst, group, taken - arrival - in_steps)
        late.append(worst)
    ordered = np.sort(np.concatenate(late)) if late else np.empty(0)
    if ordered.size <= _HICCUPS:
        return None
    rank = min(math.ceil(_LATE_QUANTILE * ordered.size), ordered.size - _HICCUPS)
    return float(ordered[rank - 1])


def throttled(trace: Trace, window: Window) -> Judgement | None:
    """Return the verdict where heat or the power brake held the clocks down in the window."""
    samples = [s for s in _samples(trace, window) if s.throttle_reasons is not None]
    reasons = [set(HELD_DOWN) & set((s.throttle_reasons or "").split("|")) for s in samples]
    named = sorted(set().union(*reasons))
    if not named:
        return None
    held = sum(map(bool, reasons))
    return Judgement(
        verdict="throttled",
        reason=f"the GPU's clocks were held down in {held} of {len(samples)} samples: "
        f"{', '.join(named)}",
        remedy="cool the GPU or lower its power limit (nvidia-smi -pl), then measure again",
    )


def disturbed(
    trace: Trace, window: Window, figures: Mapping[str, float | None]
) -> Judgement | None:
    """Return the verdict where others used the GPU in the window, or had over 5% of the CPUs."""
    samples = _samples(trace, window)
    others = [s.num_other_gpu_processes for s in samples if s.num_other_gpu_processes]
    if others:
        return Judgement(
            verdict="disturbed",
            reason=f"up to {max(others)} other processes were on the GPU "
            f"(in {len(others)} of {len(samples)} samples)",
            remedy="stop them (nvidia-smi lists them), then measure again",
        )
    steal_pct = figures.get("cpu_steal_pct")
    if steal_pct is None or steal_pct <= STEAL_PCT:
        return None
    return Judgement(
        verdict="disturbed",
        reason=f"the hypervisor gave {steal_pct:.1f}% of the CPU time to other machines",
        remedy="measure on a machine, or at a time, that is not shared",
    )


def _samples(trace: Trace, window: Window) -> list[TelemetrySample]:
    return [s for s in trace.telemetry if window.start_s <= s.t_s <= window.end_s]
