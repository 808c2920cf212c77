"""Adaptive batching: static batches whose limit a controller moves. Nothing is ever held: a light
load is served at once in small batches, a heavy one fills them."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.core.values import BatchingConfig, LimitChange
from paretobench.serving.policies.base import (
    Admit,
    Continue,
    Decision,
    Group,
    Hold,
    OneQueue,
    ServingState,
    Slotted,
)
from paretobench.serving.policies.controllers import make_limit_controller
from paretobench.serving.policies.groups import GroupLimits, Open


class AdaptivePolicy(OneQueue):
    """A batch takes what waits, up to a limit between 1 and `max_batch_size`.

    Padding with invented requests is nobody's business: a batch is never larger than its queue.
    """

    delivers_at_batch_end = True

    def __init__(self, config: BatchingConfig, *, one_class: bool = False) -> None:
        assert config.controller is not None, "the adaptive policy has a controller"
        self._controller = make_limit_controller(config.controller, config.max_batch_size)
        self._limits = GroupLimits(max_waiting_time_s=0.0, one_class=one_class)
        self._continue = Continue(until_arrival=False)
        self._changes: list[LimitChange] = []

    @property
    def limit_changes(self) -> Sequence[LimitChange]:
        """How the limit moved so far, and why."""
        return self._changes

    def decide(self, state: ServingState) -> Decision:
        """Return Continue while a batch runs, else Admit what waits, up to the limit."""
        if state.num_running:
            return self._continue
        if not state.queue:
            return Hold(until_s=None)
        before = self._controller.limit
        cause = self._controller.before_batch(
            oldest_wait_s=state.now_s - state.queue[0].arrival_s, queue_depth=len(state.queue)
        )
        self._note(before, cause, state.now_s, len(state.queue))
        group = self._limits.judge(
            state.queue,
            room=self._controller.limit,
            now_s=state.now_s,
            more_will_come=state.more_will_come,
        )
        assert not isinstance(group, Open), "nothing is held"
        return Admit(groups=(Group(num_requests=group.num_requests, reason=group.reason),))

    def observe(self, delivered: Sequence[Slotted], now_s: float, queue_depth: int) -> None:
        """Let the controller learn from a batch that was delivered."""
        before = self._controller.limit
        cause = self._controller.after_batch(
            latencies_s=[now_s - d.request.arrival_s for d in delivered],
            duration_s=now_s - delivered[0].joined_s,
            queue_depth=queue_depth,
        )
        self._note(before, cause, now_s, queue_depth)

    def _note(self, before: int, cause: str, now_s: float, queue_depth: int) -> None:
        after = self._controller.limit
        if after != before:
            self._changes.append(
                LimitChange(
                    at_s=now_s, before=before, after=after, queue_depth=queue_depth, cause=cause
                )
            )
