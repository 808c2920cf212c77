"""The contract between the serving loop and whatever executes a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from paretobench.core.values import Preemption, Request

Prompts: TypeAlias = Callable[[Request], NDArray[np.int64]]
"""Gives a request's prompt: token ids of shape [request.prompt_tokens]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What fits: free slots and cache tokens now, and the longest prompt + output ever.

    A request takes its prompt and output of `free_kv_tokens` from the step it joins in until it
    leaves. None: no limit.
    """

    free_slots: int
    max_request_tokens: int | None
    free_kv_tokens: int | None = None


class StepResult(NamedTuple):
    """What the host can see after a step: `(request_id, token)`, and what was computed for them.

    Of `decode_rows`, `padded_rows` are of requests that have all their tokens. `num_prompts` and
    `prompt_tokens` count prompts worked on and tokens of them; `kv_tokens` the cache entries
    attended to, `decode_kv_tokens` those of the decode rows alone.
    """

    tokens: Sequence[tuple[int, int]]
    decode_rows: int = 0
    padded_rows: int = 0
    num_prompts: int = 0
    prompt_tokens: int = 0
    kv_tokens: int = 0
    decode_kv_tokens: int = 0


class Runner(Protocol):
    """Executes steps over slots that requests join and leave.

    A request stays in its slot from the step it joins in until `leave`. Every step computes a row
    for each request in a slot whose prompt is done. A request that has its `output_tokens` yields
    nothing more, but its row is still computed until it leaves: that is what static batching costs.
    """

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
        """Empty all slots and make room for `max_batch_size` requests of that many tokens.

        Where memory holds fewer, `capacity` has fewer slots. `kv_budget_tokens` limits the sum of
        prompt and output over all that hold a slot. A step computes at most
        `max_prefill_tokens_per_step` of prompts, so a long one comes in chunks. `preemption` says
        what `preempt` does; None: it will not be called.
        Raises DeviceOutOfMemoryError where there is no room; the runner can be used again.
        """

    def step(self, join: Sequence[Request]) -> StepResult:
        """Run one step over the requests in slots and those that join, who must fit.

        The result may be that of the step before: a runner need not wait for its device. Once
        nobody is owed anything that was not computed, a step returns what remains.
        Raises DeviceOutOfMemoryError or another TrialError; after it only `start_trial` may be
        called.
        """

    def leave(self, request_ids: Sequence[int]) -> None:
        """Free the slots of these requests."""

    def settle(self) -> StepResult:
        """Return the tokens that were computed and not seen yet, with nothing further computed.

        Empty where the runner waits for its device in every step.
        """

    def preempt(self, request_ids: Sequence[int]) -> None:
        """Free the slots of requests that are owed tokens; `settle` must have been called.

        One that joins again, as the same request, goes on where it stopped: no token is lost or
        yielded twice. With `recompute` its cache is given up, and the tokens it had are part of
        the prompt that is computed when it joins again. With `keep_kv` its cache is set aside (and
        counts in `free_kv_tokens` all the while) and put back: it decodes in the very step that it
        joins in, and no prompt is computed. One that had no token yet starts its prompt anew.
        """

    def capacity(self) -> Capacity:
        """Return what fits now."""

    def warm_up(
        self,
        batch_sizes: Sequence[int],
        *,
        prompt_tokens: int,
        max_request_tokens: int,
        max_prefill_tokens_per_step: int | None = None,
    ) -> None:
        """Run every batch size, so that nothing is built or tuned during a measurement.

        Prompts have `prompt_tokens`, slots hold `max_request_tokens`. Sizes for which the device
        has no memory are passed over. Leaves all slots empty.
        """


@runtime_checkable
class SkippingRunner(Runner, Protocol):
    """A runner that knows its steps beforehand, and can take many as one in virtual time."""

    def run_alike(self, now_s: float, *, until_s: float) -> tuple[list[float], StepResult]:
        """Take steps in which nobody joins, nobody's prompt is computed and nobody ends, the last
        of them aside, up to the first that ends at `until_s` or later.

        Return when each ends, from `now_s` on, and the sum of what was computed, its `tokens` left
        empty: everybody that is owed tokens gets one in each. No step: nothing was done. No time
        passes on any clock.
        """
