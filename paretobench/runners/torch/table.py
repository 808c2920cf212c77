"""Who sits in which slot, how far each is, and what the next step computes for whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretobench.core.values import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """The part of a prompt that one step computes: `token_ids` go to positions from `start`."""

    slot: int
    start: int
    token_ids: NDArray[np.int64]  # [tokens]
    is_last: bool  # its last row gives the request's first token


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """What one step computes: rows of slots 0 to `num_decode`, then the chunks.

    `deliveries` are the requests that a token is owed to, each with the place of its row among the
    rows whose token is wanted: the decode rows, then the last chunks, in order.
    """

    num_decode: int
    num_padded: int  # decode rows of requests that already have all their tokens
    positions: NDArray[np.int64]  # [num_decode], where each row's token goes
    chunks: tuple[Chunk, ...]
    deliveries: tuple[tuple[int, int], ...]  # (request_id, row)

    @property
    def prompt_tokens(self) -> int:
        """How many tokens of prompts are computed."""
        return sum(len(chunk.token_ids) for chunk in self.chunks)

    @property
    def kv_tokens(self) -> int:
        """How many cache entries are attended to, those that the step writes included."""
        prompts = sum(chunk.start + len(chunk.token_ids) for chunk in self.chunks)
        return self.decode_kv_tokens + prompts

    @property
    def decode_kv_tokens(self) -> int:
        """How many of them are those of the decode rows."""
        return int(self.positions.sum()) + self.num_decode

    def without_decode_rows(self) -> StepPlan:
        """Return the chunks alone, for where decode rows are computed by themselves."""
        return StepPlan(
            num_decode=0,
            num_padded=0,
            positions=self.positions[:0],
            chunks=self.chunks,
            deliveries=(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where a request sits, and how far it is."""

    request: Request
    slot: int
    cached_tokens: int
    owed: int  # tokens
    decodes: bool  # its prompt is done

    @property
    def request_tokens(self) -> int:
        """Prompt and output: what the request needs of the cache at most."""
        return self.request.prompt_tokens + self.request.output_tokens


