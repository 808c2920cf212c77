"""What the benchmark itself costs the system that it measures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from paretobench.analysis.conditions import Conditions
from paretobench.core.columns import StepColumns
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
    if not conditions.loop_cost_s:
        return None
    columns = StepColumns.of(steps)
    inside = (window.start_s < columns.end_s) & (columns.end_s <= window.end_s)
    num_steps = columns.num_steps[inside]
    if not num_steps.size:
        return None
    mean_batch_size = np.average(columns.batch_size[inside], weights=num_steps)
    each_s = columns.duration_s[inside] / num_steps
    median_s = float(np.median(np.repeat(each_s, num_steps)))
    cost_s = conditions.loop_cost_at(float(mean_batch_size))
    return None if cost_s is None or median_s <= 0 else cost_s / median_s
