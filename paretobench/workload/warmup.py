"""When the warm-up is over, where a number of requests alone does not say it."""

from __future__ import annotations

from dataclasses import dataclass

from paretobench.core.values import Trial

_CAP = 4  # times the least number of requests, and as many as are measured, on top of it


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmUpRule:
    """The window begins with a request that arrives after `e2e` times the mean E2E latency.

    The mean is of those delivered so far: an average is not in its steady state before the slowest
    part of it was seen a few times. An overloaded system's latency grows with the time that passed,
    and it would warm up for ever: with request `last` the window begins whatever the latency.
    """

    first: int  # ids of the first and the last request that the window may begin with
    last: int
    e2e: float

    def is_over(self, request_id: int, arrival_s: float, mean_e2e_s: float | None) -> bool:
        """Return whether the window may begin with this request.

        >>> rule = WarmUpRule(first=200, last=1500, e2e=5.0)
        >>> rule.is_over(200, 4.9, mean_e2e_s=1.0), rule.is_over(201, 5.0, mean_e2e_s=1.0)
        (False, True)
        >>> rule.is_over(1499, 60.0, mean_e2e_s=None), rule.is_over(1500, 60.0, mean_e2e_s=None)
        (False, True)
        """
        if request_id < self.first:
            return False
        long_enough = mean_e2e_s is not None and arrival_s >= self.e2e * mean_e2e_s
        return long_enough or request_id >= self.last


def warmup_rule(trial: Trial) -> WarmUpRule | None:
    """Return the trial's rule, None where the number of requests alone decides.

    So it does where each class has an engine of its own: none sees the latencies of the others, and
    all must share one window.
    """
    if not trial.warmup_e2e or trial.batching.arrangement == "separate":
        return None
    more = _CAP * trial.num_warmup + trial.num_requests
    return WarmUpRule(first=trial.num_warmup, last=trial.num_warmup + more, e2e=trial.warmup_e2e)
