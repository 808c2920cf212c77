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


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuUse:
    """What all CPUs did between two readings, in % of their time; None: it was not counted.

    `steal_pct` went to other machines while this one had work to do; only Linux counts it.
    """

    util_pct: float | None = None
    steal_pct: float | None = None


class HostCpu:
    """The use of all the host's CPUs, without blocking.

    `psutil.cpu_percent` keeps a past of its own for each thread; this one may be read from any.
    """

    def __init__(self, cpu_times: Callable[[], Any] = psutil.cpu_times) -> None:
        self._cpu_times = cpu_times
        self._last = self._times_s()

    def read(self) -> CpuUse:
        """Return the use of all CPUs since the last reading; empty if no time was counted."""
        times_s, before_s = self._times_s(), self._last
        self._last = times_s
        passed_s = {name: times_s[name] - before_s[name] for name in times_s}
        # Linux counts a guest's time in `user` and `nice` already
        total_s = sum(s for name, s in passed_s.items() if name not in ("guest", "guest_nice"))
        if total_s <= 0:
            return CpuUse()
        busy_s = total_s - passed_s["idle"] - passed_s.get("iowait", 0.0)
        steal_s = passed_s.get("steal")
        return CpuUse(
            util_pct=_percentage(busy_s / total_s),
            steal_pct=None if steal_s is None else _percentage(steal_s / total_s),
        )

    def _times_s(self) -> dict[str, float]:
        times_s: dict[str, float] = self._cpu_times()._asdict()
        return times_s


def _percentage(share: float) -> float:
    return min(100.0, max(0.0, 100.0 * share))


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
