"""Whether a window is long enough to tell anything."""

from __future__ import annotations

import math

import numpy as np

from paretobench.analysis.judgement import Judgement
from paretobench.core.columns import RequestColumns
from paretobench.core.units import to_ms
from paretobench.core.values import Window

_LEAST_REQUESTS = 20  # of fewer, not even the median has 10 samples on either side
_TURNS = 3  # mean E2E latencies that a window should span
_LEAST_LATENCIES = 2.5  # and must: three turns of a closed loop span a little less by chance
_LEAST_GROUPS = 3  # groups that were admitted to the batch


def too_short(measured: RequestColumns, window: Window) -> Judgement | None:
    """Return the verdict where a window holds too little to tell anything.

    It does with fewer than 20 requests, where it is shorter than 2.5 mean E2E latencies (what is in
    the system at its ends then outweighs what passes through), or where fewer than 3 groups were
    admitted: its figures are those of single batches.
    """
    num = len(measured)
    if num < _LEAST_REQUESTS:
        return _verdict(f"only {num} requests were measured", _LEAST_REQUESTS)
    stays_s = measured.finished_s - measured.arrival_s
    e2e_s = math.fsum(stays_s[~np.isnan(stays_s)].tolist()) / num
    if window.duration_s < _LEAST_LATENCIES * e2e_s:
        return _verdict(
            f"the window of {to_ms(window.duration_s):.3g} ms spans only "
            f"{window.duration_s / e2e_s:.1f} mean E2E latencies",
            math.ceil(num * _TURNS * e2e_s / window.duration_s),
        )
    groups = np.unique(measured.admitted_s).size
    if groups < _LEAST_GROUPS:
        return _verdict(
            f"only {groups} batches were formed in the window",
            math.ceil(num * _LEAST_GROUPS / groups),
        )
    return None


def _verdict(reason: str, num_requests: int) -> Judgement:
    return Judgement(
        verdict="too_short",
        reason=reason,
        remedy=f"measure at least {num_requests} requests (measure.requests)",
    )
