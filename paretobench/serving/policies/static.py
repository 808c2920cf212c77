"""Static batching: fill a batch, run it to the end of its longest request, deliver it whole."""

from __future__ import annotations

from paretobench.core.values import BatchingConfig
from paretobench.serving.policies.base import (
    Admit,
    Continue,
    Decision,
    Group,
    Hold,
    OneQueue,
    ServingState,
)
from paretobench.serving.policies.groups import GroupLimits, Open


class StaticPolicy(OneQueue):
    """A batch closes when `max_batch_size` requests wait, or when the oldest has waited
    `max_waiting_time_s`; requests that aged while the runner was busy go at once."""

    delivers_at_batch_end = True

    def __init__(self, config: BatchingConfig, *, one_class: bool = False) -> None:
        self._max_batch_size = config.max_batch_size
        self._limits = GroupLimits(
            max_waiting_time_s=config.max_waiting_time_s, one_class=one_class
        )
        self._continue = Continue(until_arrival=False)

    def decide(self, state: ServingState) -> Decision:
        """Return Continue while a batch runs, else Admit a closed batch or Hold an open one."""
        if state.num_running:
            return self._continue
        group = self._limits.judge(
            state.queue,
            room=self._max_batch_size,
            now_s=state.now_s,
            more_will_come=state.more_will_come,
        )
        if isinstance(group, Open):
            return Hold(until_s=group.until_s)
        return Admit(groups=(Group(num_requests=group.num_requests, reason=group.reason),))
