"""Where requests come from while the loop runs: a drawn schedule, or clients that answer back."""

from __future__ import annotations

import heapq
import itertools
import math
from typing import Protocol

from paretobench.core.values import Request, Window
from paretobench.workload.schedule import ClosedSchedule, OpenSchedule
from paretobench.workload.warmup import WarmUpRule


class RequestSource(Protocol):
    """Hands out requests as their time comes and knows which of them are measured."""

    def due(self, now_s: float) -> list[Request]:
        """Return the requests whose arrival time has come since the last call, by arrival."""

    def next_arrival_s(self) -> float | None:
        """Return when the next request arrives; None if that depends on those in the system."""

    def on_finished(self, finished_s: float, arrival_s: float | None) -> None:
        """Take note that the request that came at `arrival_s` was delivered, or (None) that one was
        turned away, at `finished_s`."""

    def more_will_come(self) -> bool:
        """Return whether any request can still arrive, now or after others finish."""

    def is_measured(self, request_id: int) -> bool:
        """Return whether the request belongs to the measured ones."""

    def window(self) -> Window | None:
        """Return the measuring window once it has closed, else None.

        It runs from the arrival of the first measured request to that of the first after them.
        """


class _Delivered:
    """The mean E2E latency of what was delivered so far."""

    def __init__(self) -> None:
        self._count = 0
        self._sum_s = 0.0

    def add(self, finished_s: float, arrival_s: float | None) -> None:
        if arrival_s is not None:
            self._count += 1
            self._sum_s += finished_s - arrival_s

    @property
    def mean_s(self) -> float | None:
        return self._sum_s / self._count if self._count else None


class OpenLoopSource:
    """Requests come when the schedule says, whatever the system does.

    Only which of them are measured may follow from the system: where the schedule has a rule for
    the end of the warm-up.
    """

    def __init__(self, schedule: OpenSchedule) -> None:
        self._next = 0
        self._seen_s = -math.inf  # up to when arrivals were handed out
        self._delivered = _Delivered()
        self._warmup = schedule.warmup
        self._set_schedule(schedule)

    def due(self, now_s: float) -> list[Request]:
        """Return the requests whose arrival time has come since the last call, by arrival."""
        self._seen_s = now_s
        start = self._next
        while self._next < len(self._requests) and self._requests[self._next].arrival_s <= now_s:
            if self._warmup is not None:
                self._try_begin(self._warmup, self._next)
            self._next += 1
        return list(self._requests[start : self._next])

    def next_arrival_s(self) -> float | None:
        """Return when the next request arrives, after the last the window's end if still to come,
        then None."""
        if self.more_will_come():
            return self._requests[self._next].arrival_s
        # one class's requests may end before the window of all classes does
        return None if self.window() is not None else self._window.end_s

    def on_finished(self, finished_s: float, arrival_s: float | None) -> None:
        """Note the latency: arrivals do not wait for answers."""
        self._delivered.add(finished_s, arrival_s)

    def more_will_come(self) -> bool:
        """Return whether the schedule holds further requests."""
        return self._next < len(self._requests)

    def is_measured(self, request_id: int) -> bool:
        """Return whether the request belongs to the measured ones."""
        return self._warmup is None and request_id in self._measured

    def window(self) -> Window | None:
        """Return the measuring window once the first request after it has arrived."""
        if self._warmup is not None:
            return None
        return self._window if self._seen_s >= self._window.end_s else None

    def _try_begin(self, rule: WarmUpRule, request_id: int) -> None:
        """Begin the window with the request that is about to come, if the warm-up is over."""
        arrival_s = self._requests[request_id].arrival_s
        if rule.is_over(request_id, arrival_s, self._delivered.mean_s):
            self._warmup = None
            self._set_schedule(self._schedule.starting_with(request_id))

    def _set_schedule(self, schedule: OpenSchedule) -> None:
        self._schedule = schedule
        self._requests = schedule.requests
        self._measured = range(schedule.num_warmup, schedule.num_warmup + schedule.num_measured)
        self._window = schedule.window


class ClosedLoopSource:
    """Clients that each wait for their answer, think, and ask again.

    A client whose answer came at t asks again at t + think time exactly: with no think time it is
    due at once, before the next batching decision.
    """

    def __init__(self, schedule: ClosedSchedule) -> None:
        self._schedule = schedule
        load = schedule.load
        self._arrivals_s = [i * load.start_interval_s for i in range(load.concurrency)]
        heapq.heapify(self._arrivals_s)
        self._ids = itertools.count()
        self._delivered = _Delivered()
        self._start: int | None = None  # the first measured request id
        self._start_s = 0.0
        self._end: int | None = None  # the first request id after the measured ones
        self._end_s = 0.0

    def due(self, now_s: float) -> list[Request]:
        """Return the requests whose arrival time has come since the last call, by arrival."""
        requests: list[Request] = []
        while self._arrivals_s and self._arrivals_s[0] <= now_s:
            requests.append(self._issue(heapq.heappop(self._arrivals_s)))
        return requests

    def next_arrival_s(self) -> float | None:
        """Return when the next thinking client asks, None if all clients wait for answers."""
        return self._arrivals_s[0] if self._arrivals_s else None

    def on_finished(self, finished_s: float, arrival_s: float | None) -> None:
        """Let one client ask again after its think time."""
        self._delivered.add(finished_s, arrival_s)
        heapq.heappush(self._arrivals_s, finished_s + self._schedule.load.think_time_s)

    def more_will_come(self) -> bool:
        """Return True: a client always asks again."""
        return True

    def is_measured(self, request_id: int) -> bool:
        """Return whether the request belongs to the measured ones."""
        started = self._start is not None and request_id >= self._start
        return started and (self._end is None or request_id < self._end)

    def window(self) -> Window | None:
        """Return the measuring window once the first request after it has arrived."""
        if self._end is None:
            return None
        return Window(start_s=self._start_s, end_s=self._end_s)

    def _issue(self, arrival_s: float) -> Request:
        request_id = next(self._ids)
        class_name, prompt_tokens, output_tokens = next(self._schedule.shapes)
        if self._start is None:
            if self._may_begin(request_id, arrival_s):
                self._start, self._start_s = request_id, arrival_s
        elif self._end is None:
            enough = request_id >= self._start + self._schedule.num_measured
            if enough and arrival_s - self._start_s >= self._schedule.min_duration_s:
                self._end, self._end_s = request_id, arrival_s
        return Request(
            request_id=request_id,
            class_name=class_name,
            arrival_s=arrival_s,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
        )

    def _may_begin(self, request_id: int, arrival_s: float) -> bool:
        rule = self._schedule.warmup
        if rule is None:
            return request_id >= self._schedule.num_warmup
        return rule.is_over(request_id, arrival_s, self._delivered.mean_s)


def make_source(
    schedule: OpenSchedule | ClosedSchedule, *, only: str | None = None
) -> RequestSource:
    """Return the source that plays a schedule, or the requests of one class of an open one."""
    if only is not None:
        assert isinstance(schedule, OpenSchedule), "clients do not keep to one class"
        schedule = schedule.only(only)
    if isinstance(schedule, OpenSchedule):
        return OpenLoopSource(schedule)
    return ClosedLoopSource(schedule)
