"""The worker process: holds the model, serves trials, touches neither screen nor files.

Started as `python -m paretobench.targets.worker FD` by WorkerTarget, which sets the environment
(threads, OpenMP wait policy) before torch is imported here.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from paretobench.core.errors import ParetoBenchError, TrialError
from paretobench.core.values import Trace
from paretobench.runners.base import Runner
from paretobench.runners.latency_model import LatencyModelRunner
from paretobench.scenario.systems import LatencyModel
from paretobench.serving.clock import WallClock
from paretobench.targets.loop_cost import measure_loop_cost
from paretobench.targets.messages import (
    CeilingMeasured,
    Checked,
    CheckOptions,
    ClaimDevice,
    DeviceClaimed,
    DeviceReady,
    LoopMeasured,
    Measure,
    MeasureCeiling,
    Measured,
    MeasureLoop,
    Message,
    Open,
    OpenDevice,
    Prepared,
    Ready,
    Refused,
    Reply,
    Start,
)
from paretobench.targets.serve import serve_trial, step_times

if TYPE_CHECKING:
    from paretobench.runners.torch.ceilings import CeilingBench

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Answer the parent until it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _die_with_parent()
    connection = Connection(int(sys.argv[1]))
    worker = Worker(connection)
    while True:
        try:
            message = connection.recv()
        except EOFError:
            return
        connection.send(worker.reply_to(message))


class Worker:
    """A loaded system and its clock. An engine agrees on its start over `connection`."""

    def __init__(self, connection: Connection | None = None) -> None:
        self._connection = connection
        self._clock = WallClock()
        self._runner: Runner | None = None
        self._vocab_size = 2
        self._bench: CeilingBench | None = None

    def reply_to(self, message: Message) -> Reply | Refused:
        """Return the answer, or what stood in its way."""
        try:
            return self.answer(message)
        except ParetoBenchError as error:
            return Refused(error=type(error).__name__, message=str(error))
        except Exception as error:
            # a fault of the runner costs its trial: the device may be lost or in any state now, so
            # the parent starts a new worker
            traceback.print_exc()
            return Refused(error="WorkerDiedError", message=f"{type(error).__name__}: {error}")

    def answer(self, message: Message) -> Reply:
        """Do what the parent asks. Raises ParetoBenchError where that cannot be done."""
        if isinstance(message, Open):
            return self._open(message)
        if isinstance(message, MeasureLoop):
            with _no_collection():
                cost_s = measure_loop_cost(message.batch_sizes, policy=message.policy)
            return LoopMeasured(cost_s=cost_s)
        if isinstance(message, CheckOptions):
            from paretobench.runners.torch.build import resolve_options

            resolve_options(message.model)
            return Checked()
        if isinstance(message, ClaimDevice):
            from paretobench.runners.torch.budget import free_bytes
            from paretobench.runners.torch.devices import resolve_device

            return DeviceClaimed(free_bytes=free_bytes(resolve_device(message.device)))
        if isinstance(message, OpenDevice):
            return self._open_device(message)
        if isinstance(message, MeasureCeiling):
            assert self._bench is not None, "the parent opens the device first"
            return CeilingMeasured(ceiling=self._bench.measure(message.case, message.seconds))
        assert isinstance(message, Measure), "Start comes while a trial is prepared"
        return Measured(trace=self._measure(message))

    def _open(self, message: Open) -> Ready:
        if isinstance(message.system, LatencyModel):
            times = step_times(message.system).slowed(message.device_share)
            self._runner = LatencyModelRunner(times, self._clock.sleep)
            return Ready(
                description={"kind": "latency_model", "simulated": False, "model": "latency model"}
            )
        from paretobench.runners.torch import build_runner  # loads torch: not before it is needed

        if message.memory_bytes is not None:
            from paretobench.runners.torch.budget import limit_memory
            from paretobench.runners.torch.devices import resolve_device

            limit_memory(resolve_device(message.system.device), message.memory_bytes)
        runner = build_runner(message.system)
        runner.warm_up(
            message.batch_sizes,
            max_request_tokens=message.max_request_tokens,
            prompt_tokens=message.max_prompt_tokens,
            max_prefill_tokens_per_step=message.max_prefill_tokens_per_step,
        )
        description = runner.describe()
        self._vocab_size = int(description["vocab_size"])
        self._runner = runner
        return Ready(description={**description, "simulated": False})

    def _open_device(self, message: OpenDevice) -> DeviceReady:
        from paretobench.runners.torch.ceilings import CeilingBench
        from paretobench.runners.torch.devices import describe_device, resolve_device

        device = resolve_device(message.device)
        self._bench = CeilingBench(device)
        return DeviceReady(system=describe_device(device), cases=self._bench.cases)

    def _measure(self, message: Measure) -> Trace:
        assert self._runner is not None, "the parent opens the system first"
        with _no_collection():
            return serve_trial(
                message.trial,
                self._runner,
                self._clock,
                vocab_size=self._vocab_size,
                engine=message.engine,
                common_start=None if message.engine is None else self._common_start,
            )

    def _common_start(self) -> float:
        """Tell the parent that all is prepared; return when to begin, once it says so."""
        assert self._connection is not None
        self._connection.send(Prepared())
        start = self._connection.recv()
        assert isinstance(start, Start)
        if start.at_s is None:
            raise TrialError("called off: another engine could not begin")
        return start.at_s


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """Keep the garbage collector away: in the middle of a trial it would look like a slow step."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


def _die_with_parent() -> None:
    """Have the kernel end this process when the parent dies, even by SIGKILL (Linux)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # the parent died before the request was made
        os._exit(1)


if __name__ == "__main__":
    main()
