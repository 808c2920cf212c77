"""Reading what a machine is and does, for `paretobench doctor`."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import psutil

from paretobench.core.machine import CpuUse, GpuState, HostState, TimerState
from paretobench.telemetry.gpu_processes import MPS_SERVER
from paretobench.telemetry.host import host_facts
from paretobench.telemetry.queries import NvmlQueries, start_nvml, stop_nvml

_NUM_UTILISATION_READINGS = 5
_BETWEEN_READINGS_S = 0.25  # the driver averages over 1/6 s to 1 s
_SLEEP_S = 1e-3
_NUM_TICKS = 200
_CPUS = Path("/sys/devices/system/cpu")
_CGROUP = Path("/sys/fs/cgroup")


def gpu_states(sleep: Callable[[float], None] = time.sleep) -> list[GpuState]:
    """Return every GPU that NVML sees, by its index; empty where there is no driver.

    Call it before anything of ours runs on one: every process that it then has is another's.
    """
    nvml = start_nvml()
    if nvml is None:
        return []
    try:
        queries = NvmlQueries(nvml)
        handles = [
            queries.ask("nvmlDeviceGetHandleByIndex", index)
            for index in range(queries.ask("nvmlDeviceGetCount") or 0)
        ]
        driver = queries.ask("nvmlSystemGetDriverVersion")
        return [_gpu_state(nvml, h, driver, sleep) for h in handles if h is not None]
    finally:
        stop_nvml(nvml)


def _gpu_state(
    nvml: Any, device: Any, driver: str | None, sleep: Callable[[float], None]
) -> GpuState:
    queries = NvmlQueries(nvml)  # one's refusal is not another's

    def ask(function: str, *arguments: Any) -> Any | None:
        return queries.ask(function, device, *arguments)

    memory = ask("nvmlDeviceGetMemoryInfo")
    persistence, mig = ask("nvmlDeviceGetPersistenceMode"), ask("nvmlDeviceGetMigMode")
    processes = ask("nvmlDeviceGetComputeRunningProcesses")
    clock = nvml.NVML_CLOCK_SM
    return GpuState(
        uuid=ask("nvmlDeviceGetUUID"),
        name=ask("nvmlDeviceGetName"),
        driver=driver,
        memory_bytes=None if memory is None else int(memory.total),
        used_bytes=None if memory is None else int(memory.used),
        persistence_mode=None if persistence is None else bool(persistence),
        mig_mode=None if mig is None else bool(mig[0]),  # now, and after the next reset
        num_other_processes=None
        if processes is None
        else sum(not _is_mps_server(process.pid) for process in processes),
        gpu_util_pct=_lowest_utilisation(ask, sleep),
        max_sm_clock_mhz=ask("nvmlDeviceGetMaxClockInfo", clock),
        application_clock_mhz=ask("nvmlDeviceGetApplicationsClock", clock),
    )


def _is_mps_server(pid: int) -> bool:
    try:
        return psutil.Process(pid).name() == MPS_SERVER
    except psutil.Error:  # in another container, perhaps
        return False


def _lowest_utilisation(
    ask: Callable[..., Any | None], sleep: Callable[[float], None]
) -> float | None:
    readings = []
    for _ in range(_NUM_UTILISATION_READINGS):
        rates = ask("nvmlDeviceGetUtilizationRates")
        if rates is None:
            break
        readings.append(float(rates.gpu))
        sleep(_BETWEEN_READINGS_S)
    # a job that has just ended still shows in the first of them
    return min(readings, default=None)


def host_state(*, cpus: Path = _CPUS, cgroup: Path = _CGROUP) -> HostState:
    """Return the host's CPUs and memory as they are now."""
    memory = psutil.virtual_memory()
    return HostState(
        cores=host_facts().cores,
        quota_cores=_quota_cores(cgroup),
        governors=_of_all_cpus(cpus, "scaling_governor"),
        frequency_drivers=_of_all_cpus(cpus, "scaling_driver"),
        memory_bytes=int(memory.total),
        available_bytes=int(memory.available),
        swap_used_bytes=int(_swap().used),
    )


