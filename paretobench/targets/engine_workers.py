"""The engines of separate classes: a worker process each, on its share of the device."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from paretobench.core.errors import (
    DeviceOutOfMemoryError,
    ModelTooLargeError,
    ParetoBenchError,
    TrialError,
    WorkerDiedError,
)
from paretobench.core.values import Trace, Trial
from paretobench.targets.engines import Engine, merge_traces
from paretobench.targets.messages import (
    ClaimDevice,
    DeviceClaimed,
    Measure,
    Measured,
    Open,
    Prepared,
    Reply,
    Start,
)
from paretobench.targets.shares import device_parts
from paretobench.targets.worker_process import WorkerProcess, answered
from paretobench.telemetry.mps import mps_is_running

_LOG = logging.getLogger(__name__)
_LEAD_S = 0.2  # for the message that says when to begin
_OUTSIDE_TORCH_BYTES = 512 << 20  # an engine's kernels and libraries, loaded as they are needed
_GIB = float(1 << 30)


class EngineWorkers:
    """Holds the engines while separate trials are measured, and tells what they did as one trace.

    They are loaded by `open`, one after the other, so that none tunes its kernels beside another,
    and serve at the same time. One that dies, or refuses a trial, costs that trial; all are
    then ended, and loaded anew by the next `open`.
    """

    def __init__(
        self,
        message: Open,
        engines: tuple[Engine, ...],
        *,
        device: str | None,
        environment: Mapping[str, str],
        open_timeout_s: float,
    ) -> None:
        """Take what would open the system on the whole device, and that worker's environment.

        `device` is what the system runs on, None for a latency model. Raises ScenarioError where
        it cannot be shared by so many.
        """
        self._message = message
        self._engines = engines
        self._device = device
        self._open_timeout_s = open_timeout_s
        self._parts = device_parts(engines, device=device, environment=environment)
        self._labels = {name: part.label for name, part in self._parts.items()}
        self._on_gpu = device is not None and device != "cpu"
        self._has_mps = mps_is_running() if self._on_gpu else None
        self._workers: dict[str, WorkerProcess] = {}
        self.too_large: str | None = None  # why the device does not hold them all

    @property
    def pids(self) -> Mapping[str, int]:
        """The process ids of the engines that are loaded; any thread may ask."""
        return {name: worker.pid for name, worker in list(self._workers.items())}

    def describe(self) -> Mapping[str, Any]:
        """Return how the device is shared; `mps` is None where it is no GPU."""
        return {
            "engines": [dict(part.facts) for part in self._parts.values()],
            "mps": self._has_mps,
        }

    def open(self) -> None:
        """Load all the engines and warm them up, unless they are.

        Raises TrialError; DeviceOutOfMemoryError where the device does not hold them all.
        """
        if self._workers:
            return
        try:
            for name, part in self._parts.items():
                self._workers[name] = WorkerProcess(part.environment, cores=part.cores)
            memory_bytes = self._share_memory() if self._on_gpu else {}
            for engine in self._engines:
                self._open(engine, memory_bytes.get(engine.name))
        except BaseException as error:
            self.close()
            if isinstance(error, DeviceOutOfMemoryError):
                self.too_large = str(error)
            raise

    def measure(self, trial: Trial, *, timeout_s: float) -> Trace:
        """Return what the engines did, on one clock. Raises TrialError that names the engine."""
        try:
            return self._measure(trial, timeout_s)
        except ParetoBenchError:
            self.close()  # the others would serve on for a trial that is lost
            raise

    def close(self) -> None:
        """End all the engines. May be called twice."""
        for worker in self._workers.values():
            worker.stop()
        self._workers = {}

    def _share_memory(self) -> dict[str, int]:
        """Return the bytes for each engine of what is free once all are on the GPU, yet empty."""
        assert self._device is not None
        claim = ClaimDevice(device=self._device)
        for name, worker in self._workers.items():
            with self._naming(name):
                worker.send(claim)
        self._replies(self._open_timeout_s)
        name, worker = next(iter(self._workers.items()))
        with self._naming(name):
            claimed = worker.ask(claim, self._open_timeout_s)
        assert isinstance(claimed, DeviceClaimed)
        shares = {}
        for engine in self._engines:
            part_bytes = int(engine.device_share * claimed.free_bytes)
            shares[engine.name] = max(0, part_bytes - _OUTSIDE_TORCH_BYTES)
            self._labels[engine.name] = (
                f"{self._parts[engine.name].label}, {part_bytes / _GIB:.1f} of "
                f"{claimed.free_bytes / _GIB:.1f} GiB free"
            )
        return shares

    def _open(self, engine: Engine, memory_bytes: int | None) -> None:
        message = replace(
            self._message,
            batch_sizes=engine.batch_sizes,
            max_request_tokens=engine.max_request_tokens,
            max_prompt_tokens=engine.max_prompt_tokens,
            device_share=engine.device_share,
            memory_bytes=memory_bytes,
        )
        with self._naming(engine.name):
            self._workers[engine.name].ask(message, self._open_timeout_s)
        _LOG.info("engine of %s: ready on %s", engine.name, self._labels[engine.name])

    def _measure(self, trial: Trial, timeout_s: float) -> Trace:
        for name, worker in self._workers.items():
            with self._naming(name):
                worker.send(Measure(trial=trial, engine=name))
        replies = self._replies(timeout_s)
        prepared = [name for name, reply in replies.items() if isinstance(reply, Prepared)]
        if len(prepared) < len(replies):
            self._call_off(prepared, timeout_s)
        else:
            start = Start(at_s=time.monotonic() + _LEAD_S)
            for name, worker in self._workers.items():
                with self._naming(name):
                    worker.send(start)
            replies = self._replies(timeout_s)
        return merge_traces(
            {n: self._explained(n, r.trace) for n, r in replies.items() if isinstance(r, Measured)}
        )

    def _call_off(self, prepared: list[str], timeout_s: float) -> None:
        """Have the engines that could begin ready for another trial."""
        for name in prepared:
            worker = self._workers[name]
            with contextlib.suppress(TrialError):
                worker.ask(Start(at_s=None), timeout_s)

    def _explained(self, name: str, trace: Trace) -> Trace:
        if trace.outcome != "out_of_memory":
            return trace
        return replace(trace, reason=f"{trace.reason or 'out of memory'} (on {self._labels[name]})")

    def _replies(self, timeout_s: float) -> dict[str, Reply]:
        """Return the answer of every engine. Raises as soon as one has died or refused."""
        replies: dict[str, Reply] = {}
        deadline_s = time.monotonic() + timeout_s
        while waiting := {n: w for n, w in self._workers.items() if n not in replies}:
            names = answered(waiting, max(0.0, deadline_s - time.monotonic()))
            if not names:
                late = " and ".join(waiting)
                raise WorkerDiedError(f"engine of {late}: no answer within {timeout_s:g} s")
            for name in names:
                with self._naming(name):
                    replies[name] = self._workers[name].receive(0)
        return {name: replies[name] for name in self._workers}

    @contextlib.contextmanager
    def _naming(self, name: str) -> Iterator[None]:
        """Have errors say which engine met them, and on what; all of them end one trial."""
        where = f"engine of {name}, on {self._labels[name]}"
        try:
            yield
        except ModelTooLargeError as error:
            raise DeviceOutOfMemoryError(f"{where}: {error}") from error
        except (DeviceOutOfMemoryError, WorkerDiedError) as error:
            raise type(error)(f"{where}: {error}") from error
        except ParetoBenchError as error:
            raise TrialError(f"{where}: {error}") from error
