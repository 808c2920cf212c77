"""Who sits in which slot, how far each is, and the token it feeds next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paretobench.core.values import Request


class SlotTable:
    """The rows of a batch: occupied slots are always the first `num_rows`.

    A request that has all its tokens keeps its row, at a position that no longer moves.
    """

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self._request_ids: list[int] = []
        self._slot_of: dict[int, int] = {}
        # of each slot: tokens in the cache, the token to feed next, tokens still owed
        self._positions = np.zeros(num_slots, np.int64)
        self._tokens = np.zeros(num_slots, np.int64)
        self._owed = np.zeros(num_slots, np.int64)

    @property
    def num_rows(self) -> int:
        """How many slots are occupied."""
        return len(self._request_ids)

    @property
    def positions(self) -> NDArray[np.int64]:
        """Where each row's next token goes, [num_rows]; a view."""
        return self._positions[: self.num_rows]

    @property
    def tokens(self) -> NDArray[np.int64]:
        """The token that each row feeds next, [num_rows]; a view."""
        return self._tokens[: self.num_rows]

    def advance(self, join: Sequence[Request], tokens: NDArray[np.int64]) -> list[tuple[int, int]]:
        """Take one step's tokens, [rows + joiners]; return those that were owed to a request.

        `join` takes the next slots, in its order.
        """
        rows = self.num_rows
        self._positions[:rows] += self._owed[:rows] > 0
        for slot, request in enumerate(join, start=rows):
            assert request.request_id not in self._slot_of, "a request joins once"
            self._slot_of[request.request_id] = slot
            self._request_ids.append(request.request_id)
            self._positions[slot] = request.prompt_tokens
            self._owed[slot] = request.output_tokens
        rows = self.num_rows
        assert tokens.shape == (rows,)  # [rows + joiners]
        owed = self._owed[:rows] > 0
        self._tokens[:rows][owed] = tokens[owed]
        self._owed[:rows] -= owed
        got = zip(self._request_ids, tokens.tolist(), owed.tolist(), strict=True)
        return [(request_id, token) for request_id, token, is_owed in got if is_owed]

    def leave(self, request_ids: Sequence[int]) -> list[tuple[int, int, int]]:
        """Free these requests' slots; return the moves `(from slot, to slot, tokens)` that close
        the holes, at most one a hole and none where nobody stays.
        """
        holes = {self._slot_of.pop(request_id) for request_id in request_ids}
        stay = self.num_rows - len(holes)
        sources = [slot for slot in range(stay, self.num_rows) if slot not in holes]
        targets = sorted(slot for slot in holes if slot < stay)
        moves = []
        for source, target in zip(sources, targets, strict=True):
            for values in (self._positions, self._tokens, self._owed):
                values[target] = values[source]
            request_id = self._request_ids[source]
            self._request_ids[target] = request_id
            self._slot_of[request_id] = target
            moves.append((source, target, int(self._positions[source])))
        del self._request_ids[stay:]
        return moves
