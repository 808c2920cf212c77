"""How sampled tokens come back to the host."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from paretobench.runners.base import StepResult
from paretobench.runners.torch.table import StepPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrived:
    """A step that is done: what it computed, and the `(request_id, token)` that it gave."""

    plan: StepPlan
    tokens: list[tuple[int, int]]

    @classmethod
    def of(cls, plan: StepPlan, tokens: Sequence[int]) -> Arrived:
        """Return the step whose wanted rows gave `tokens`."""
        delivered = [(request_id, tokens[row]) for request_id, row in plan.deliveries]
        return cls(plan=plan, tokens=delivered)


def combined(steps: Sequence[Arrived]) -> StepResult:
    """Return what steps that are done gave and computed, as one."""
    plans = [step.plan for step in steps]
    return StepResult(
        tokens=[pair for step in steps for pair in step.tokens],
        decode_rows=sum(plan.num_decode for plan in plans),
        padded_rows=sum(plan.num_padded for plan in plans),
        num_prompts=sum(len(plan.chunks) for plan in plans),
        prompt_tokens=sum(plan.prompt_tokens for plan in plans),
        kv_tokens=sum(plan.kv_tokens for plan in plans),
        decode_kv_tokens=sum(plan.decode_kv_tokens for plan in plans),
    )


class Readback(Protocol):
    """Takes each step's reported tokens and hands them out when the host can see them."""

    def push(self, parts: Sequence[torch.Tensor], plan: StepPlan) -> None:
        """Take the tokens of a step that was just queued: its wanted rows, in parts."""

    def collect(self, *, wait_for_all: bool) -> list[Arrived]:
        """Return the steps that are done since the last call, in order.

        With `wait_for_all` everything pushed; else the newest step may stay away.
        """

    def clear(self) -> None:
        """Drop what was pushed, once the device is done with it."""


class ImmediateReadback:
    """Waits for each step: on a CPU its tokens are there when it returns."""

    def __init__(self) -> None:
        self._arrived: list[Arrived] = []

    def push(self, parts: Sequence[torch.Tensor], plan: StepPlan) -> None:
        """Take the tokens of a step; waits for them."""
        tokens = [token for part in parts for token in part.tolist()]
        self._arrived.append(Arrived.of(plan, tokens))

    def collect(self, *, wait_for_all: bool) -> list[Arrived]:
        """Return what was pushed since the last call."""
        del wait_for_all
        arrived, self._arrived = self._arrived, []
        return arrived

    def clear(self) -> None:
        """Drop what was pushed."""
        self._arrived = []


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnItsWay:
    tokens: torch.Tensor  # pinned, [rows]
    arrived: torch.cuda.Event
    plan: StepPlan


class LateReadback:
    """Reads each step's tokens while the next one runs: the device never waits for the host.

    The copy to pinned memory is queued behind the step itself, so the next step cannot overwrite
    what it reads, and an event tells when it is there. No other synchronisation takes place. Steps
    that give no token are waited for alike, so the host is never more than one step ahead.
    """

    def __init__(self) -> None:
        self._on_its_way: deque[_OnItsWay] = deque()

    def push(self, parts: Sequence[torch.Tensor], plan: StepPlan) -> None:
        """Queue the copy of a step's tokens."""
        num_rows = sum(len(part) for part in parts)
        tokens = torch.empty(num_rows, dtype=torch.int64, pin_memory=True)
        pieces = torch.split(tokens, [len(part) for part in parts])
        for piece, part in zip(pieces, parts, strict=True):
            piece.copy_(part, non_blocking=True)
        arrived = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrived.record()
        self._on_its_way.append(_OnItsWay(tokens=tokens, arrived=arrived, plan=plan))

    def collect(self, *, wait_for_all: bool) -> list[Arrived]:
        """Wait for all steps but the newest (or all), and return them."""
        found: list[Arrived] = []
        while len(self._on_its_way) > (0 if wait_for_all else 1):
            step = self._on_its_way.popleft()
            step.arrived.synchronize()
            found.append(Arrived.of(step.plan, step.tokens.tolist()))
        return found

    def clear(self) -> None:
        """Wait for what is on its way, and drop it."""
        while self._on_its_way:
            self._on_its_way.popleft().arrived.synchronize()
