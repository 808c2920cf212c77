"""The thread that notes what GPU and host do, beside the trials."""

from __future__ import annotations

import logging
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from paretobench.core.values import TelemetrySample
from paretobench.telemetry.gpu import GpuProbe
from paretobench.telemetry.host import CpuUse, HostCpu

logger = logging.getLogger(__name__)

_STOP_PATIENCE_S = 5.0


class TelemetrySampler:
    """Samples every `interval_s` seconds from `start` to `stop`, in a daemon thread.

    With no probe only the CPU's fields are filled. The probe stays the caller's to close. `clock`
    gives the stamps: seconds of the host's monotonic clock, which all its processes share.
    """

    def __init__(
        self,
        probe: GpuProbe | None,
        interval_s: float = 0.2,
        *,
        clock: Callable[[], float] = time.monotonic,
        read_cpu: Callable[[], CpuUse] | None = None,
    ) -> None:
        assert interval_s > 0
        self._probe = probe
        self._interval_s = interval_s
        self._clock = clock
        self._read_host = read_cpu or HostCpu().read
        self._samples: list[TelemetrySample] = []  # t_s is the clock's, ascending
        self._sampling = threading.Lock()  # one sample at a time, so that stamps ascend
        self._reading = threading.Lock()  # guards `_samples`; never held during a query
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._has_warned = False

    def start(self) -> None:
        """Take the first sample, then begin the thread."""
        assert self._thread is None, "the sampler runs already"
        self._stopping.clear()
        self.sample_now()
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; what was sampled stays readable. Stopping twice is once."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join(_STOP_PATIENCE_S)
            if thread.is_alive():
                logger.warning("the telemetry thread waits for a query that does not return")

    def __enter__(self) -> TelemetrySampler:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def sample_now(self) -> None:
        """Append a sample stamped now; a probe that fails leaves the GPU's fields None."""
        with self._sampling:
            t_s = self._clock()
            cpu = self._read_cpu()
            sample = replace(
                self._read_gpu(t_s),
                t_s=t_s,
                cpu_util_pct=cpu.util_pct,
                cpu_steal_pct=cpu.steal_pct,
            )
            with self._reading:
                self._samples.append(sample)

    def between(
        self, start_monotonic_s: float, end_monotonic_s: float
    ) -> tuple[TelemetrySample, ...]:
        """Return the samples of an interval that has passed, `t_s` counted from its start.

        The last sample before it and the first after it come too (`t_s` < 0, and over its length),
        so that a counter can be interpolated at both ends. If a running sampler has none after the
        end yet, it takes one.
        """
        if self._thread is not None and self._newest_s() < end_monotonic_s <= self._clock():
            self.sample_now()
        with self._reading:
            first = bisect_left(self._samples, start_monotonic_s, key=_stamp)
            last = bisect_right(self._samples, end_monotonic_s, key=_stamp)
            inside = self._samples[max(0, first - 1) : last + 1]
        return tuple(replace(s, t_s=s.t_s - start_monotonic_s) for s in inside)

    def discard_before(self, monotonic_s: float) -> None:
        """Forget the samples before that time, but for the last of them, which bounds it."""
        with self._reading:
            first = bisect_left(self._samples, monotonic_s, key=_stamp)
            del self._samples[: max(0, first - 1)]

    def _run(self) -> None:
        begin_s = self._clock()
        while not self._stopping.wait(seconds_to_next(self._clock() - begin_s, self._interval_s)):
            self.sample_now()

    def _read_gpu(self, t_s: float) -> TelemetrySample:
        if self._probe is not None:
            try:
                return self._probe.read(t_s)
            except Exception:  # a trial must not lose its telemetry to one reading
                self._warn_once()
        return TelemetrySample(t_s=t_s)

    def _read_cpu(self) -> CpuUse:
        try:
            return self._read_host()
        except Exception:  # as above
            self._warn_once()
            return CpuUse()

    def _warn_once(self) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("a telemetry reading failed; sampling goes on", exc_info=True)

    def _newest_s(self) -> float:
        with self._reading:
            return self._samples[-1].t_s if self._samples else float("-inf")


def seconds_to_next(elapsed_s: float, interval_s: float) -> float:
    """Return the time to the next multiple of the interval: late samples do not shift later ones.

    >>> round(seconds_to_next(0.43, 0.2), 6)
    0.17
    >>> seconds_to_next(0.0, 0.2)
    0.2
    """
    return interval_s - elapsed_s % interval_s


def _stamp(sample: TelemetrySample) -> float:
    return sample.t_s
