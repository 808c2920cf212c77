"""Priority classes on one engine: a queue a class, the higher first, and nobody starves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from paretobench.core.values import BatchingConfig, CloseReason, LimitChange, Request
from paretobench.serving.policies.base import (
    Admit,
    Continue,
    Decision,
    Group,
    Hold,
    ServingState,
    Slotted,
)
from paretobench.serving.policies.groups import Due, GroupLimits
from paretobench.serving.policies.ranks import Ranks


@dataclass(slots=True)
class _Draft:
    """Who joins, as it is put together: counts by lane in the order that lanes came up."""

    reasons: dict[str, CloseReason]
    joining: Counter[str] = field(default_factory=Counter)
    preempt: list[int] = field(default_factory=list)

    def decision(self) -> Admit:
        groups = (
            Group(lane=lane, num_requests=count, reason=self.reasons[lane])
            for lane, count in self.joining.items()
        )
        return Admit(groups=tuple(groups), preempt=tuple(self.preempt))


class PriorityPolicy:
    """Of the classes whose group may go, the one of highest rank goes first; of equal ranks, the
    one whose oldest request came first.

    A request's rank is its class's, one class higher for every `aging_s` that it has waited, and
    stays as it was once it joined. At most the config's `max_batch_size` run, and of each class at
    most its own. Unless classes are mixed, a batch is of one class. Under continuous batching a
    request that finds no slot takes that of a lower rank, the last to join first.
    """

    limit_changes: Sequence[LimitChange] = ()

    def __init__(self, config: BatchingConfig) -> None:
        self._max_batch_size = config.max_batch_size
        self._classes = {c.name: c for c in config.classes}
        self._limits = {
            c.name: GroupLimits(max_waiting_time_s=c.max_waiting_time_s) for c in config.classes
        }
        self._ranks = Ranks({c.name: c.priority for c in config.classes}, config.aging_s)
        self._mixes = config.mix_classes
        self._preempts = config.preemption is not None
        self.delivers_at_batch_end = config.policy == "static"

    def lane_of(self, request: Request) -> str:
        """Return the class."""
        return request.class_name

    def observe(self, delivered: Sequence[Slotted], now_s: float, queue_depth: int) -> None:
        """Learn nothing: the limits do not move."""

    def decide(self, state: ServingState) -> Decision:
        """Return who joins and who gives up a slot, else go on with those that run, or Hold."""
        if state.num_running and self.delivers_at_batch_end:
            return Continue(until_arrival=False)
        reasons, deadlines_s = self._judge(state)
        draft = _Draft(reasons)
        if reasons:
            fill = self._fill_mixed if self._mixes else self._fill_alike
            fill(state, draft)
        if draft.joining:
            return draft.decision()
        until_s = min(deadlines_s, default=None)
        if not state.num_running:
            return Hold(until_s=until_s)
        risings_s = (self._ranks.next_rise_s(q[0], state.now_s) for q in state.queues.values() if q)
        times_s = [*deadlines_s, *(t for t in risings_s if t is not None)]
        return Continue(until_s=min(times_s, default=None))

    def _judge(self, state: ServingState) -> tuple[dict[str, CloseReason], list[float]]:
        """Return the lanes whose group may go and why, and when each of the others closes."""
        reasons: dict[str, CloseReason] = {}
        deadlines_s: list[float] = []
        for lane, queue in state.queues.items():
            group = self._limits[lane].judge(
                queue,
                room=min(self._classes[lane].max_batch_size, self._max_batch_size),
                now_s=state.now_s,
                more_will_come=state.more_will_come,
            )
            if isinstance(group, Due):
                reasons[lane] = group.reason
            elif group.until_s is not None:
                deadlines_s.append(group.until_s)
        return reasons, deadlines_s

    def _by_rank(self, state: ServingState, draft: _Draft) -> Iterator[tuple[str, Request, int]]:
        """Yield `(lane, request, rank)` of those that may go, the next one first each time.

        A lane ends where its head does not join.
        """
        taken = draft.joining
        open_lanes = list(draft.reasons)
        while open_lanes:
            heads = [(lane, state.queues[lane][taken[lane]]) for lane in open_lanes]
            ranked = [(lane, r, self._ranks.of_waiting(r, state.now_s)) for lane, r in heads]
            best = min(ranked, key=lambda c: (-c[2], c[1].arrival_s, c[1].request_id))
            before = taken[best[0]]
            yield best
            if taken[best[0]] == before or taken[best[0]] == len(state.queues[best[0]]):
                open_lanes.remove(best[0])

    def _fill_mixed(self, state: ServingState, draft: _Draft) -> None:
        """Let requests join in order of rank while there is a place, or one of lower rank to take.

        Nobody joins past one of higher rank that found no place, except where its class is full.
        """
        by_class = Counter(s.request.class_name for s in state.running.values())
        free = self._free_slots(state)
        victims = self._victims(state)
        for lane, _, rank in self._by_rank(state, draft):
            if by_class[lane] + draft.joining[lane] >= self._classes[lane].max_batch_size:
                continue
            if free <= 0:
                if not victims or victims[-1][0] >= rank:
                    return
                _, victim, victim_lane = victims.pop()
                draft.preempt.append(victim)
                by_class[victim_lane] -= 1
                free += 1
            draft.joining[lane] += 1
            free -= 1

    def _fill_alike(self, state: ServingState, draft: _Draft) -> None:
        """Let requests of one class join: of the class that runs, or of one that outranks it."""
        lane, _, rank = next(self._by_rank(state, draft))
        limit = min(self._classes[lane].max_batch_size, self._max_batch_size)
        running = next((s.request.class_name for s in state.running.values()), lane)
        free = min(self._free_slots(state), limit - state.num_running)
        if running != lane:
            victims = self._victims(state)
            if not victims or len(victims) < len(state.running) or victims[0][0] >= rank:
                return
            draft.preempt += [victim for _, victim, _ in reversed(victims)]
            free = min(limit, state.capacity.free_slots + len(victims))
        free = min(free, len(state.queues[lane]))
        if free > 0:
            draft.joining[lane] = free

    def _free_slots(self, state: ServingState) -> int:
        return min(self._max_batch_size - state.num_running, state.capacity.free_slots)

    def _victims(self, state: ServingState) -> list[tuple[int, int, str]]:
        """Return `(rank, request id, class)` of those that may be preempted, the first to go last:
        the lowest rank, and of one rank the last to join."""
        if not self._preempts:
            return []
        ranked = [
            (self._ranks.of_running(s.request, s.joined_s), request_id, s.request.class_name)
            for request_id, s in state.running.items()
        ]
        return sorted(ranked, key=lambda v: -v[0])  # stable: running is in order of joining
