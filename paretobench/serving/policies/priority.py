"""Priority classes on one engine: a queue a class, the higher first, and nobody starves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple

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


class _Victim(NamedTuple):
    """A running request that may give up its slot, and the memory that this frees."""

    rank: int
    request_id: int
    class_name: str
    freed_kv_tokens: int


@dataclass(slots=True)
class _Draft:
    """Who joins, as it is put together: the next of which lanes, in order."""

    reasons: dict[str, CloseReason]
    lanes: list[str] = field(default_factory=list)
    joining: Counter[str] = field(default_factory=Counter)
    preempt: list[int] = field(default_factory=list)

    def add(self, lane: str, count: int = 1) -> None:
        self.lanes += [lane] * count
        self.joining[lane] += count

    def decision(self, until_s: float | None) -> Admit:
        groups = (
            Group(lane=lane, num_requests=len(list(alike)), reason=self.reasons[lane])
            for lane, alike in groupby(self.lanes)
        )
        return Admit(groups=tuple(groups), preempt=tuple(self.preempt), until_s=until_s)


class PriorityPolicy:
    """Of the classes whose group may go, the one of highest rank goes first; of equal ranks, the
    one whose oldest request came first.

    A request's rank is its class's, one class higher for every `aging_s` that it has waited, and
    stays as it was once it joined. At most the config's `max_batch_size` run, and of each class at
    most its own. Unless classes are mixed, a batch is of one class. Under continuous batching a
    request that finds no slot takes that of a lower rank and another class, the last to join first,
    if there is memory for it then.
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
        self._preemption = config.preemption
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
        if not (draft.joining or state.num_running):
            return Hold(until_s=min(deadlines_s, default=None))
        risings_s = (self._ranks.next_rise_s(q[0], state.now_s) for q in state.queues.values() if q)
        times_s = [*deadlines_s, *(t for t in risings_s if t is not None)]
        until_s = min(times_s, default=None)
        return draft.decision(until_s) if draft.joining else Continue(until_s=until_s)

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
        free, free_kv_tokens = self._free_slots(state), state.capacity.free_kv_tokens
        victims = self._victims(state)
        for lane, request, rank in self._by_rank(state, draft):
            if by_class[lane] + draft.joining[lane] >= self._classes[lane].max_batch_size:
                continue
            needed = 0 if request.request_id in state.set_aside else _kv_tokens(request)
            if free <= 0:
                victim = next((v for v in reversed(victims) if v.class_name != lane), None)
                if victim is None or victim.rank >= rank:
                    return
                if free_kv_tokens is not None:
                    free_kv_tokens += victim.freed_kv_tokens
                    if needed > free_kv_tokens:
                        return  # nobody gives up a slot in vain
                victims.remove(victim)
                draft.preempt.append(victim.request_id)
                by_class[victim.class_name] -= 1
                free += 1
            if free_kv_tokens is not None:
                free_kv_tokens -= needed
            draft.add(lane)
            free -= 1

    def _fill_alike(self, state: ServingState, draft: _Draft) -> None:
        """Let requests of one class join: of the class that runs, or of one that outranks it."""
        lane, request, rank = next(self._by_rank(state, draft))
        limit = min(self._classes[lane].max_batch_size, self._max_batch_size)
        running = next((s.request.class_name for s in state.running.values()), lane)
        free = min(self._free_slots(state), limit - state.num_running)
        if running != lane:
            victims = self._victims(state)
            if not victims or victims[0].rank >= rank or not self._fits(request, state, victims):
                return
            draft.preempt += [victim.request_id for victim in reversed(victims)]
            free = min(limit, state.capacity.free_slots + len(victims))
        free = min(free, len(state.queues[lane]))
        if free > 0:
            draft.add(lane, free)

    def _free_slots(self, state: ServingState) -> int:
        return min(self._max_batch_size - state.num_running, state.capacity.free_slots)

    def _fits(self, request: Request, state: ServingState, victims: Sequence[_Victim]) -> bool:
        """Return whether there is memory for a request once the victims are out."""
        if state.capacity.free_kv_tokens is None or request.request_id in state.set_aside:
            return True
        freed = sum(victim.freed_kv_tokens for victim in victims)
        return _kv_tokens(request) <= state.capacity.free_kv_tokens + freed

    def _victims(self, state: ServingState) -> list[_Victim]:
        """Return those that may be preempted, the first to go last: the lowest rank, and of one
        rank the last to join."""
        if self._preemption is None:
            return []
        victims = [
            _Victim(
                rank=self._ranks.of_running(s.request, s.joined_s),
                request_id=request_id,
                class_name=s.request.class_name,
                freed_kv_tokens=0 if self._preemption == "keep_kv" else _kv_tokens(s.request),
            )
            for request_id, s in state.running.items()
        ]
        return sorted(victims, key=lambda v: -v.rank)  # stable: running is in order of joining


def _kv_tokens(request: Request) -> int:
    return request.prompt_tokens + request.output_tokens
