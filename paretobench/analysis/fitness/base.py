"""What a finding is, and every threshold that decides one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Fitness = Literal["ok", "note", "unfit"]

# Each threshold with its reason; nothing else decides but those of a trial's verdict (disturbance).
BUSY_GPU_PCT = 10.0  # of GPU use before we began: somebody computes there, seen or hidden
RESERVED_BYTES = 2 << 30  # a driver and its services keep less on an idle GPU
CLOCK_RESOLUTION_S = 1e-4  # tokens of small models come 1 ms apart: 10% of that
SLEEP_OVERSHOOT_S = 1e-3  # arrivals taken in 1 ms late make a trial client_limited
LOOP_COST_AT_64_US = 200.0  # 5% of 4 ms, a step of an 8 B model on a current GPU
OTHERS_SHARE = 0.10  # of the cores we need, taken by others: they shift a throughput as much
AVAILABLE_BYTES = 1 << 30  # torch and nano take about 1 GiB: with less, something is pushed out
AA_DIFFERENCE = 0.02  # an interval wholly beyond it: the machine changes with the order of runs
AA_SPREAD = 0.10  # of a pair: a change of 10% could not be told from noise in a run as long
AA_TAIL_SPREAD = 0.25  # the p95 of a run this short rests on a few requests: looser
CPU_NEEDED_BESIDE_GPU = 2  # the loop, and telemetry beside it


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at, what was found, whether it is fit, and what to do about it."""

    name: str
    found: str
    verdict: Fitness = "ok"
    advice: str = ""


def duration(seconds: float) -> str:
    """Return a short time with its unit.

    >>> duration(2.5e-4), duration(0.0021)
    ('250 µs', '2.10 ms')
    """
    if seconds < 1e-6:
        return f"{seconds * 1e9:.0f} ns"
    return f"{seconds * 1e6:.0f} µs" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"
