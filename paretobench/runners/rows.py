"""The bookkeeping of slots for runners that compute nothing."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.core.values import Request
from paretobench.runners.base import Capacity


class Rows:
    """Who holds a slot, how many tokens each is still owed, and the cache they fill."""

    def __init__(self, num_slots: int = 0, max_request_tokens: int | None = None) -> None:
        self._num_slots = num_slots
        self._max_request_tokens = max_request_tokens
        self._requests: dict[int, Request] = {}
        self._remaining: dict[int, int] = {}  # of those that are owed a token
        self.kv_tokens = 0

    def __len__(self) -> int:
        return len(self._requests)

    def step(self, join: Sequence[Request]) -> list[tuple[int, int]]:
        """Let `join` take slots; return a token (always 0) of every request that is owed one."""
        for request in join:
            assert request.request_id not in self._requests
            self._requests[request.request_id] = request
            self._remaining[request.request_id] = request.output_tokens
            self.kv_tokens += request.prompt_tokens
        assert len(self._requests) <= self._num_slots, "more requests than slots"
        remaining = self._remaining
        tokens = [(request_id, 0) for request_id in remaining]
        self.kv_tokens += len(tokens)
        finished = []
        for request_id, owed in remaining.items():
            if owed == 1:
                finished.append(request_id)
            else:
                remaining[request_id] = owed - 1
        for request_id in finished:
            del remaining[request_id]
        return tokens

    def leave(self, request_ids: Sequence[int]) -> None:
        """Free the slots of these requests."""
        for request_id in request_ids:
            request = self._requests.pop(request_id)
            owed = self._remaining.pop(request_id, 0)
            self.kv_tokens -= request.prompt_tokens + request.output_tokens - owed

    def capacity(self) -> Capacity:
        """Return what fits now."""
        return Capacity(
            free_slots=self._num_slots - len(self._requests),
            max_request_tokens=self._max_request_tokens,
        )
