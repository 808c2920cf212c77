"""The least time of a step on a device, and how near to it a measured step came.

least time = max(bytes / read bandwidth, FLOPs / matmul rate): reading and computing overlap at
best. Bytes and FLOPs are counted (`counts.py`), the rates are measured on the same device.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from paretobench.analysis.counts import ModelCounts, StepWork, recorded_work
from paretobench.core.ceilings import Ceilings
from paretobench.core.values import Phase, StepRecord, Trace

Binding = Literal["weights", "kv", "arithmetic"]

# The rate that quantised layers may reach beside that of the model's own dtype.
MULTIPLIED_AS = {"int8": "int8", "fp8": "float8_e4m3fn"}


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLimit:
    """What a step takes at least; `memory_s` to read its bytes, `arithmetic_s` for its FLOPs.

    >>> limit = StepLimit(weight_bytes=300, kv_bytes=100, flops=50.0, memory_s=4.0,
    ...                   arithmetic_s=1.0)
    >>> limit.least_s, limit.binds
    (4.0, 'weights')
    >>> limit.mfu(8.0), limit.mbu(8.0), limit.share_of_limit(8.0)
    (0.125, 0.5, 0.5)
    """

    weight_bytes: int
    kv_bytes: int
    flops: float
    memory_s: float
    arithmetic_s: float

    @property
    def least_s(self) -> float:
        """Seconds that the step takes at least."""
        return max(self.memory_s, self.arithmetic_s)

    @property
    def binds(self) -> Binding:
        """What the least time is spent on."""
        if self.arithmetic_s > self.memory_s:
            return "arithmetic"
        return "kv" if self.kv_bytes > self.weight_bytes else "weights"

    def mfu(self, duration_s: float) -> float:
        """Return counted FLOPs a second over the measured matmul rate, for a measured duration."""
        return self.arithmetic_s / duration_s

    def mbu(self, duration_s: float) -> float:
        """Return counted bytes a second over the measured read bandwidth."""
        return self.memory_s / duration_s

    def share_of_limit(self, duration_s: float) -> float:
        """Return the least time over the measured one. Over 1, something is counted wrong."""
        return self.least_s / duration_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """The ceilings that hold for one model: of reading, of its linear layers, of attention."""

    read_bytes_per_s: float
    linear_flop_per_s: float
    attention_flop_per_s: float


def rates_of(counts: ModelCounts, ceilings: Ceilings) -> Rates | None:
    """Return the rates that a model is held to; None where the device's were not measured.

    Quantised linear layers are held to the faster of their own rate and the model's dtype's.
    """
    bandwidth, rate = ceilings.read_bytes_per_s, ceilings.flop_per_s(counts.dtype)
    if bandwidth is None or rate is None:
        return None
    linear_rate = rate
    if counts.quantization is not None:
        linear_rate = max(rate, ceilings.flop_per_s(MULTIPLIED_AS[counts.quantization]) or 0.0)
    return Rates(
        read_bytes_per_s=bandwidth, linear_flop_per_s=linear_rate, attention_flop_per_s=rate
    )


def step_limit(counts: ModelCounts, ceilings: Ceilings, work: StepWork) -> StepLimit | None:
    """Return the least time of a step; None where the device's rates were not measured."""
    rates = rates_of(counts, ceilings)
    if rates is None:
        return None
    weight_bytes, kv_bytes = counts.step_weight_bytes(work), counts.step_kv_bytes(work)
    linear, attention = counts.linear_flops(work), counts.attention_flops(work)
    return StepLimit(
        weight_bytes=weight_bytes,
        kv_bytes=kv_bytes,
        flops=linear + attention,
        memory_s=(weight_bytes + kv_bytes) / rates.read_bytes_per_s,
        arithmetic_s=linear / rates.linear_flop_per_s + attention / rates.attention_flop_per_s,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepShare:
    """A measured step against its limit; the shares are of 1."""

    phase: Phase
    duration_s: float
    least_s: float
    share_of_limit: float
    mfu: float
    mbu: float
    binds: Binding


def step_shares(
    steps: Sequence[StepRecord], counts: ModelCounts, ceilings: Ceilings
) -> tuple[StepShare, ...]:
    """Return each step against its limit; none where the device's rates were not measured.

    Where the device is a step ahead of the host, no step ends in a batch's first call: the step
    that ends in the next one has run since that call began, so the time of both is its own.
    """
    found = []
    queued_s: dict[str | None, float] = {}  # by engine: calls just before, in which no step ended
    for step in steps:
        duration_s = queued_s.pop(step.engine, 0.0) + step.duration_s
        if not step.decode_rows + step.prompt_tokens:
            queued_s[step.engine] = duration_s
            continue
        limit = step_limit(counts, ceilings, recorded_work(step))
        if limit is None:
            return ()
        if duration_s > 0:
            found.append(
                StepShare(
                    phase=step.phase,
                    duration_s=duration_s,
                    least_s=limit.least_s,
                    share_of_limit=limit.share_of_limit(duration_s),
                    mfu=limit.mfu(duration_s),
                    mbu=limit.mbu(duration_s),
                    binds=limit.binds,
                )
            )
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class MedianShares:
    """Medians over several steps; `binds` is what most of them are bound by."""

    num_steps: int
    duration_s: float
    least_s: float
    share_of_limit: float
    mfu: float
    mbu: float
    binds: Binding


def median_shares(shares: Sequence[StepShare]) -> MedianShares | None:
    """Return the medians of these steps, None where there is no step."""
    if not shares:
        return None
    return MedianShares(
        num_steps=len(shares),
        duration_s=statistics.median(s.duration_s for s in shares),
        least_s=statistics.median(s.least_s for s in shares),
        share_of_limit=statistics.median(s.share_of_limit for s in shares),
        mfu=statistics.median(s.mfu for s in shares),
        mbu=statistics.median(s.mbu for s in shares),
        binds=Counter(s.binds for s in shares).most_common(1)[0][0],
    )


def trial_shares(
    trace: Trace, counts: ModelCounts, ceilings: Ceilings
) -> tuple[MedianShares | None, MedianShares | None]:
    """Return the medians of a trial's decode steps, and of its steps that computed prompts.

    Steps that ended in the measuring window count; None where there is none.
    """
    window = trace.window
    if window is None:
        return None, None
    steps = [s for s in trace.steps if window.start_s < s.start_s + s.duration_s <= window.end_s]
    shares = step_shares(steps, counts, ceilings)
    decode = [share for share in shares if share.phase == "decode"]
    prefill = [share for share in shares if share.phase != "decode"]
    return median_shares(decode), median_shares(prefill)
