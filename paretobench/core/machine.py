"""What was found of a machine that is to measure: it decides whether it is fit to.

Everything that the system does not tell is None, and an unknown is never a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuState:
    """A GPU before anything of ours runs on it.

    `gpu_util_pct` is the lowest of a few readings; `application_clock_mhz` is what its clocks
    are set to, of `max_sm_clock_mhz` that it could do.
    """

    uuid: str | None
    name: str | None
    driver: str | None = None
    memory_bytes: int | None = None
    used_bytes: int | None = None
    persistence_mode: bool | None = None
    mig_mode: bool | None = None
    num_other_processes: int | None = None
    gpu_util_pct: float | None = None
    max_sm_clock_mhz: float | None = None
    application_clock_mhz: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostState:
    """The host before the run. `cores` are the logical CPUs that this process may use,
    `quota_cores` how many of them its control group may keep busy at once.

    `governors` and `frequency_drivers` are those of all CPUs, each once; empty in most virtual
    machines.
    """

    cores: int
    quota_cores: float | None
    governors: tuple[str, ...]
    frequency_drivers: tuple[str, ...]
    memory_bytes: int
    available_bytes: int
    swap_used_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerState:
    """How finely the monotonic clock ticks, and how late a sleep of 1 ms ends."""

    resolution_s: float
    median_overshoot_s: float
    p95_overshoot_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuUse:
    """What the usable CPUs did during the run. `other_cores` is what others than us kept busy,
    `steal_pct` the time that the hypervisor gave to other machines."""

    other_cores: float | None
    steal_pct: float | None
    swapped_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFigures:
    """One run of the A/A measurement."""

    output_tokens_per_s: float
    p95_e2e_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AaRun:
    """The same thing measured as two systems, in pairs; `failure` says why it could not be.

    `throttle_reasons` were seen while it ran, None where no GPU told; `sm_clock_mhz` is the highest
    seen. `threads` and `device` are those of the worker; steps ran at `batch_size`.
    """

    pairs: tuple[tuple[RunFigures, RunFigures], ...] = ()
    batch_size: int | None = None
    median_step_s: float | None = None
    throttle_reasons: frozenset[str] | None = None
    sm_clock_mhz: float | None = None
    device: str | None = None
    device_name: str | None = None
    gpu_uuid: str | None = None
    threads: int | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineState:
    """Everything that was found. `gpu` is the one that was measured on, None where it was a CPU;
    `loop_cost_us` is what a step of the serving loop itself takes, by batch size."""

    gpu: GpuState | None
    host: HostState
    timer: TimerState
    cpu_use: CpuUse
    aa: AaRun
    loop_cost_us: Mapping[int, float] = field(default_factory=dict)
