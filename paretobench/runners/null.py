"""A runner that costs nothing: what a trial with it takes is the loop's own cost."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.core.values import Preemption, Request
from paretobench.runners.base import Capacity, Prompts, StepResult
from paretobench.runners.rows import Rows


class NullRunner:
    """Yields a token for everyone who is owed one, at once."""

    def __init__(self) -> None:
        self._rows = Rows()

    def start_trial(
        self,
        *,
        max_batch_size: int,
        max_request_tokens: int,
        prompts: Prompts,
        kv_budget_tokens: int | None = None,
        max_prefill_tokens_per_step: int | None = None,
        preemption: Preemption | None = None,
    ) -> None:
        """Empty all slots; prompts are never read."""
        self._rows = Rows(
            max_batch_size,
            max_request_tokens=max_request_tokens,
            kv_budget_tokens=kv_budget_tokens,
            max_prefill_tokens=max_prefill_tokens_per_step,
            preemption=preemption,
        )

    def step(self, join: Sequence[Request]) -> StepResult:
        """Return a token of every request that is owed one."""
        return self._rows.step(join)

    def leave(self, request_ids: Sequence[int]) -> None:
        """Free the slots of these requests."""
        self._rows.leave(request_ids)

    def settle(self) -> StepResult:
        """Return nothing: a step yields its own tokens."""
        return StepResult(())

    def preempt(self, request_ids: Sequence[int]) -> None:
        """Free the slots of requests that are owed tokens."""
        self._rows.preempt(request_ids)

    def capacity(self) -> Capacity:
        """Return what fits now."""
        return self._rows.capacity()

    def warm_up(
        self,
        batch_sizes: Sequence[int],
        *,
        prompt_tokens: int,
        max_request_tokens: int,
        max_prefill_tokens_per_step: int | None = None,
    ) -> None:
        """Do nothing."""
