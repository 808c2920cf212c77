"""What was delivered a second in the measuring window, and how far that may be off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.latencies import inf_if_none
from paretobench.analysis.run_intervals import counted_in, num_bins, rate_interval
from paretobench.analysis.sla import ServiceLevels
from paretobench.core.intervals import Interval
from paretobench.core.values import RequestRecord, Window

_CHUNK = 10_000  # requests: those of a long run may have a hundred million tokens


def delivered_in(
    requests: Sequence[RequestRecord], window: Window, levels: ServiceLevels, num_measured: int
) -> dict[str, NDArray[np.float64]]:
    """Return by figure of `core.intervals.RATES` what the window held, in each of its equal parts.

    There are as many parts as measured requests, at most 1000. Goodput is left out where no request
    has a limit.
    """
    bins = max(num_bins(num_measured), 1)
    tokens = np.zeros(bins)
    for start in range(0, len(requests), _CHUNK):
        times_s = [np.asarray(r.token_times_s, float) for r in requests[start : start + _CHUNK]]
        tokens += counted_in(np.concatenate(times_s), window, bins)
    # a prompt is served when its first token is: its tokens count then
    prompts = counted_in(
        np.array([inf_if_none(record.first_token_s) for record in requests]),
        window,
        bins,
        weights=np.array([float(record.prompt_tokens) for record in requests]),
    )
    finished = [record for record in requests if record.status == "finished"]
    counted = {
        "output_tokens_per_s": tokens,
        "total_tokens_per_s": tokens + prompts,
        "requests_per_s": counted_in(_ends_s(finished), window, bins),
    }
    if levels.any_set:
        good = [record for record in finished if levels.is_met(record)]
        counted["goodput_requests_per_s"] = counted_in(_ends_s(good), window, bins)
    return counted


def _ends_s(records: Sequence[RequestRecord]) -> NDArray[np.float64]:
    return np.array([inf_if_none(record.finished_s) for record in records], dtype=float)


def rate_intervals(counted: dict[str, NDArray[np.float64]], window: Window) -> dict[str, Interval]:
    """Return the intervals of the rates whose counts `delivered_in` returned."""
    found = {name: rate_interval(of_rate, window) for name, of_rate in counted.items()}
    return {name: interval for name, interval in found.items() if interval is not None}
