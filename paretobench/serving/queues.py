"""Who waits: a queue a lane, each in order of arrival."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import islice

from paretobench.core.values import Request
from paretobench.runners.base import Capacity
from paretobench.serving.policies import Group
from paretobench.serving.recorder import InFlight


class Queues:
    """The waiting requests. With `keeps_kv` those that gave up a slot still hold their cache."""

    def __init__(self, *, keeps_kv: bool = False) -> None:
        self.lanes: dict[str, deque[Request]] = {}
        self._keeps_kv = keeps_kv
        self._waiting: dict[int, InFlight] = {}

    @property
    def num_waiting(self) -> int:
        """How many wait, in all lanes."""
        return len(self._waiting)

    def waiting(self) -> Iterable[InFlight]:
        """Return all that wait."""
        return self._waiting.values()

    def append(self, lane: str, in_flight: InFlight) -> None:
        """Let a request that has just arrived wait."""
        request = in_flight.request
        self._waiting[request.request_id] = in_flight
        queue = self.lanes.get(lane)
        if queue is None:
            queue = self.lanes[lane] = deque()
        queue.append(request)

    def put_back(self, lane: str, in_flight: InFlight) -> None:
        """Let a request wait again that gave up its slot, where its arrival puts it."""
        request = in_flight.request
        self._waiting[request.request_id] = in_flight
        queue = self.lanes[lane]
        key = (request.arrival_s, request.request_id)
        place = next(
            (i for i, r in enumerate(queue) if (r.arrival_s, r.request_id) > key), len(queue)
        )
        queue.insert(place, request)

    def take(self, groups: Sequence[Group], capacity: Capacity, now_s: float) -> list[InFlight]:
        """Return those of the groups, in their order, that there is memory for.

        The others of them wait for memory, and are marked so. Nobody overtakes.
        """
        join: list[InFlight] = []
        free_kv_tokens = capacity.free_kv_tokens
        blocked = False
        for group in groups:
            queue = self.lanes[group.lane]
            taken = 0
            while taken < group.num_requests and len(join) < capacity.free_slots and not blocked:
                in_flight = self._waiting[queue[0].request_id]
                if free_kv_tokens is not None:
                    free_kv_tokens -= self._needed_tokens(in_flight)
                    if free_kv_tokens < 0:
                        blocked = True
                        break
                del self._waiting[queue.popleft().request_id]
                join.append(in_flight)
                taken += 1
            for request in islice(queue, group.num_requests - taken):
                in_flight = self._waiting[request.request_id]
                if in_flight.kv_blocked_s is None:
                    in_flight.kv_blocked_s = now_s
        return join

    def _needed_tokens(self, in_flight: InFlight) -> int:
        if self._keeps_kv and in_flight.num_preemptions:
            return 0  # it was never given back
        request = in_flight.request
        return request.prompt_tokens + request.output_tokens
