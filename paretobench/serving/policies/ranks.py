"""Who goes before whom: the class's priority, raised by waiting."""

from __future__ import annotations

from collections.abc import Mapping

from paretobench.core.values import Request


class Ranks:
    """Ranks from 0, a rank a distinct priority; `aging_s` of waiting raise a request by one.

    The highest class is as high as anybody gets. There, who came first goes first, so a request
    that waits long enough has only those before it that came earlier.
    """

    def __init__(self, priorities: Mapping[str, int], aging_s: float | None) -> None:
        order = sorted(set(priorities.values()))
        self._ranks = {name: order.index(priority) for name, priority in priorities.items()}
        self._highest = len(order) - 1
        self._aging_s = aging_s

    def of_waiting(self, request: Request, now_s: float) -> int:
        """Return the rank of a request that waits at `now_s`."""
        rank = self._ranks[request.class_name]
        if self._aging_s is None or rank == self._highest:
            return rank
        # by the very sum that next_rise_s names, so that a request has risen when that comes
        while rank < self._highest and now_s >= self._rise_s(request, rank):
            rank += 1
        return rank

    def of_running(self, request: Request, joined_s: float) -> int:
        """Return the rank that a request had when it joined; it keeps it while it runs."""
        return self.of_waiting(request, joined_s)

    def next_rise_s(self, request: Request, now_s: float) -> float | None:
        """Return when a waiting request rises next, None if never."""
        rank = self.of_waiting(request, now_s)
        if self._aging_s is None or rank == self._highest:
            return None
        return self._rise_s(request, rank)

    def _rise_s(self, request: Request, rank: int) -> float:
        """Return when a request leaves `rank` for the next, had it waited all the while."""
        assert self._aging_s is not None
        return request.arrival_s + (rank - self._ranks[request.class_name] + 1) * self._aging_s
