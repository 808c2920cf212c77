"""Is there memory left, and was it memory that a call died of?"""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil
import torch

_SIGNS = (
    "out of memory",
    "not enough memory",
    "can't allocate memory",
    "ALLOC_FAILED",  # cuBLAS and cuDNN workspaces
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether `error` says that the device, or the host, had no memory left.

    >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError("out of memory"))
    (True, False)
    """
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # torch's CPU allocator, cuBLAS and the driver raise plain RuntimeErrors
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def available_host_memory() -> int:
    """Return the bytes that this process can still take, a container's limit included."""
    available = int(psutil.virtual_memory().available)
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        used = int((limit.parent / "memory.current").read_text())
        stat = dict(
            line.split() for line in (limit.parent / "memory.stat").read_text().splitlines()
        )
        available = min(available, int(text) - used + int(stat.get("inactive_file", 0)))
    return available


def require_host_memory(num_bytes: int) -> None:
    """Raise MemoryError where the host lacks `num_bytes`.

    Linux hands out more than it has and kills whoever touches it, so the allocator cannot be asked.
    """
    available = available_host_memory()
    if num_bytes > available:
        raise MemoryError(
            f"not enough memory: {num_bytes / 2**30:.1f} GiB asked, "
            f"{available / 2**30:.1f} GiB available"
        )


def reset_host_peak() -> None:
    """Let the peak that `host_memory` tells begin anew, where Linux allows it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def host_memory() -> tuple[int, int]:
    """Return what this process holds now and its peak, in bytes; zeros where nobody tells."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0, 0
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    now, peak = (int(lines[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM"))
    return now, peak
