"""Where a result comes from: GPUs, host and package.

It is committed beside results, so it holds no host or user name and no path.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from paretobench import __version__
from paretobench.telemetry.checkout import package_checkout
from paretobench.telemetry.host import host_facts
from paretobench.telemetry.queries import NvmlQueries, start_nvml, stop_nvml


def collect_provenance(*, package_dir: Path, ignore_pids: Collection[int]) -> dict[str, Any]:
    """Return `gpus`, `host` and `package`; what is not known is None, `gpus` [] where none is.

    Every GPU that NVML sees is listed, by NVML's index. `other_processes` are the compute
    processes on it whose pid is not in `ignore_pids`; None where the driver does not list them.
    In a container the driver may list pids of the host, so collect before the worker starts.
    """
    host, checkout = host_facts(), package_checkout(package_dir)
    return {
        "gpus": _gpus(ignore_pids),
        "host": {
            "cpu": host.cpu,
            "cores": host.cores,
            "memory_bytes": host.memory_bytes,
            "os": host.os,
            "python": host.python,
        },
        "package": {
            "version": __version__,
            "git_commit": checkout.git_commit,
            "git_dirty": checkout.git_dirty,
        },
    }


def _gpus(ignore_pids: Collection[int]) -> list[dict[str, Any]]:
    nvml = start_nvml()
    if nvml is None:
        return []
    try:
        count = NvmlQueries(nvml).ask("nvmlDeviceGetCount") or 0
        return [_gpu(nvml, index, ignore_pids) for index in range(count)]
    finally:
        stop_nvml(nvml)


def _gpu(nvml: Any, index: int, ignore_pids: Collection[int]) -> dict[str, Any]:
    queries = NvmlQueries(nvml)
    device = queries.ask("nvmlDeviceGetHandleByIndex", index)

    def ask(function: str) -> Any | None:
        return None if device is None else queries.ask(function, device)

    memory = ask("nvmlDeviceGetMemoryInfo")
    power_limit_mw = ask("nvmlDeviceGetEnforcedPowerLimit")
    return {
        "index": index,
        "name": ask("nvmlDeviceGetName"),
        "uuid": ask("nvmlDeviceGetUUID"),
        "driver": queries.ask("nvmlSystemGetDriverVersion"),
        "cuda_driver": _cuda_version(queries.ask("nvmlSystemGetCudaDriverVersion_v2")),
        "memory_bytes": None if memory is None else int(memory.total),
        "power_limit_w": None if power_limit_mw is None else power_limit_mw / 1e3,
        "other_processes": _others(ask("nvmlDeviceGetComputeRunningProcesses"), ignore_pids),
    }


def _others(processes: Any | None, ignore_pids: Collection[int]) -> list[dict[str, Any]] | None:
    if processes is None:
        return None
    return [
        {"pid": int(process.pid), "memory_bytes": process.usedGpuMemory}
        for process in processes
        if process.pid not in ignore_pids
    ]


def _cuda_version(number: int | None) -> str | None:
    """Return CUDA's version from the driver's number for it.

    >>> _cuda_version(13020)
    '13.2'
    """
    return None if number is None else f"{number // 1000}.{number % 1000 // 10}"
