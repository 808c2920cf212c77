"""The slots of all trials: laid out once within the memory that is free, with what depends on
their addresses."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence

import torch

from paretobench.runners.torch.backends import Backend
from paretobench.runners.torch.batch import round_up
from paretobench.runners.torch.budget import kv_budget_tokens
from paretobench.runners.torch.device_rows import DeviceRows
from paretobench.runners.torch.graphs import Capture, DecodeGraphs
from paretobench.runners.torch.kernels import AttentionKernels
from paretobench.runners.torch.slots import SlotCache


class Layout:
    """The cache, the rows on the device, and the decode steps recorded over both.

    `make_capture`, called anew for every layout, records decode steps; None: they are not recorded.
    `set_aside_bytes` is kept free for the largest prefill and the graphs.
    """

    def __init__(
        self,
        backend: Backend,
        kernels: AttentionKernels,
        make_capture: Callable[[], Capture] | None,
    ) -> None:
        self._backend = backend
        self._kernels = kernels
        self._make_capture = make_capture
        self._memory_is_full = False  # it has all the slots that fit
        self.set_aside_bytes = 0
        self.budget_tokens: int | None = None  # what the memory holds, as measured for this layout
        self.cache = SlotCache(backend.kv_shape, dtype=backend.dtype, device=backend.device)
        self.rows = DeviceRows(0, backend.device)
        self.graphs: DecodeGraphs | None = None

    def make_room(self, max_batch_size: int, max_request_tokens: int) -> None:
        """Have that many slots of that length, or as many as fit; a layout that has them stays.

        Raises torch.OutOfMemoryError, MemoryError or RuntimeError where not even one fits.
        """
        slot_tokens = round_up(max_request_tokens)
        has_slots = max_batch_size <= self.cache.num_slots or self._memory_is_full
        if slot_tokens > self.cache.slot_tokens or not has_slots:
            self._lay_out(max_batch_size, slot_tokens)
        if self._make_capture is not None:
            if self.graphs is None:
                self.graphs = DecodeGraphs(
                    self._backend,
                    self.cache,
                    self._kernels,
                    self.rows,
                    capture=self._make_capture(),
                )
            rows = min(max_batch_size, self.cache.num_slots)
            self.graphs.record(max_rows=rows, max_tokens=slot_tokens)

    def graph_bytes(self, max_batch_size: int, max_request_tokens: int) -> int:
        """Return what graphs up to that size take, judged by those recorded; 0 without any."""
        return (
            0 if self.graphs is None else self.graphs.bytes_for(max_batch_size, max_request_tokens)
        )

    def move(self, moves: Sequence[tuple[int, int, int]]) -> None:
        """Carry out moves `(from slot, to slot, tokens)` of the table, in their order."""
        for source, target, tokens in moves:
            self.cache.move(source, target, tokens)
            self.rows.move(source, target)

    def give_back(self) -> None:
        """Free slots and recorded steps."""
        self.graphs = None
        self._memory_is_full = False
        self.cache.free()
        gc.collect()
        if self._backend.device.type == "cuda":
            torch.cuda.empty_cache()

    def _lay_out(self, max_batch_size: int, slot_tokens: int) -> None:
        max_batch_size = max(max_batch_size, self.cache.num_slots)
        slot_tokens = max(slot_tokens, self.cache.slot_tokens)
        self.give_back()
        device = self._backend.device
        self.budget_tokens = kv_budget_tokens(
            device,
            set_aside_bytes=self.set_aside_bytes,
            token_bytes=self.cache.token_bytes,
        )
        # one slot more is allocated, for rows that only fill a bucket
        fit = self.budget_tokens // slot_tokens - 1
        self._memory_is_full = fit < max_batch_size
        num_slots = min(max_batch_size, fit)
        if num_slots < 1:
            raise MemoryError(
                f"out of memory: room for {self.budget_tokens} tokens of "
                f"{self.cache.token_bytes} bytes, after what prefills and graphs need"
            )
        self.cache.reserve(num_slots=num_slots, slot_tokens=slot_tokens)
        self.rows = DeviceRows(num_slots, device)
