"""Whether steps that compute the same took the same time throughout a window."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.judgement import Judgement
from paretobench.core.columns import RequestColumns, StepColumns
from paretobench.core.points import Settings
from paretobench.core.units import to_ms
from paretobench.core.values import Window

_LEAST_STEPS = 40
_BLOCKS = 20
_TREND = 0.8  # rank correlation of the blocks' pace with time: that of one jump is 0.87
_DRIFT = 0.10  # of the pace, between the first quarter of the window and the last
_STALL_TIMES = 10.0  # what its work explains: then a step stalled
_STALL_S = 0.25  # what the operating system takes now and then is shorter
_STALL_SHIFT = 0.05  # of the mean E2E latency that one stall adds


def unsteady_pace(
    settings: Settings,
    steps: StepColumns,
    measured: RequestColumns,
    window: Window,
) -> Judgement | None:
    """Return the verdict where one step stalled, or steps became slower or faster all along.

    Latencies alone cannot tell a stall from a busy spell; what a step computes can. Each engine's
    steps are fitted (see `expected_s`); pace is the time taken over the time explained. Loads whose
    rate varies by design are not judged: their batches grow and shrink with time.
    """
    if not settings.is_steady:
        return None
    inside = (window.start_s <= steps.start_s) & (steps.start_s < window.end_s)
    for engine in steps.engine.present():
        own = steps.where(inside & steps.engine.says(engine) & (steps.duration_s > 0))
        if len(own) < _LEAST_STEPS:
            continue
        explained_s = expected_s(own)
        found = _stalled(own, explained_s, measured) or _drifted(own, explained_s)
        if found is not None:
            return found
    return None


def expected_s(steps: StepColumns) -> NDArray[np.float64]:
    """Return the seconds of each step that its work explains, shape [steps].

    They are linear in the steps, joiners, prompt tokens, rows and cache entries that a record
    counts, fitted so that the squares of relative errors are least: one long step hardly counts.
    """
    taken_s = steps.duration_s
    counted = (steps.num_steps, steps.joined, steps.prompt_tokens, steps.decode_rows)
    work = np.stack((*counted, steps.kv_tokens), axis=1).astype(float)
    work = np.hstack([work, (work[:, 3:4] > 0) * work[:, :1]])  # steps in which anything decodes
    scale = np.maximum(work.max(axis=0), 1.0)
    fitted, *_ = np.linalg.lstsq(work / scale / taken_s[:, None], np.ones(len(steps)), rcond=None)
    explained: NDArray[np.float64] = (work / scale) @ fitted
    # no step takes less than nothing: where the fit says so, the step's own time stands
    return np.where(explained > 0, explained, taken_s)


def _stalled(
    steps: StepColumns, explained_s: NDArray[np.float64], measured: RequestColumns
) -> Judgement | None:
    taken_s = steps.duration_s
    worst = int((taken_s - explained_s).argmax())
    if taken_s[worst] <= max(_STALL_TIMES * explained_s[worst], _STALL_S):
        return None
    start_s, end_s = steps.start_s[worst], steps.end_s[worst]
    # each request that was there lost what it was there for; those behind in the queue lost more
    there = measured.where((measured.arrival_s < end_s) & (measured.finished_s > start_s))
    held = np.minimum(there.finished_s, end_s) - np.maximum(there.arrival_s, start_s)
    held_s = math.fsum(held.tolist())
    stays = np.nan_to_num(measured.finished_s, nan=0.0) - measured.arrival_s
    if held_s <= _STALL_SHIFT * (math.fsum(stays.tolist()) - held_s):
        return None
    return Judgement(
        verdict="nonstationary",
        reason=f"one step stalled for {to_ms(float(taken_s[worst])):.3g} ms where its work "
        f"explains {to_ms(float(explained_s[worst])):.2g} ms, and held up {len(held)} requests",
        remedy="measure again for longer; if it stalls each time, find what stops the process",
    )


def _drifted(steps: StepColumns, explained_s: NDArray[np.float64]) -> Judgement | None:
    ratio = np.clip(steps.duration_s / explained_s, None, _STALL_TIMES)
    pace = np.array(
        [
            np.average(ratio[block], weights=explained_s[block])
            for block in np.array_split(np.arange(len(steps)), _BLOCKS)
        ]
    )
    quarter = _BLOCKS // 4
    change = float(pace[-quarter:].mean() / pace[:quarter].mean() - 1)
    if np.ptp(pace) == 0 or abs(change) <= _DRIFT:
        return None
    import pandas as pd

    trend = float(np.corrcoef(pd.Series(pace).rank(), np.arange(_BLOCKS))[0, 1])
    if abs(trend) <= _TREND:
        return None
    return Judgement(
        verdict="nonstationary",
        reason=f"steps that compute the same took {abs(change):.0%} "
        f"{'more' if change > 0 else 'less'} time in the last quarter of the window than in the "
        f"first (rank correlation with time {trend:.2f})",
        remedy="warm up for longer, and watch clocks, heat and memory while it runs",
    )
