"""Where requests come from while the loop runs: a drawn schedule, or clients that answer back."""

from __future__ import annotations

import heapq
import itertools
import math
from typing import Protocol

from paretobench.core.values import Request, Window
from paretobench.workload.schedule import ClosedSchedule, OpenSchedule


class RequestSource(Protocol):
    """Hands out requests as their time comes and knows which of them are measured."""

    def due(self, now_s: float) -> list[Request]:
        """Return the requests whose arrival time has come since the last call, by arrival."""

    def next_arrival_s(self) -> float | None:
        """Return when the next request arrives; None if that depends on those in the system."""

    def on_finished(self, finished_s: float) -> None:
        """Take note that one request was delivered, or turned away, at `finished_s`."""

    def more_will_come(self) -> bool:
        """Return whether any request can still arrive, now or after others finish."""

    def is_measured(self, request_id: int) -> bool:
        """Return whether the request belongs to the measured ones."""

    def window(self) -> Window | None:
        """Return the measuring window once it has closed, else None.

        It runs from the arrival of the first measured request to that of the first after them.
        """


class OpenLoopSource:
    """Requests come when the schedule says, whatever the system does."""

    def __init__(self, schedule: OpenSchedule) -> None:
        self._requests = schedule.requests
        self._next = 0
        self._measured = range(schedule.num_warmup, schedule.num_warmup + schedule.num_measured)
        self._window = schedule.window
        self._seen_s = -math.inf  # up to when arrivals were handed out

    def due(self, now_s: float) -> list[Request]:
        """Return the requests whose arrival time has come since the last call, by arrival."""
        self._seen_s = now_s
        start = self._next
        while self._next < len(self._requests) and self._requests[self._next].arrival_s <= now_s:
            self._next += 1
        return list(self._requests[start : self._next])

    def next_arrival_s(self) -> float | None:
        """Return when the next request arrives, after the last the window's end if still to come,
        then None."""
        if self.more_will_come():
            return self._requests[self._next].arrival_s
        # one class's requests may end before the window of all classes does
        return None if self.window() is not None else self._window.end_s

    def on_finished(self, finished_s: float) -> None:
        """Do nothing: arrivals do not wait for answers."""

    def more_will_come(self) -> bool:
        """Return whether the schedule holds further requests."""
        return self._next < len(self._requests)

    def is_measured(self, request_id: int) -> bool:
        """Return whether the request belongs to the measured ones."""
        return request_id in self._measured

    def window(self) -> Window | None:
        """Return the measuring window once the first request after it has arrived."""
        return self._window if self._seen_s >= self._window.end_s else None


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
        self._start_s: float | None = None
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

    def on_finished(self, finished_s: float) -> None:
        """Let one client ask again after its think time."""
        heapq.heappush(self._arrivals_s, finished_s + self._schedule.load.think_time_s)

    def more_will_come(self) -> bool:
        """Return True: a client always asks again."""
        return True

    def is_measured(self, request_id: int) -> bool:
        """Return whether the request belongs to the measured ones."""
        started = request_id >= self._schedule.num_warmup
        return started and (self._end is None or request_id < self._end)

    def window(self) -> Window | None:
        """Return the measuring window once the first request after it has arrived."""
        if self._end is None or self._start_s is None:
            return None
        return Window(start_s=self._start_s, end_s=self._end_s)

    def _issue(self, arrival_s: float) -> Request:
        request_id = next(self._ids)
        class_name, prompt_tokens, output_tokens = next(self._schedule.shapes)
        if self._start_s is None:
            if request_id == self._schedule.num_warmup:
                self._start_s = arrival_s
        elif self._end is None:
            enough = request_id >= self._schedule.num_warmup + self._schedule.num_measured
            if enough and arrival_s - self._start_s >= self._schedule.min_duration_s:
                self._end, self._end_s = request_id, arrival_s
        return Request(
            request_id=request_id,
            class_name=class_name,
            arrival_s=arrival_s,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
        )


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
