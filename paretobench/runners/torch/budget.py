"""How many tokens of keys and values this device has room for."""

from __future__ import annotations

import torch

from paretobench.runners.torch.memory import available_host_memory, host_memory, reset_host_peak

# Of what is free: a GPU's allocator rounds up and fragments; a host has other processes.
_MARGIN_SHARE = {"cuda": 0.03, "cpu": 0.25}
_MARGIN_BYTES = 256 << 20


def kv_budget_tokens(device: torch.device, *, set_aside_bytes: int, token_bytes: int) -> int:
    """Return the tokens that fit into what is free now, less what other work needs and a margin.

    `set_aside_bytes` is what the largest prefill and the recorded graphs take.
    """
    free = free_bytes(device)
    margin = int(_MARGIN_SHARE[device.type] * free) + _MARGIN_BYTES
    return max(0, free - set_aside_bytes - margin) // token_bytes


def free_bytes(device: torch.device) -> int:
    """Return what this process can take of the device now, torch's own unused blocks included."""
    if device.type == "cpu":
        return available_host_memory()
    free, total = torch.cuda.mem_get_info(device)
    reserved = torch.cuda.memory_reserved(device)
    allowed = int(torch.cuda.get_per_process_memory_fraction(device) * total) - reserved
    return min(free, allowed) + reserved - torch.cuda.memory_allocated(device)


def limit_memory(device: torch.device, num_bytes: int) -> None:
    """Have torch take at most `num_bytes` of a GPU in this process; more is out of memory."""
    _, total = torch.cuda.mem_get_info(device)
    torch.cuda.set_per_process_memory_fraction(min(1.0, max(0, num_bytes) / total), device)


class PeakMemory:
    """Measures how far a block of work drives the device's memory above where it began.

    On a CPU that of this process, where Linux tells it; else `num_bytes` stays 0.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = 0
        self.num_bytes = 0

    def __enter__(self) -> PeakMemory:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            torch.cuda.reset_peak_memory_stats(self._device)
            self._before = torch.cuda.memory_allocated(self._device)
        else:
            reset_host_peak()
            self._before = host_memory()[0]
        return self

    def __exit__(self, *_: object) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
            peak = torch.cuda.max_memory_allocated(self._device)
        else:
            peak = host_memory()[1]
        self.num_bytes = max(0, peak - self._before)
