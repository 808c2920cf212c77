"""What all Triton kernels here share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import triton

# triton.jit as mypy can read it: triton carries no types. Where an argument's alignment or value
# would only cost another compilation, it is not looked at (do_not_specialize).
jit: Callable[..., Callable[[Callable[..., None]], Any]] = triton.jit


@cache
def multiprocessors(device: torch.device) -> int:
    """Return how many multiprocessors `device` has; 1 for a CPU, which interprets one by one."""
    if device.type != "cuda":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count
