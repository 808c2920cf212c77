"""The contract between the serving loop and whatever executes a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from paretobench.core.values import Request

Prompts: TypeAlias = Callable[[Request], NDArray[np.int64]]
"""Gives a request's prompt: token ids of shape [request.prompt_tokens]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What fits: free slots now, and the longest prompt + output ever (None: no limit)."""

    free_slots: int
    max_request_tokens: int | None


class Runner(Protocol):
    """Executes steps over slots that requests join and leave.

    A request stays in its slot from the step it joins in until `leave`. Every step computes a row
    for each request in a slot. A request that has its `output_tokens` yields nothing more, but its
    row is still computed until it leaves: that is what static batching costs.
    """

    def start_trial(
        self, *, max_batch_size: int, max_request_tokens: int, prompts: Prompts
    ) -> None:
        """Empty all slots and make room for `max_batch_size` requests of that many tokens.

        Raises DeviceOutOfMemoryError where there is no room; the runner can be used again.
        """

    def step(self, join: Sequence[Request]) -> Sequence[tuple[int, int]]:
        """Run one step; return `(request_id, token)` of every request that got a token.

        Decode rows of the requests in slots and the whole prompts of those that join are one
        packed batch. The tokens are on the host when this returns.
        Raises DeviceOutOfMemoryError; after it only `start_trial` may be called.
        """

    def leave(self, request_ids: Sequence[int]) -> None:
        """Free the slots of these requests."""

    def capacity(self) -> Capacity:
        """Return what fits now."""

    def warm_up(
        self, batch_sizes: Sequence[int], *, prompt_tokens: int, max_request_tokens: int
    ) -> None:
        """Run every batch size, so that nothing is built or tuned during a measurement.

        Prompts have `prompt_tokens`, slots hold `max_request_tokens`. Sizes for which the device
        has no memory are passed over. Leaves all slots empty.
        """
