"""What the host is, and how busy its CPUs are."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """The machine, without its name. `cores` are the logical CPUs that this process may use.

    `physical_cores` is at most `cores`; hyper-threads apart, None where the system does not tell.
    """

    cpu: str | None
    cores: int
    physical_cores: int | None
    memory_bytes: int
    os: str
    python: str


def host_facts() -> HostFacts:
    """Return the facts of this host."""
    cores = _usable_cores()
    physical = psutil.cpu_count(logical=False)
    return HostFacts(
        cpu=_cpu_name(Path("/proc/cpuinfo")),
        cores=cores,
        physical_cores=None if physical is None else min(physical, cores),
        memory_bytes=int(psutil.virtual_memory().total),
        os=f"{platform.system()} {platform.release()}",
        python=f"{platform.python_implementation()} {platform.python_version()}",
    )


class HostCpu:
    """The use of all the host's CPUs, without blocking.

    `psutil.cpu_percent` keeps a past of its own for each thread; this one may be read from any.
    """

    def __init__(self, cpu_times: Callable[[], Any] = psutil.cpu_times) -> None:
        self._cpu_times = cpu_times
        self._last = self._busy_and_total()

    def read(self) -> float | None:
        """Return the % of all CPUs busy since the last reading; None if no time was counted."""
        busy_s, total_s = self._busy_and_total()
        busy_before_s, total_before_s = self._last
        self._last = (busy_s, total_s)
        if total_s <= total_before_s:
            return None
        share = (busy_s - busy_before_s) / (total_s - total_before_s)
        return min(100.0, max(0.0, 100.0 * share))

    def _busy_and_total(self) -> tuple[float, float]:
        times = self._cpu_times()._asdict()
        # Linux counts a guest's time in `user` and `nice` already
        total_s = sum(times.values()) - times.get("guest", 0.0) - times.get("guest_nice", 0.0)
        return total_s - times["idle"] - times.get("iowait", 0.0), total_s


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_name(cpuinfo: Path) -> str | None:
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or None
