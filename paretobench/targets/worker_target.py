"""The parent's side: a worker process for the system, telemetry beside it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import psutil

from paretobench.core.errors import (
    DeviceOutOfMemoryError,
    IncompleteError,
    ParetoBenchError,
    TrialError,
    WorkerDiedError,
)
from paretobench.core.values import Trace, Trial
from paretobench.scenario.systems import LatencyModel, Model
from paretobench.targets.engine_workers import EngineWorkers
from paretobench.targets.engines import Engine, engines_of
from paretobench.targets.messages import (
    LoopMeasured,
    Measure,
    Measured,
    MeasureLoop,
    Message,
    Open,
    Ready,
    Reply,
)
from paretobench.targets.worker_process import WorkerProcess
from paretobench.telemetry.gpu import GpuProbe, open_gpu_probe
from paretobench.telemetry.sampler import TelemetrySampler

_GRACE_S = 30.0  # beyond the trial's own time limit, for what lies outside the serving loop
_OPEN_TIMEOUT_S = 1800.0  # a large checkpoint on a slow disk
_AMPLE_MEMORY_PCT = 50.0  # of the host, in use


class WorkerTarget:
    """Measures in a process of its own, so that a fault of the device costs one trial.

    A worker that died is replaced when the next trial asks for one. Trials with an engine a class
    run on `engines`, each in a process and on a share of the device.
    """

    def __init__(
        self,
        system: Model | LatencyModel,
        *,
        batch_sizes: tuple[int, ...],
        max_request_tokens: int,
        max_prompt_tokens: int,
        max_prefill_tokens_per_step: int | None = None,
        engines: tuple[Engine, ...] = (),
    ) -> None:
        self._open_message = Open(
            system=system,
            batch_sizes=batch_sizes,
            max_request_tokens=max_request_tokens,
            max_prompt_tokens=max_prompt_tokens,
            max_prefill_tokens_per_step=max_prefill_tokens_per_step,
        )
        self._planned = engines
        self._engines: EngineWorkers | None = None  # once the device is known
        self._worker: WorkerProcess | None = None
        self._probe: GpuProbe | None = None
        self._sampler: TelemetrySampler | None = None
        self._description: Mapping[str, Any] = {}

    @property
    def pid(self) -> int | None:
        """Return the worker's process id, None while there is none."""
        worker = self._worker  # once: the telemetry's thread asks too
        return None if worker is None else worker.pid

    @property
    def engine_pids(self) -> Mapping[str, int]:
        """Return the process ids of the engines that are loaded."""
        return {} if self._engines is None else self._engines.pids

    def open(self) -> None:
        """Start the worker, load the system and warm it up.

        Raises ScenarioError where the device cannot be shared by as many engines as are planned.
        """
        self._start()
        if self._planned:
            self._engines = EngineWorkers(
                self._open_message,
                self._planned,
                device=self._description.get("device"),
                environment=worker_environment(self._open_message.system),
                open_timeout_s=_OPEN_TIMEOUT_S,
            )
        if self._sampler is None:
            uuid = self._description.get("gpu_uuid")
            self._probe = open_gpu_probe(uuid=uuid, own_pids=self._own_pids) if uuid else None
            self._sampler = TelemetrySampler(self._probe)
            self._sampler.start()

    def _own_pids(self) -> list[int]:
        """Return the processes that use the device for this run; the telemetry's thread asks."""
        shared = self.pid
        return [*([] if shared is None else [shared]), *self.engine_pids.values()]

    def describe(self) -> Mapping[str, Any]:
        """Return what the worker said of itself when it was ready, and how engines share it."""
        engines = {} if self._engines is None else self._engines.describe()
        return {**self._description, **engines}

    def measure(self, trial: Trial) -> Trace:
        """Return the trace of one trial, the device's telemetry with it.

        Raises WorkerDiedError with what the worker last said.
        """
        if engines_of(trial):
            return self._with_telemetry(self._measure_engines(trial))
        if self._engines is not None and not self._may_idle_in_memory():
            self._engines.close()
        if self._worker is None:
            try:
                self._start()
            except ParetoBenchError as error:
                raise TrialError(f"a new worker could not be started: {error}") from error
        reply = self._ask(Measure(trial=trial), trial.timeout_s + _GRACE_S)
        assert isinstance(reply, Measured)
        return self._with_telemetry(reply.trace)

    def loop_cost_s(self, batch_sizes: Sequence[int], *, policy: str) -> Mapping[int, float]:
        """Return what a step of the loop costs in the worker that is open, in s by batch size.

        Raises WorkerDiedError.
        """
        reply = self._ask(MeasureLoop(batch_sizes=tuple(batch_sizes), policy=policy), _GRACE_S)
        assert isinstance(reply, LoopMeasured)
        return reply.cost_s

    def close(self) -> None:
        """End the workers and the telemetry."""
        self._stop_worker()
        if self._engines is not None:
            self._engines.close()
        if self._sampler is not None:
            self._sampler.stop()
            self._sampler = None
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def _ask(self, message: Message, timeout_s: float) -> Reply:
        assert self._worker is not None, "the target is opened first"
        try:
            return self._worker.ask(message, timeout_s)
        except WorkerDiedError:
            self._stop_worker()
            raise

    def _measure_engines(self, trial: Trial) -> Trace:
        engines = self._engines
        assert engines is not None, "engines are planned before the target is opened"
        if engines.too_large is not None:  # they were tried: that need not cost the shared worker
            raise DeviceOutOfMemoryError(engines.too_large)
        if not self._may_idle_in_memory():
            self._stop_worker()
        engines.open()
        return engines.measure(trial, timeout_s=trial.timeout_s + _GRACE_S)

    def _may_idle_in_memory(self) -> bool:
        """Return whether workers that do not serve the trial at hand may stay for a later one.

        On a GPU they would take from the memory that KV budgets are computed from.
        """
        system = self._open_message.system
        if isinstance(system, LatencyModel):
            return True
        on_cpu = self._description.get("device") == "cpu"
        spins = system.omp_wait_policy == "active"
        return on_cpu and not spins and psutil.virtual_memory().percent < _AMPLE_MEMORY_PCT

    def _start(self) -> None:
        self._worker = WorkerProcess(worker_environment(self._open_message.system))
        try:
            reply = self._worker.ask(self._open_message, _OPEN_TIMEOUT_S)
        except WorkerDiedError as error:
            self._stop_worker()
            raise IncompleteError(f"the worker died while it loaded the model: {error}") from error
        except ParetoBenchError:
            self._stop_worker()
            raise
        assert isinstance(reply, Ready)
        self._description = reply.description

    def _stop_worker(self) -> None:
        if self._worker is not None:
            self._worker.stop()
        self._worker = None

    def _with_telemetry(self, trace: Trace) -> Trace:
        if self._sampler is None or trace.started_monotonic_s is None:
            return trace
        start_s = trace.started_monotonic_s
        last_s = max((step.start_s + step.duration_s for step in trace.steps), default=0.0)
        samples = self._sampler.between(start_s, start_s + last_s)
        self._sampler.discard_before(start_s)
        return replace(trace, telemetry=samples)


def worker_environment(system: Model | LatencyModel) -> dict[str, str]:
    """Return what the worker's environment has beyond the parent's.

    OpenMP's default spinning makes every parallel region cost a scheduler slice beside a busy
    neighbour (48 linears: 384 ms, 38 ms with a bounded spin, 13 ms passive), so it is always set.
    """
    if isinstance(system, LatencyModel):
        return {}
    threads = system.threads if isinstance(system.threads, int) else _available_cores()
    wait = {
        "bounded_spin": {"GOMP_SPINCOUNT": "10000"},
        "passive": {"OMP_WAIT_POLICY": "passive"},
        "active": {"OMP_WAIT_POLICY": "active"},
    }[system.omp_wait_policy]
    return {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false", **wait}


def _available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
