"""What was delivered a second in the measuring window, and how far that may be off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.latencies import inf_if_none
from paretobench.analysis.run_intervals import counted_in, num_bins, rate_interval
from paretobench.analysis.sla import ServiceLevels
from paretobench.core.columns import RequestColumns
from paretobench.core.intervals import Interval
from paretobench.core.values import Window

_CHUNK = 1_000_000  # tokens: those of a long run may be a hundred million


def delivered_in(
    requests: RequestColumns, window: Window, levels: ServiceLevels, num_measured: int
) -> dict[str, NDArray[np.float64]]:
    """Return by figure of `core.intervals.RATES` what the window held, in each of its equal parts.

    There are as many parts as measured requests, at most 1000. Goodput is left out where no request
    has a limit.
    """
    bins = max(num_bins(num_measured), 1)
    tokens = np.zeros(bins)
    times_s = requests.token_times_s.flat()
    for start in range(0, times_s.size, _CHUNK):
        tokens += counted_in(times_s[start : start + _CHUNK], window, bins)
    # a prompt is served when its first token is: its tokens count then
    prompts = counted_in(
        inf_if_none(requests.first_token_s),
        window,
        bins,
        weights=requests.prompt_tokens.astype(float),
    )
    is_finished = requests.status.says("finished")
    ends_s = inf_if_none(requests.finished_s)
    counted = {
        "output_tokens_per_s": tokens,
        "total_tokens_per_s": tokens + prompts,
        "requests_per_s": counted_in(ends_s[is_finished], window, bins),
    }
    if levels.any_set:
        counted["goodput_requests_per_s"] = counted_in(ends_s[levels.met(requests)], window, bins)
    return counted


def rate_intervals(counted: dict[str, NDArray[np.float64]], window: Window) -> dict[str, Interval]:
    """Return the intervals of the rates whose counts `delivered_in` returned."""
    found = {name: rate_interval(of_rate, window) for name, of_rate in counted.items()}
    return {name: interval for name, interval in found.items() if interval is not None}
