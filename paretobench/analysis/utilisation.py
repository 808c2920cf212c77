"""How much of what the device can do a window's steps needed, and what there is most of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from paretobench.analysis.conditions import Conditions
from paretobench.analysis.counts import DTYPE_BYTES, ModelCounts, recorded_work_columns
from paretobench.analysis.limits import rates_of
from paretobench.analysis.window import share_inside
from paretobench.core.ceilings import Ceilings
from paretobench.core.columns import StepColumns
from paretobench.core.values import Trace, Window

Bound = Literal["weights", "kv", "arithmetic", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Utilisation:
    """Shares of a window: what reading weights, moving keys and values, and computing take at
    least, and how long no step ran.

    >>> Utilisation(weights=0.3, kv=0.2, arithmetic=0.4, idle=0.1).binds
    'weights'
    >>> Utilisation(weights=0.1, kv=0.02, arithmetic=0.01, idle=0.8).binds
    'waiting'
    """

    weights: float
    kv: float
    arithmetic: float
    idle: float

    @property
    def mfu(self) -> float:
        """Counted FLOPs a second over the measured rates."""
        return self.arithmetic

    @property
    def mbu(self) -> float:
        """Counted bytes a second over the measured read bandwidth."""
        return self.weights + self.kv

    @property
    def binds(self) -> Bound:
        """What would have to become less for more throughput: the device waited longer than
        reading or computing took; or the longer of these two, of reading the longer part."""
        if self.idle > max(self.mfu, self.mbu):
            return "waiting"
        if self.mfu > self.mbu:
            return "arithmetic"
        return "kv" if self.kv > self.weights else "weights"


def utilisation(
    trace: Trace, busy_fraction: float | None, conditions: Conditions
) -> Utilisation | None:
    """Return what the steps in a trace's window needed of the device.

    None where the model's counts, the device's rates or the window are not known. A step that
    straddles an edge of the window counts by the share of it that lies inside.
    """
    counts, ceilings, window = conditions.counts, conditions.ceilings, trace.window
    if counts is None or ceilings is None or window is None or window.duration_s <= 0:
        return None
    return _of_steps(
        StepColumns.of(trace.steps), window, 1.0 - (busy_fraction or 0.0), counts, ceilings
    )


def _of_steps(
    steps: StepColumns,
    window: Window,
    idle: float,
    counts: ModelCounts,
    ceilings: Ceilings,
) -> Utilisation | None:
    rates = rates_of(counts, ceilings)
    if rates is None:
        return None
    computed = steps.where(steps.decode_rows + steps.prompt_tokens > 0)
    work = recorded_work_columns(computed)
    heads = np.where(work[:, 3] > 0, computed.num_steps, 0)  # steps that read the output head
    work = np.column_stack((computed.num_steps, heads, work))
    num_steps, with_head, tokens, attended, kv_tokens, wanted = (
        share_inside(computed, window) @ work
    )
    row_bytes = counts.hidden_size * DTYPE_BYTES[counts.dtype]
    weight_bytes = num_steps * counts.layer_bytes + with_head * counts.head_bytes
    weight_bytes += tokens * row_bytes
    linear = 2.0 * (tokens * counts.linear_weights + wanted * counts.head_weights)
    attention = attended * counts.attention_flops_per_position
    reading_s = rates.read_bytes_per_s * window.duration_s
    return Utilisation(
        weights=float(weight_bytes / reading_s),
        kv=float(kv_tokens * counts.kv_bytes_per_token / reading_s),
        arithmetic=float(
            (linear / rates.linear_flop_per_s + attention / rates.attention_flop_per_s)
            / window.duration_s
        ),
        idle=max(0.0, idle),
    )
