"""What requests that gave up their slots go on from when they join again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from paretobench.core.values import Preemption, Request
from paretobench.runners.torch.layout import Layout
from paretobench.runners.torch.table import Seat, SlotTable


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptCache:
    """The cache of a request without a slot, and what it feeds next."""

    seat: Seat  # as it was given up
    keys: torch.Tensor  # [layers, kv_heads, cached tokens, key_dim]
    values: torch.Tensor  # [layers, kv_heads, cached tokens, value_dim]
    last_token: torch.Tensor  # []


class Preempted:
    """The room of one trial's preempted requests.

    With `recompute` it holds the tokens that every request had so far: they follow its prompt when
    it joins again. With `keep_kv` it holds copies of the cache, beside the slots and on the same
    device. `preemption` None: nobody is ever preempted, and nothing is noted.
    """

    def __init__(self, preemption: Preemption | None, layout: Layout, table: SlotTable) -> None:
        self._preemption = preemption
        self._layout = layout
        self._table = table
        self._had: dict[int, list[int]] = {}  # recompute: of all who joined and did not leave
        self._kept: dict[int, KeptCache | None] = {}  # None: its prompt was not done
        self.reserved_tokens = 0  # prompt and output of those whose cache is kept

    def note(self, tokens: Sequence[tuple[int, int]]) -> None:
        """Take note of tokens that the host has seen."""
        if self._preemption == "recompute":
            for request_id, token in tokens:
                if request_id in self._had:  # else it left before the host saw this one
                    self._had[request_id].append(token)

    def forget(self, request_ids: Sequence[int]) -> None:
        """Drop what was noted of requests that left for good."""
        for request_id in request_ids:
            self._had.pop(request_id, None)

    def set_aside(self, request_ids: Sequence[int]) -> None:
        """Keep what these requests go on from; their slots can be freed then.

        Raises torch.OutOfMemoryError, MemoryError or RuntimeError where a copy finds no room.
        """
        assert self._preemption is not None, "start_trial says how"
        for request_id in request_ids:
            seat = self._table.seat(request_id)
            assert seat.owed, "a request that has all its tokens leaves"
            if self._preemption == "recompute":
                num_had = seat.request.output_tokens - seat.owed
                assert len(self._had[request_id]) == num_had, "settle comes first"
            else:
                self._kept[request_id] = self._copy(seat) if seat.decodes else None
                self.reserved_tokens += seat.request_tokens

    def take(self, request: Request) -> KeptCache | None:
        """Return what was kept of a request that joins, which is no longer kept here; else None."""
        if request.request_id not in self._kept:
            return None
        self.reserved_tokens -= request.prompt_tokens + request.output_tokens
        return self._kept.pop(request.request_id)

    def put_back(self, kept: Sequence[KeptCache]) -> None:
        """Give these requests rows that decode in the next step, with their cache as it was."""
        layout = self._layout
        first_slot = self._table.num_decode
        layout.move(self._table.rejoin([copy.seat for copy in kept]))
        for slot, copy in enumerate(kept, start=first_slot):
            layout.cache.paste(slot, copy.keys, copy.values)
            layout.rows.tokens[slot] = copy.last_token

    def whole_prompt(self, request: Request, prompt: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return all that is computed before the request goes on: its prompt and what it had."""
        if self._preemption != "recompute":
            return prompt
        had = self._had.setdefault(request.request_id, [])
        return np.concatenate([prompt, np.array(had, np.int64)]) if had else prompt

    def _copy(self, seat: Seat) -> KeptCache:
        keys, values = self._layout.cache.copy(seat.slot, seat.cached_tokens)
        last_token = self._layout.rows.tokens[seat.slot].clone()
        return KeptCache(seat=seat, keys=keys, values=values, last_token=last_token)
