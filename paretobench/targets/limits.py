"""Measuring a device's ceilings in a worker process, its environment set as for a model."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from paretobench.analysis.limits import MULTIPLIED_AS
from paretobench.core.ceilings import Ceiling, Ceilings
from paretobench.scenario.systems import Model
from paretobench.targets.messages import (
    CeilingMeasured,
    DeviceReady,
    MeasureCeiling,
    OpenDevice,
)
from paretobench.targets.worker_process import WorkerProcess
from paretobench.targets.worker_target import worker_environment

_LOG = logging.getLogger(__name__)
_SWEEP_S = 2.0  # for the ceilings around a sweep, each time
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


def ceilings_of(models: Sequence[Model]) -> Ceilings | None:
    """Return the ceilings that limit these models, measured in about 2 s.

    None where they do not share one device and its threads. Raises EnvironmentUnfitError where
    there is no such device, WorkerDiedError.
    """
    if len({(m.device, m.threads, m.omp_wait_policy) for m in models}) != 1:
        _LOG.warning("the models do not share one device and its threads: no ceilings are measured")
        return None
    with DeviceBench(models[0]) as bench:
        cases = [case for case in _wanted(models, bench.system) if case in bench.cases]
        rows = tuple(bench.measure(case, _SWEEP_S / len(cases)) for case in cases)
        return Ceilings(system=bench.system, rows=rows)


def _wanted(models: Sequence[Model], system: Mapping[str, Any]) -> dict[str, None]:
    """Return the cases that limit these models: reading, and multiplying as each of them does."""
    auto = "bfloat16" if str(system.get("device")).startswith("cuda") else "float32"
    dtypes = [auto if model.dtype == "auto" else model.dtype for model in models]
    dtypes += [MULTIPLIED_AS[m.quantization] for m in models if m.quantization is not None]
    return dict.fromkeys(["read_bandwidth", *dtypes])
