"""What the benchmark itself costs the system that it measures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paretobench.analysis.conditions import Conditions
from paretobench.core.values import StepRecord, Window


def loop_cost_share(
    steps: Sequence[StepRecord], window: Window, conditions: Conditions
) -> float | None:
    """Return what a step of the serving loop costs over the median step time in the window.

    Both are of steps that end in the window; the loop's is taken at their mean batch size. A record
    of several steps alike counts as that many. None where the loop's cost was not measured, or
    nothing ran.

    >>> step = StepRecord(
    ...     phase="decode", start_s=0.0, duration_s=0.002, batch_size=4, joined=0, decode_rows=4,
    ...     prompt_tokens=0, new_tokens=4, kv_tokens=80, padded_tokens=0, queue_depth=0,
    ...     close_reason=None)
    >>> window = Window(start_s=0.0, end_s=1.0)
    >>> round(loop_cost_share([step], window, Conditions(loop_cost_s={1: 1e-5, 7: 3e-5})), 6)
    0.01
    """
    inside = [s for s in steps if window.start_s < s.start_s + s.duration_s <= window.end_s]
    num_steps = np.array([s.num_steps for s in inside])
    if not inside or not conditions.loop_cost_s:
        return None
    mean_batch_size = np.average([s.batch_size for s in inside], weights=num_steps)
    each_s = np.array([s.duration_s for s in inside]) / num_steps
    median_s = float(np.median(np.repeat(each_s, num_steps)))
    cost_s = conditions.loop_cost_at(float(mean_batch_size))
    return None if cost_s is None or median_s <= 0 else cost_s / median_s