class SlotTable:
    """The bookkeeping of slots; the device computes what it plans, in the order that it plans.

    Occupied slots are the first `num_rows`: decoding ones first, then those whose prompt is not
    done, in the order they joined. Everything is counted when a step is planned, not when its
    tokens are seen: how many tokens a request gets is known beforehand. A request that has all its
    tokens keeps its row, at a position that no longer moves.
    """

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self.num_decode = 0
        self.version = 0  # grows whenever rows come, go or move
        self._requests: list[Request] = []  # by slot
        self._slot_of: dict[int, int] = {}
        self._prompts: list[NDArray[np.int64]] = []  # of the slots from num_decode on
        # of each slot: tokens in the cache, and tokens still owed
        self._positions = np.zeros(num_slots, np.int64)
        self._owed = np.zeros(num_slots, np.int64)
        self._reserved_tokens = 0

    @property
    def num_rows(self) -> int:
        """How many slots are occupied."""
        return len(self._requests)

    @property
    def reserved_tokens(self) -> int:
        """Prompt and output of all that hold a slot: what they will need of the cache at most."""
        return self._reserved_tokens

    @property
    def positions(self) -> NDArray[np.int64]:
        """Where each decode row's next token goes, [num_decode]; a view."""
        return self._positions[: self.num_decode]

    @property
    def owed(self) -> NDArray[np.int64]:
        """How many tokens each decode row is still owed, [num_decode]; a view."""
        return self._owed[: self.num_decode]

    @property
    def cached_tokens(self) -> int:
        """How many entries of the cache are in use."""
        return int(self._positions[: self.num_rows].sum())

    def join(self, request: Request, prompt: NDArray[np.int64]) -> None:
        """Give the request the next slot; its prompt is computed in steps to come.

        Where it had tokens before, they follow its own prompt in `prompt`.
        """
        assert request.request_id not in self._slot_of, "a request joins once"
        slot = self.num_rows
        assert slot < self.num_slots, "more requests than slots"
        self._slot_of[request.request_id] = slot
        self._requests.append(request)
        self._prompts.append(prompt)
        self._positions[slot] = 0
        self._owed[slot] = request.output_tokens - (len(prompt) - request.prompt_tokens)
        self._reserved_tokens += request.prompt_tokens + request.output_tokens

    def seat(self, request_id: int) -> Seat:
        """Return where a request that has a slot sits."""
        slot = self._slot_of[request_id]
        return Seat(
            request=self._requests[slot],
            slot=slot,
            cached_tokens=int(self._positions[slot]),
            owed=int(self._owed[slot]),
            decodes=slot < self.num_decode,
        )

    def rejoin(self, seats: Sequence[Seat]) -> list[tuple[int, int, int]]:
        """Give requests that decoded when they left the slots after the decoding rows.

        Returns the moves that make room for them, to be carried out in this order, as `leave` does:
        rows whose prompt is not done all move down. Then the cache of each is to be put back.
        """
        first, num_rows, count = self.num_decode, self.num_rows, len(seats)
        assert num_rows + count <= self.num_slots, "more requests than slots"
        assert all(seat.decodes for seat in seats)
        self._requests += [seat.request for seat in seats]
        moves = [self._move(slot, slot + count) for slot in reversed(range(first, num_rows))]
        for slot, seat in enumerate(seats, start=first):
            assert seat.request.request_id not in self._slot_of, "a request joins once"
            self._slot_of[seat.request.request_id] = slot
            self._requests[slot] = seat.request
            self._positions[slot] = seat.cached_tokens
            self._owed[slot] = seat.owed
            self._reserved_tokens += seat.request_tokens
        self.num_decode += count
        self.version += 1
        return [move for move in moves if move[2]]

    def plan(self, max_prefill_tokens: int | None) -> StepPlan | None:
        """Return the next step and count it as computed; None where nobody is owed anything.

        At most `max_prefill_tokens` of prompts are computed, first come first served.
        """
        rows = self.num_decode
        owed = self._owed[:rows] > 0
        num_owed = int(owed.sum())
        if not num_owed and not self._prompts:
            return None
        chunks = self._chunks(max_prefill_tokens)
        positions = self._positions[:rows].copy()
        requests = self._requests
        deliveries = [(requests[row].request_id, row) for row in np.flatnonzero(owed).tolist()]
        self._positions[:rows] += owed
        self._owed[:rows] -= owed
        wanted = rows
        for chunk in chunks:
            self._positions[chunk.slot] += len(chunk.token_ids)
            if chunk.is_last:
                self._owed[chunk.slot] -= 1
                deliveries.append((requests[chunk.slot].request_id, wanted))
                wanted += 1
        if wanted > rows:
            del self._prompts[: wanted - rows]
            self.num_decode = wanted
            self.version += 1
        return StepPlan(
            num_decode=rows,
            num_padded=rows - num_owed,
            positions=positions,
            chunks=tuple(chunks),
            deliveries=tuple(deliveries),
        )

    def leave(self, request_ids: Sequence[int]) -> list[tuple[int, int, int]]:
        """Free these requests' slots; return the moves `(from slot, to slot, tokens)` that close
        the holes, to be carried out in this order.

        A hole among decoding rows takes the last of them; rows whose prompt is not done all move
        up, so that they stay in order. At most one of those has anything in the cache to move,
        unless prompts left half done.
        """
        if not request_ids:
            return []
        self.version += 1
        gone = set()
        for request_id in request_ids:
            slot = self._slot_of.pop(request_id)
            gone.add(slot)
            request = self._requests[slot]
            self._reserved_tokens -= request.prompt_tokens + request.output_tokens
        decode = self.num_decode
        decode_stay = decode - sum(slot < decode for slot in gone)
        sources = [slot for slot in range(decode_stay, decode) if slot not in gone]
        targets = sorted(slot for slot in gone if slot < decode_stay)
        moves = list(zip(sources, targets, strict=True))
        prefilling = [slot for slot in range(decode, self.num_rows) if slot not in gone]
        moves += [
            (source, target)
            for target, source in enumerate(prefilling, start=decode_stay)
            if source != target
        ]
        self._prompts = [self._prompts[slot - decode] for slot in prefilling]
        done = [self._move(source, target) for source, target in moves]
        self.num_decode = decode_stay
        del self._requests[decode_stay + len(prefilling) :]
        return [move for move in done if move[2]]

    def _chunks(self, max_prefill_tokens: int | None) -> list[Chunk]:
        left = max_prefill_tokens
        chunks = []
        for slot, prompt in enumerate(self._prompts, start=self.num_decode):
            start = int(self._positions[slot])
            end = len(prompt) if left is None else min(len(prompt), start + left)
            if end == start:
                break
            chunks.append(
                Chunk(
                    slot=slot,
                    start=start,
                    token_ids=prompt[start:end],
                    is_last=end == len(prompt),
                )
            )
            if left is not None:
                left -= end - start
        return chunks

    def _move(self, source: int, target: int) -> tuple[int, int, int]:
        request = self._requests[source]
        self._requests[target] = request
        self._slot_of[request.request_id] = target
        for values in (self._positions, self._owed):
            values[target] = values[source]
        return source, target, int(self._positions[source])
