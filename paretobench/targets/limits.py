"""Measuring a device's ceilings in a worker process, its environment set as for a model."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

from paretobench.core.ceilings import Ceiling
from paretobench.scenario.systems import Model
from paretobench.targets.messages import (
    CeilingMeasured,
    DeviceReady,
    MeasureCeiling,
    OpenDevice,
)
from paretobench.targets.worker_process import WorkerProcess
from paretobench.targets.worker_target import worker_environment

_OPEN_TIMEOUT_S = 300.0  # torch is loaded, perhaps from a slow disk
_GRACE_S = 300.0  # a case has a least number of repeats, however slow the device


class DeviceBench:
    """The device that a model's settings name, in a worker that holds no model.

    A context manager: leaving it ends the worker. `system` describes the device as a manifest's
    `provenance.system` does; `cases` are what can be measured on it.
    """

    def __init__(self, settings: Model) -> None:
        """Start the worker and open the device; of `settings`, device, threads and waiting count.

        Raises EnvironmentUnfitError where there is no such device, WorkerDiedError.
        """
        self._worker = WorkerProcess(worker_environment(settings))
        try:
            reply = self._worker.ask(OpenDevice(device=settings.device), _OPEN_TIMEOUT_S)
        except BaseException:
            self._worker.stop()
            raise
        assert isinstance(reply, DeviceReady)
        self.system: Mapping[str, Any] = reply.system
        self.cases = reply.cases

    def measure(self, case: str, seconds: float) -> Ceiling:
        """Return one ceiling after about `seconds`. Raises WorkerDiedError."""
        reply = self._worker.ask(MeasureCeiling(case=case, seconds=seconds), seconds + _GRACE_S)
        assert isinstance(reply, CeilingMeasured)
        return reply.ceiling

    def __enter__(self) -> DeviceBench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._worker.stop()
