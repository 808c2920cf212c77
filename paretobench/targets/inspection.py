"""Everything that `paretobench doctor` looks at, what must not be disturbed by us first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from paretobench.core.errors import IncompleteError
from paretobench.core.machine import AaRun, CpuUse, GpuState, MachineState
from paretobench.scenario.systems import LatencyModel, Model
from paretobench.targets.repeatability import (
    BATCH_SIZE,
    OUTPUT_TOKENS,
    PROMPT_TOKENS,
    loop_cost_us,
    measure_aa,
)
from paretobench.targets.worker_target import WorkerTarget
from paretobench.telemetry.machine import (
    CpuUseMeter,
    cpu_seconds,
    gpu_states,
    host_state,
    timer_state,
)

_LOOP_SIZES = (1, BATCH_SIZE, 64)
_LOOP_REPEATS = 3


def inspect_machine(device: str, seconds: float, say: Callable[[str], None]) -> MachineState:
    """Return what this machine is and does, with about `seconds` of A/A measuring on `device`.

    `say` is told what comes next. Raises EnvironmentUnfitError where there is no such device.
    """
    say("looking at this machine")
    gpus, host, timer = gpu_states(), host_state(), timer_state()  # before anything of ours runs
    loop_cost_us(1)  # the first call pays for imports and caches
    # what others took of the processor meanwhile is not the loop's own
    cost_us = {size: min(loop_cost_us(size) for _ in range(_LOOP_REPEATS)) for size in _LOOP_SIZES}
    say(f"measuring the same thing twice over, for about {seconds:g} s")
    aa, cpu_use = _measure(device, seconds)
    return MachineState(
        gpu=_measured_on(gpus, aa, device),
        host=host,
        timer=timer,
        cpu_use=cpu_use,
        aa=aa,
        loop_cost_us=cost_us,
    )


def _measure(device: str, seconds: float) -> tuple[AaRun, CpuUse]:
    target = WorkerTarget(
        _system(device),
        batch_sizes=(BATCH_SIZE,),
        max_request_tokens=PROMPT_TOKENS + OUTPUT_TOKENS,
        max_prompt_tokens=PROMPT_TOKENS,
    )
    try:
        try:
            target.open()
        except IncompleteError as error:
            return AaRun(failure=str(error)), _nothing_read()
        pid = target.pid
        meter = CpuUseMeter(lambda: cpu_seconds(() if pid is None else (pid,)))
        aa = measure_aa(target, seconds)
        # a worker that died takes its CPU time with it
        cpu_use = meter.read() if aa.failure is None else _nothing_read()
        system = target.describe()
    finally:
        target.close()
    found = replace(
        aa,
        device=system.get("device"),
        device_name=system.get("device_name"),
        gpu_uuid=system.get("gpu_uuid"),
        threads=system.get("threads"),
    )
    return found, cpu_use


def _system(device: str) -> Model | LatencyModel:
    return Model(preset="nano", device=device)


def _nothing_read() -> CpuUse:
    return CpuUse(other_cores=None, steal_pct=None, swapped_bytes=None)


def _measured_on(gpus: Sequence[GpuState], aa: AaRun, asked: str) -> GpuState | None:
    """Return the GPU that the worker ran on, None for a CPU.

    By UUID, which torch spells without `GPU-`; where no worker came up, the only one there is.
    """
    if aa.device is None:
        return gpus[0] if len(gpus) == 1 and asked != "cpu" else None
    if aa.gpu_uuid is None:
        return None
    for gpu in gpus:
        if gpu.uuid is not None and gpu.uuid.lower().endswith(aa.gpu_uuid.lower()):
            return gpu
    return GpuState(uuid=aa.gpu_uuid, name=aa.device_name)
