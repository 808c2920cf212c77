"""Static batching: fill a batch, run it to the end of its longest request, deliver it whole."""

from __future__ import annotations

from paretobench.core.values import BatchingConfig
from paretobench.serving.policies.base import Admit, Continue, Decision, Hold, ServingState


class StaticPolicy:
    """A batch closes when `max_batch_size` requests wait, or when the oldest has waited
    `max_waiting_time_s`; requests that aged while the runner was busy go at once."""

    delivers_at_batch_end = True

    def __init__(self, config: BatchingConfig) -> None:
        self._max_batch_size = config.max_batch_size
        self._max_waiting_time_s = config.max_waiting_time_s
        self._continue = Continue()

    def decide(self, state: ServingState) -> Decision:
        """Return Continue while a batch runs, else Admit a closed batch or Hold an open one."""
        if state.num_running:
            return self._continue
        waiting = len(state.queue)
        if waiting >= self._max_batch_size:
            return Admit(num_requests=self._max_batch_size, reason="full")
        if not waiting:
            return Hold(until_s=None)
        # as a sum, not a difference: the moment that Hold names must satisfy the test
        deadline_s = state.queue[0].arrival_s + self._max_waiting_time_s
        if state.now_s >= deadline_s:
            return Admit(num_requests=waiting, reason="timeout")
        if not state.more_will_come:
            return Admit(num_requests=waiting, reason="drain")
        return Hold(until_s=deadline_s)
