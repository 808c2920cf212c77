"""The latencies of requests, each formula in one place, as columns [requests].

`a` scheduled arrival, `d` admission, `f` first token on the host, `e` delivery, `n` output tokens.
"""

from __future__ import annotations

import numpy as np

from paretobench.core.columns import Floats, RequestColumns


def queue_time_s(requests: RequestColumns) -> Floats:
    """Return d − a in seconds; inf where a request was never admitted."""
    return inf_if_none(requests.admitted_s) - requests.arrival_s


def time_to_first_token_s(requests: RequestColumns) -> Floats:
    """Return f − a in seconds; inf where there was no first token."""
    return inf_if_none(requests.first_token_s) - requests.arrival_s


def e2e_latency_s(requests: RequestColumns) -> Floats:
    """Return e − a in seconds; inf where nothing was delivered."""
    return inf_if_none(requests.finished_s) - requests.arrival_s


def time_per_output_token_s(requests: RequestColumns) -> Floats:
    """Return (e − f)/(n − 1) in seconds; NaN for n = 1, inf where nothing was delivered."""
    taken_s = inf_if_none(requests.finished_s - requests.first_token_s)
    gaps = requests.output_tokens - 1
    each_s: Floats = np.full(len(requests), np.nan)
    np.divide(taken_s, gaps, out=each_s, where=gaps > 0)
    return each_s


def wait_s(requests: RequestColumns) -> Floats:
    """Return the seconds without a slot, before admission and after; inf if never admitted."""
    return queue_time_s(requests) + requests.preempted_s


def inf_if_none(times_s: Floats) -> Floats:
    """Return the times, inf for what never was."""
    return np.where(np.isnan(times_s), np.inf, times_s)
