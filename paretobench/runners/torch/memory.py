"""Is there memory left, and was it memory that a call died of?"""

from __future__ import annotations

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


def require_host_memory(num_bytes: int) -> None:
    """Raise MemoryError where the host lacks `num_bytes`.

    Linux hands out more than it has and kills whoever touches it, so the allocator cannot be asked.
    """
    available = psutil.virtual_memory().available
    limit = Path("/sys/fs/cgroup/memory.max")  # a container's own limit, where there is one
    if limit.is_file() and (text := limit.read_text().strip()).isdigit():
        used = int((limit.parent / "memory.current").read_text())
        stat = dict(
            line.split() for line in (limit.parent / "memory.stat").read_text().splitlines()
        )
        available = min(available, int(text) - used + int(stat.get("inactive_file", 0)))
    if num_bytes > available:
        raise MemoryError(
            f"not enough memory: {num_bytes / 2**30:.1f} GiB asked, "
            f"{available / 2**30:.1f} GiB available"
        )
