"""Continuous batching: requests join and leave at any step, each is delivered when it is done."""

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


class ContinuousPolicy(OneQueue):
    """At most `max_batch_size` run. Those that wait join at the next step once they fill all free
    slots, or once the oldest of them has waited `max_waiting_time_s`.

    With `one_class`, who is of another class than those that run waits until they are done.
    """

    def __init__(self, config: BatchingConfig, *, one_class: bool = False) -> None:
        self._max_batch_size = config.max_batch_size
        self._one_class = one_class
        self._limits = GroupLimits(
            max_waiting_time_s=config.max_waiting_time_s, one_class=one_class
        )
        self._full = Continue(until_arrival=False)
        self._idle = Hold(until_s=None)

    def decide(self, state: ServingState) -> Decision:
        """Return Admit for a closed group, else go on with those that run, or Hold."""
        queue = state.queue
        room = min(self._max_batch_size - state.num_running, state.capacity.free_slots)
        if room <= 0:
            return self._full
        if self._one_class and queue and state.running and self._is_of_another_class(state):
            return self._full
        group = self._limits.judge(
            queue, room=room, now_s=state.now_s, more_will_come=state.more_will_come
        )
        if not isinstance(group, Open):
            return Admit(groups=(Group(num_requests=group.num_requests, reason=group.reason),))
        if state.num_running:
            return Continue(until_s=group.until_s)
        return Hold(until_s=group.until_s)

    def _is_of_another_class(self, state: ServingState) -> bool:
        running = next(iter(state.running.values())).request
        return state.queue[0].class_name != running.class_name
