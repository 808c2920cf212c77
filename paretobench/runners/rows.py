"""The bookkeeping of slots for runners that compute nothing."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from paretobench.core.values import Preemption, Request
from paretobench.runners.base import Capacity, StepResult


class Rows:
    """Who holds a slot, how many tokens each is still owed, and the cache they fill.

    Rows that decode get a token in every step, so the step in which each has its last is known
    when it starts: nothing is counted row by row, and steps in which nobody joins, starts or ends
    can be counted as one.
    """

    def __init__(
        self,
        num_slots: int = 0,
        *,
        max_request_tokens: int | None = None,
        kv_budget_tokens: int | None = None,
        max_prefill_tokens: int | None = None,
        preemption: Preemption | None = None,
    ) -> None:
        self._num_slots = num_slots
        self._max_request_tokens = max_request_tokens
        self._kv_budget_tokens = kv_budget_tokens
        self._max_prefill_tokens = max_prefill_tokens
        self._preemption = preemption
        self._requests: dict[int, Request] = {}
        self._prefilled: dict[int, int] = {}  # tokens done, of those whose prompt is not
        self._had_tokens: dict[int, int] = {}  # of those that gave up a slot and are not back
        self._num_steps = 0
        self._last_step: dict[int, int] = {}  # of those owed a token: the step of their last
        self._ending: dict[int, list[int]] = {}  # the same by step
        self._end_steps: list[int] = []  # a heap of the keys of _ending, some of them stale
        self._reserved_tokens = 0
        self.decode_kv_tokens = 0  # what the decode rows have in the cache

    @property
    def num_decode_rows(self) -> int:
        """How many rows the next step decodes, if nobody joins."""
        return len(self._requests) - len(self._prefilled)

    @property
    def growth(self) -> int:
        """By how many tokens the cache of the decode rows grows in a step: one each owed one."""
        return len(self._last_step)

    def step(self, join: Sequence[Request]) -> StepResult:
        """Let `join` take slots; return a token (always 0) of every request that is owed one."""
        for request in join:
            self._join(request)
        assert len(self._requests) <= self._num_slots, "more requests than slots"
        decode_rows = self.num_decode_rows
        kv_tokens = decode_kv_tokens = self.decode_kv_tokens
        num_prompts = prompt_tokens = 0
        padded_rows = decode_rows - len(self._last_step)
        if self._prefilled:
            num_prompts, prompt_tokens, prompt_kv_tokens = self._prefill()
            kv_tokens += prompt_kv_tokens
        tokens = [(request_id, 0) for request_id in self._last_step]
        self._count_steps(1)
        return StepResult(
            tokens,
            decode_rows,
            padded_rows,
            num_prompts,
            prompt_tokens,
            kv_tokens,
            decode_kv_tokens,
        )

    def steps_alike(self) -> int:
        """Return how many steps from now differ in the cache's growth alone, at least 0.

        In the last of them somebody may get a last token; nobody's prompt is computed in any.
        """
        if self._prefilled or not self._last_step:
            return 0
        while self._end_steps[0] not in self._ending:
            heapq.heappop(self._end_steps)
        return self._end_steps[0] - self._num_steps

    def skip(self, num_steps: int) -> StepResult:
        """Count that many steps, at most `steps_alike`, as one; its `tokens` are left empty."""
        rows, growth = self.num_decode_rows, self.growth
        kv_tokens = num_steps * self.decode_kv_tokens + growth * num_steps * (num_steps - 1) // 2
        self._count_steps(num_steps)
        return StepResult(
            (),
            num_steps * rows,
            num_steps * (rows - growth),
            kv_tokens=kv_tokens,
            decode_kv_tokens=kv_tokens,
        )

    def leave(self, request_ids: Sequence[int]) -> None:
        """Free the slots of these requests."""
        for request_id in request_ids:
            self._remove(request_id)

    def preempt(self, request_ids: Sequence[int]) -> None:
        """Free the slots of these requests, who go on where they stopped when they join again."""
        assert self._preemption is not None, "start_trial says how"
        for request_id in request_ids:
            request = self._requests[request_id]
            owed = self._remove(request_id)
            self._had_tokens[request_id] = request.output_tokens - owed
            if self._preemption == "keep_kv":
                self._reserved_tokens += request.prompt_tokens + request.output_tokens

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

    def _join(self, request: Request) -> None:
        request_id = request.request_id
        assert request_id not in self._requests
        self._requests[request_id] = request
        had_tokens = self._had_tokens.get(request_id)
        if self._preemption == "keep_kv" and had_tokens is not None:
            if had_tokens:
                del self._had_tokens[request_id]
                self._start_decoding(request, had_tokens)
            else:
                self._prefilled[request_id] = 0
            return
        self._prefilled[request_id] = 0
        self._reserved_tokens += request.prompt_tokens + request.output_tokens

    def _start_decoding(self, request: Request, had_tokens: int) -> None:
        """Owe the request its tokens from the coming step on; its cache holds the rest."""
        last_step = self._num_steps + request.output_tokens - had_tokens
        self._last_step[request.request_id] = last_step
        self.decode_kv_tokens += request.prompt_tokens + had_tokens
        if last_step not in self._ending:
            self._ending[last_step] = []
            heapq.heappush(self._end_steps, last_step)
        self._ending[last_step].append(request.request_id)

    def _count_steps(self, num_steps: int) -> None:
        self.decode_kv_tokens += num_steps * len(self._last_step)
        self._num_steps += num_steps
        for request_id in self._ending.pop(self._num_steps, ()):
            del self._last_step[request_id]

    def _remove(self, request_id: int) -> int:
        """Take a request out of its slot; return how many tokens it is owed."""
        request = self._requests.pop(request_id)
        self._reserved_tokens -= request.prompt_tokens + request.output_tokens
        if self._prefilled.pop(request_id, None) is not None:
            return request.output_tokens - self._had_tokens.get(request_id, 0)
        owed = 0
        last_step = self._last_step.pop(request_id, None)
        if last_step is not None:
            owed = last_step - self._num_steps
            self._ending[last_step].remove(request_id)
            if not self._ending[last_step]:
                del self._ending[last_step]
        self.decode_kv_tokens -= request.prompt_tokens + request.output_tokens - owed
        return owed

    def _prefill(self) -> tuple[int, int, int]:
        """Work on prompts, first come first served; return how many, their tokens, their cache."""
        left = self._max_prefill_tokens
        num_prompts = prompt_tokens = kv_tokens = 0
        for request_id, start in list(self._prefilled.items()):
            request = self._requests[request_id]
            had_tokens = self._had_tokens.get(request_id, 0)
            whole = request.prompt_tokens + had_tokens
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
                self._had_tokens.pop(request_id, None)
                self._start_decoding(request, had_tokens)
            else:
                self._prefilled[request_id] = end
        return num_prompts, prompt_tokens, kv_tokens
