"""When the requests at the head of a queue may go: the two limits that every policy shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

from paretobench.core.values import CloseReason, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The first `num_requests` of the queue may go now."""

    num_requests: int
    reason: CloseReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """The group may still grow; it closes at `until_s` at the latest, None: it is empty."""

    until_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupLimits:
    """A group closes when it is full, or when its oldest has waited `max_waiting_time_s`.

    With `one_class` it holds requests of its first one's class alone; since nobody overtakes, it
    also closes when one of another class stands behind it.
    """

    max_waiting_time_s: float
    one_class: bool = False

    def judge(
        self, queue: Sequence[Request], *, room: int, now_s: float, more_will_come: bool
    ) -> Due | Open:
        """Return whether the group at the head of `queue` goes now into `room` > 0 places."""
        if not queue:
            return Open(until_s=None)
        size, is_cut = min(len(queue), room), False
        if self.one_class:
            first = queue[0].class_name
            alike = takewhile(lambda r: r.class_name == first, islice(queue, room))
            same = sum(1 for _ in alike)
            size, is_cut = same, same < size
        if size >= room:
            return Due(num_requests=size, reason="full")
        # as a sum, not a difference: the moment that Hold names must satisfy the test
        deadline_s = queue[0].arrival_s + self.max_waiting_time_s
        if now_s >= deadline_s:
            return Due(num_requests=size, reason="timeout")
        if is_cut:
            return Due(num_requests=size, reason="next_class")
        if not more_will_come:
            return Due(num_requests=size, reason="drain")
        return Open(until_s=deadline_s)
