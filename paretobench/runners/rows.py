"""The bookkeeping of slots for runners that compute nothing."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.core.values import Request
from paretobench.runners.base import Capacity, StepResult


class Rows:
    """Who holds a slot, how many tokens each is still owed, and the cache they fill."""

    def __init__(
        self,
        num_slots: int = 0,
        *,
        max_request_tokens: int | None = None,
        kv_budget_tokens: int | None = None,
        max_prefill_tokens: int | None = None,
    ) -> None:
        self._num_slots = num_slots
        self._max_request_tokens = max_request_tokens
        self._kv_budget_tokens = kv_budget_tokens
        self._max_prefill_tokens = max_prefill_tokens
        self._requests: dict[int, Request] = {}
        self._remaining: dict[int, int] = {}  # of those that decode and are owed a token
        self._prefilled: dict[int, int] = {}  # tokens done, of those whose prompt is not
        self._reserved_tokens = 0
        self.decode_kv_tokens = 0  # what the decode rows have in the cache

    def step(self, join: Sequence[Request]) -> StepResult:
        """Let `join` take slots; return a token (always 0) of every request that is owed one."""
        for request in join:
            assert request.request_id not in self._requests
            self._requests[request.request_id] = request
            self._prefilled[request.request_id] = 0
            self._reserved_tokens += request.prompt_tokens + request.output_tokens
        assert len(self._requests) <= self._num_slots, "more requests than slots"
        decode_rows = len(self._requests) - len(self._prefilled)
        kv_tokens = self.decode_kv_tokens
        num_prompts = prompt_tokens = 0
        remaining = self._remaining
        padded_rows = decode_rows - len(remaining)
        if self._prefilled:
            num_prompts, prompt_tokens, prompt_kv_tokens = self._prefill()
            kv_tokens += prompt_kv_tokens
        tokens = [(request_id, 0) for request_id in remaining]
        self.decode_kv_tokens += len(tokens)
        finished = []
        for request_id, owed in remaining.items():
            if owed == 1:
                finished.append(request_id)
            else:
                remaining[request_id] = owed - 1
        for request_id in finished:
            del remaining[request_id]
        return StepResult(tokens, decode_rows, padded_rows, num_prompts, prompt_tokens, kv_tokens)

    def leave(self, request_ids: Sequence[int]) -> None:
        """Free the slots of these requests."""
        for request_id in request_ids:
            request = self._requests.pop(request_id)
            self._reserved_tokens -= request.prompt_tokens + request.output_tokens
            if self._prefilled.pop(request_id, None) is None:
                owed = self._remaining.pop(request_id, 0)
                self.decode_kv_tokens -= request.prompt_tokens + request.output_tokens - owed

    def capacity(self) -> Capacity:
        """Return what fits now."""
        longest, budget = self._max_request_tokens, self._kv_budget_tokens
        if budget is not None:
            longest = budget if longest is None else min(longest, budget)
        return Capacity(
            free_slots=self._num_slots - len(self._requests),
            max_request_tokens=longest,
            free_kv_tokens=None if budget is None else budget - self._reserved_tokens,
        )

    def _prefill(self) -> tuple[int, int, int]:
        """Work on prompts, first come first served; return how many, their tokens, their cache."""
        left = self._max_prefill_tokens
        num_prompts = prompt_tokens = kv_tokens = 0
        for request_id, start in list(self._prefilled.items()):
            whole = self._requests[request_id].prompt_tokens
            end = whole if left is None else min(whole, start + left)
            if end == start:
                break
            num_prompts += 1
            prompt_tokens += end - start
            kv_tokens += end
            if left is not None:
                left -= end - start
            if end == whole:
                del self._prefilled[request_id]
                self._remaining[request_id] = self._requests[request_id].output_tokens
                self.decode_kv_tokens += whole
            else:
                self._prefilled[request_id] = end
        return num_prompts, prompt_tokens, kv_tokens
