"""Who waits: a queue a lane, each in order of arrival."""

from __future__ import annotations

from collections import Counter, deque
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
        self.set_aside: set[int] = set()  # who wait and hold their cache
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
        if self._keeps_kv:
            self.set_aside.add(request.request_id)

    def take(self, groups: Sequence[Group], capacity: Capacity, now_s: float) -> list[InFlight]:
        """Return those of the groups, in their order, that there is memory for.

        The others of them wait for memory, and are marked so. Nobody overtakes who takes any.
        """
        join: list[InFlight] = []
        free_kv_tokens = capacity.free_kv_tokens
        blocked = False
        left_out: Counter[str] = Counter()  # of a lane that groups before did not get through
        for group in groups:
            queue = self.lanes[group.lane]
            taken = 0
            first = left_out[group.lane]
            while not first and taken < group.num_requests and len(join) < capacity.free_slots:
                if free_kv_tokens is not None and (needed := self._needed_tokens(queue[0])):
                    blocked = blocked or needed > free_kv_tokens
                    if blocked:
                        break
                    free_kv_tokens -= needed
                join.append(self._take_first(queue))
                taken += 1
            left_out[group.lane] += group.num_requests - taken
            for request in islice(queue, first, left_out[group.lane]):
                in_flight = self._waiting[request.request_id]
                if in_flight.kv_blocked_s is None:
                    in_flight.kv_blocked_s = now_s
        return join

    def take_set_aside(self) -> list[InFlight]:
        """Return the first to come of those that hold their cache, none if nobody does.

        Where nothing runs it is they who have the memory that all others wait for.
        """
        heads = [q for q in self.lanes.values() if q and q[0].request_id in self.set_aside]
        if not heads:
            return []
        return [self._take_first(min(heads, key=lambda q: (q[0].arrival_s, q[0].request_id)))]

    def _take_first(self, queue: deque[Request]) -> InFlight:
        request_id = queue.popleft().request_id
        self.set_aside.discard(request_id)
        return self._waiting.pop(request_id)

    def _needed_tokens(self, request: Request) -> int:
        if request.request_id in self.set_aside:
            return 0  # it was never given back
        return request.prompt_tokens + request.output_tokens
