"""Decode steps recorded once as CUDA graphs, and replayed: one launch for a whole step.

A graph is for a number of rows and a bound on their context; a step takes the smallest that it fits
in. Rows that only fill a bucket compute on the scratch slot.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch

from paretobench.runners.torch.attention import SlotAttention
from paretobench.runners.torch.backends import Backend
from paretobench.runners.torch.batch import PackedBatch
from paretobench.runners.torch.budget import free_bytes
from paretobench.runners.torch.device_rows import DeviceRows, sample
from paretobench.runners.torch.kernels import AttentionKernels
from paretobench.runners.torch.slots import SlotCache
from paretobench.runners.torch.table import SlotTable, StepPlan

logger = logging.getLogger(__name__)

Body: TypeAlias = Callable[[], None]
Capture: TypeAlias = Callable[[Body], Body]
"""Records what a function does on the device; calling the result does it again."""

_SMALLEST_KV_TOKENS = 256
_STEP_ROWS = 8  # above the powers of two


def row_buckets(max_rows: int) -> list[int]:
    """Return the numbers of rows that graphs are recorded for: at most 8 rows are void.

    >>> row_buckets(20)
    [1, 2, 4, 8, 16, 20]
    """
    sizes = [1, 2, 4, *range(_STEP_ROWS, max_rows, _STEP_ROWS)]
    return [*(size for size in sizes if size < max_rows), max_rows]


def kv_buckets(slot_tokens: int) -> list[int]:
    """Return the bounds of context that graphs are recorded for: powers of two, then the slot.

    >>> kv_buckets(1056)
    [256, 512, 1024, 1056]
    """
    sizes = [_SMALLEST_KV_TOKENS]
    while 2 * sizes[-1] < slot_tokens:
        sizes.append(2 * sizes[-1])
    return [*(size for size in sizes if size < slot_tokens), slot_tokens]


class CudaCapture:
    """Records CUDA graphs that share one pool of memory, which the first and largest sizes."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, body: Body) -> Body:
        """Run `body` twice, so that nothing is built or tuned in the recording; record it."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            body()
            body()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            body()
        return graph.replay


class DecodeGraphs:
    """The recorded decode steps of one layout of slots."""

    def __init__(
        self,
        backend: Backend,
        cache: SlotCache,
        kernels: AttentionKernels,
        rows: DeviceRows,
        *,
        capture: Capture,
    ) -> None:
        self._backend = backend
        self._cache = cache
        self._kernels = kernels
        self._rows = rows
        self._capture = capture
        self._graphs: dict[tuple[int, int], Body] = {}
        self._row_buckets = row_buckets(cache.num_slots)
        self._kv_buckets = kv_buckets(cache.slot_tokens)
        self._uploaded = -1  # the version of the table that the device has
        self.capture_s = 0.0
        self._num_bytes = 0

    def __len__(self) -> int:
        return len(self._graphs)

    def record(self, *, max_rows: int, max_tokens: int) -> None:
        """Record what steps of up to `max_rows` rows and `max_tokens` of context replay.

        The largest first: the others then find their memory in its pool. All slots must be empty.
        """
        sizes = {
            (rows, tokens)
            for rows in self._row_buckets[: bisect_left(self._row_buckets, max_rows) + 1]
            for tokens in self._kv_buckets[: bisect_left(self._kv_buckets, max_tokens) + 1]
        }
        missing = sorted(sizes - self._graphs.keys(), reverse=True)
        if not missing:
            return
        begin_s = time.perf_counter()
        free_before = free_bytes(self._cache.device)
        self._rows.upload(SlotTable(0))  # every row computes on the scratch slot
        self._uploaded = -1
        for rows, tokens in missing:
            self._graphs[rows, tokens] = self._capture(partial(self._step, rows, tokens))
        self._num_bytes += max(0, free_before - free_bytes(self._cache.device))
        elapsed_s = time.perf_counter() - begin_s
        self.capture_s += elapsed_s
        logger.info("%d decode graphs recorded in %.1f s", len(missing), elapsed_s)

    def bytes_for(self, max_rows: int, max_tokens: int) -> int:
        """Return the memory that graphs up to this size take, judged by those recorded."""
        wanted = len(row_buckets(max_rows)) * len(kv_buckets(max_tokens))
        return self._num_bytes * wanted // max(1, len(self._graphs))

    def forget(self) -> None:
        """Have the next `sync` bring everything to the device: the table is another."""
        self._uploaded = -1

    def sync(self, table: SlotTable) -> None:
        """Bring the device's rows to where the table stands, if rows came, went or moved.

        To be called before the step to come is planned.
        """
        if self._uploaded != table.version and table.num_decode:
            self._rows.upload(table)
            self._uploaded = table.version

    def replay(self, plan: StepPlan) -> torch.Tensor:
        """Queue a step's decode rows; return what they report, [rows], on the device."""
        num_rows, kv_tokens = plan.num_decode, int(plan.positions.max()) + 1
        self._graphs[
            self._row_buckets[bisect_left(self._row_buckets, num_rows)],
            self._kv_buckets[bisect_left(self._kv_buckets, kv_tokens)],
        ]()
        return self._rows.reported[:num_rows]

    def _step(self, num_rows: int, kv_tokens: int) -> None:
        rows = self._rows
        tokens, positions, owed = (t[:num_rows] for t in (rows.tokens, rows.positions, rows.owed))
        batch = PackedBatch(
            token_ids=tokens,
            position_ids=positions,
            slots=rows.slots[:num_rows],
            num_decode=num_rows,
            kv_tokens=kv_tokens,
            groups=(),
            logit_rows=None,
        )
        attention = SlotAttention(batch, self._cache, self._kernels)
        sampled, reported = sample(self._backend.logits(batch, attention))
        is_owed = owed > 0
        tokens.copy_(torch.where(is_owed, sampled, tokens))
        rows.reported[:num_rows].copy_(reported)
        positions.add_(is_owed)
        owed.sub_(is_owed.long())