def _of_all_cpus(cpus: Path, name: str) -> tuple[str, ...]:
    texts = (_text(file) for file in cpus.glob(f"cpu[0-9]*/cpufreq/{name}"))
    return tuple(sorted({text for text in texts if text}))


def _quota_cores(cgroup: Path) -> float | None:
    """Return the CPU quota of control groups version 2, else 1; None where there is none."""
    quota, _, period = (_text(cgroup / "cpu.max") or "").partition(" ")
    if not period:
        quota = _text(cgroup / "cpu" / "cpu.cfs_quota_us") or ""
        period = _text(cgroup / "cpu" / "cpu.cfs_period_us") or ""
    if not (quota.isdigit() and period.isdigit() and int(period)):  # "max", -1 or no such file
        return None
    return int(quota) / int(period)


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _swap() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a sandbox may hide /proc/vmstat
        return psutil.swap_memory()


def timer_state(
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> TimerState:
    """Return how the clock ticks and sleeps end, in about 0.3 s."""
    ticks = sorted(_tick(clock) for _ in range(_NUM_TICKS))
    overshoots = []
    for _ in range(_NUM_TICKS):
        begin_s = clock()
        sleep(_SLEEP_S)
        overshoots.append(clock() - begin_s - _SLEEP_S)
    overshoots.sort()
    return TimerState(
        resolution_s=ticks[_NUM_TICKS // 2],
        median_overshoot_s=overshoots[_NUM_TICKS // 2],
        p95_overshoot_s=overshoots[_NUM_TICKS * 95 // 100],
    )


def _tick(clock: Callable[[], float]) -> float:
    begin_s = clock()
    while (now_s := clock()) == begin_s:
        pass
    return now_s - begin_s


class CpuUseMeter:
    """What the usable CPUs did from `start` to `read`, and how much of it was ours.

    `own_cpu_s` returns the CPU seconds that our processes have used so far.
    """

    def __init__(self, own_cpu_s: Callable[[], float]) -> None:
        self._own_cpu_s = own_cpu_s
        self._start = self._now()

    def read(self) -> CpuUse:
        """Return the use since the meter was made; None for what the system does not count."""
        before, now = self._start, self._now()
        elapsed_s = now["clock"] - before["clock"]
        total_s = now["total"] - before["total"]
        if elapsed_s <= 0 or total_s <= 0:
            return CpuUse(other_cores=None, steal_pct=None, swapped_bytes=None)
        others_s = now["busy"] - before["busy"] - (now["own"] - before["own"])
        return CpuUse(
            other_cores=max(0.0, others_s / elapsed_s),
            steal_pct=100.0 * (now["steal"] - before["steal"]) / total_s,
            swapped_bytes=int(now["swapped"] - before["swapped"]),
        )

    def _now(self) -> dict[str, float]:
        times = [t._asdict() for t in _usable(psutil.cpu_times(percpu=True))]
        steal_s = sum(t.get("steal", 0.0) for t in times)
        # Linux counts a guest's time in `user` and `nice` already
        total_s = sum(
            sum(t.values()) - t.get("guest", 0.0) - t.get("guest_nice", 0.0) for t in times
        )
        idle_s = sum(t["idle"] + t.get("iowait", 0.0) for t in times)
        swap = _swap()
        return {
            "clock": time.monotonic(),
            "total": total_s,
            "steal": steal_s,
            "busy": total_s - idle_s - steal_s,
            "own": self._own_cpu_s(),
            "swapped": float(swap.sin + swap.sout),
        }


def _usable(per_cpu: list[Any]) -> list[Any]:
    if not hasattr(os, "sched_getaffinity"):
        return per_cpu
    usable = os.sched_getaffinity(0)
    # a sandbox may show fewer than it numbers
    return [times for cpu, times in enumerate(per_cpu) if cpu in usable] or per_cpu


def cpu_seconds(pids: Collection[int]) -> float:
    """Return the CPU time of this process and of those, as far as they still run."""
    total_s = sum(os.times()[:2])
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        total_s += times.user + times.system
    return total_s
