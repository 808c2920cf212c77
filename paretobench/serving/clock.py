"""Time: the wall's for a measurement, a number that we set for a simulation."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Seconds since the trial began."""

    def now(self) -> float:
        """Return seconds since the clock started."""

    def sleep(self, duration_s: float) -> None:
        """Let `duration_s` pass."""


class WallClock:
    """The host's monotonic clock; `started_monotonic_s` is its zero."""

    def __init__(self) -> None:
        self.started_monotonic_s = time.monotonic()

    def restart(self, *, at_s: float | None = None) -> None:
        """Make this moment the clock's zero, or `at_s` of the host's monotonic clock, once it has
        come: processes that are given one moment have one clock."""
        if at_s is not None:
            self.sleep(at_s - time.monotonic())
        self.started_monotonic_s = time.monotonic() if at_s is None else at_s

    def now(self) -> float:
        """Return seconds since this clock was made or restarted."""
        return time.monotonic() - self.started_monotonic_s

    def sleep(self, duration_s: float) -> None:
        """Sleep; returns at once for a duration of 0 or less."""
        if duration_s > 0:
            time.sleep(duration_s)


class VirtualClock:
    """Time that passes only by `sleep`.

    >>> clock = VirtualClock()
    >>> clock.sleep(0.5); clock.now()
    0.5
    """

    def __init__(self) -> None:
        self._now_s = 0.0

    def now(self) -> float:
        """Return the virtual time in seconds."""
        return self._now_s

    def sleep(self, duration_s: float) -> None:
        """Advance by `duration_s`; a duration below 0 passes no time."""
        if duration_s > 0:
            self._now_s += duration_s

    def sleep_until(self, time_s: float) -> None:
        """Advance to `time_s` exactly, which must not lie before now."""
        assert time_s >= self._now_s
        self._now_s = time_s
