"""What a policy is told, and what it may answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from paretobench.core.values import CloseReason, Request


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingState:
    """The system at a decision: `queue` is in order of arrival, `num_running` hold slots."""

    now_s: float
    queue: Sequence[Request]
    num_running: int
    more_will_come: bool  # False: what is queued and running is all there will ever be


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """Let the first `num_requests` of the queue join now, and run a step."""

    num_requests: int
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class Continue:
    """Run a step for those that run; nobody joins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Run nothing until `until_s` or the next arrival; None: until the next arrival."""

    until_s: float | None


Decision: TypeAlias = Admit | Continue | Hold


class Policy(Protocol):
    """Decides what the system does next. Reads no clock, touches no device, never sleeps."""

    delivers_at_batch_end: bool
    """Whether results are held, and slots kept, until every request of the batch is done."""

    def decide(self, state: ServingState) -> Decision:
        """Return what to do at `state.now_s`."""
