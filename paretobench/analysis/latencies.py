"""The latencies of one request, each formula in one place.

`a` scheduled arrival, `d` admission, `f` first token on the host, `e` delivery, `n` output tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paretobench.core.values import RequestRecord


def queue_time_s(record: RequestRecord) -> float:
    """Return d − a in seconds; inf where the request was never admitted."""
    return inf_if_none(record.admitted_s) - record.arrival_s


def time_to_first_token_s(record: RequestRecord) -> float:
    """Return f − a in seconds; inf where there was no first token."""
    return inf_if_none(record.first_token_s) - record.arrival_s


def e2e_latency_s(record: RequestRecord) -> float:
    """Return e − a in seconds; inf where nothing was delivered."""
    return inf_if_none(record.finished_s) - record.arrival_s


def time_per_output_token_s(record: RequestRecord) -> float | None:
    """Return (e − f)/(n − 1) in seconds; None for n = 1, inf where nothing was delivered."""
    if record.output_tokens == 1:
        return None
    if record.finished_s is None or record.first_token_s is None:
        return float("inf")
    return (record.finished_s - record.first_token_s) / (record.output_tokens - 1)


def wait_s(record: RequestRecord) -> float:
    """Return the seconds without a slot, before admission and after; inf if never admitted."""
    return queue_time_s(record) + record.preempted_s


def inter_token_latencies_s(records: Sequence[RequestRecord]) -> NDArray[np.float64]:
    """Return every gap between two tokens of one request, pooled over requests, in seconds."""
    gaps = [np.diff(r.token_times_s) for r in records if len(r.token_times_s) > 1]
    return np.concatenate(gaps) if gaps else np.empty(0)


def inf_if_none(value: float | None) -> float:
    """Return the value, inf for what never was."""
    return float("inf") if value is None else value
