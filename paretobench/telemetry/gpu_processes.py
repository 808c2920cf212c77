"""Who else is on a GPU: the processes that the driver lists and this run did not start.

Inside a container the driver may list the host's process ids, which say nothing here, or none at
all. So as many are taken off as this run is known to have there, whether or not their ids are
recognised: in doubt one too few is counted, never one too many.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from typing import Any

import psutil

from paretobench.telemetry.mps import mps_is_running

_COMPUTE = "nvmlDeviceGetComputeRunningProcesses"
_GRAPHICS = "nvmlDeviceGetGraphicsRunningProcesses"
_MPS_CLIENTS = "nvmlDeviceGetMPSComputeRunningProcesses"
MPS_SERVER = "nvidia-cuda-mps-server"  # computes for its clients, and by itself nothing
_MIN_INTERVAL_S = 1.0  # processes come and go slowly, and the lists cost several readings


class OtherProcesses:
    """Counts the processes on one GPU that are not this run's, about once a second at most.

    `ask` puts an NVML question to the device; `own_pids` tells which processes of this run use it
    now. Their descendants are this run's too, and so is the server through which they share it.
    """

    def __init__(
        self, ask: Callable[[str], Any | None], own_pids: Callable[[], Collection[int]]
    ) -> None:
        self._ask = ask
        self._own_pids = own_pids
        self._counted_at_s: float | None = None
        self._count: int | None = None
        self._has_mps: bool | None = None  # once it is asked for

    def count(self, t_s: float) -> int | None:
        """Return how many there are at `t_s`, or were within the second before it.

        None where the driver does not list them.
        """
        if self._counted_at_s is None or t_s - self._counted_at_s >= _MIN_INTERVAL_S:
            self._counted_at_s, self._count = t_s, self._count_now()
        return self._count

    def _count_now(self) -> int | None:
        compute = self._ask(_COMPUTE)
        if compute is None:
            return None
        if self._has_mps is None:
            self._has_mps = mps_is_running()
        others = [self._ask(_GRAPHICS), self._ask(_MPS_CLIENTS) if self._has_mps else None]
        listed = {int(process.pid) for found in (compute, *others) for process in found or ()}
        workers = set(self._own_pids())
        num_recognised = sum(_is_of({os.getpid(), *workers}, pid) for pid in listed)
        return max(0, len(listed) - max(num_recognised, len(workers) + self._has_mps))


def _is_of(own: Collection[int], pid: int) -> bool:
    """Return whether a process is one of `own`, descends from one, or serves them."""
    if pid in own:
        return True
    try:
        process = psutil.Process(pid)
        return process.name() == MPS_SERVER or any(p.pid in own for p in process.parents())
    except psutil.Error:
        return False  # of another namespace, or gone
