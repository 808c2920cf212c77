"""What a policy is told, and what it may answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from paretobench.core.values import CloseReason, LimitChange, Request
from paretobench.runners.base import Capacity

ONE_QUEUE = ""  # the lane of policies that keep one queue for all


class Slotted(Protocol):
    """A request that holds a slot, or held one until it was delivered."""

    request: Request

    @property
    def joined_s(self) -> float:
        """When it last joined a batch."""


@dataclass(slots=True, kw_only=True)  # one a step: frozen would take four times as long to make
class ServingState:
    """The system at a decision.

    `queues` has every lane in which anybody ever waited, each in order of arrival. `running` are
    those owed tokens, in order of joining; `num_running` also counts those that hold a slot until
    their batch is delivered. Those in `set_aside` wait, but hold their place in memory already.
    """

    now_s: float
    queues: Mapping[str, Sequence[Request]]
    running: Mapping[int, Slotted]
    num_running: int
    capacity: Capacity
    more_will_come: bool  # False: what is queued and running is all there will ever be
    set_aside: Set[int] = frozenset()

    @property
    def queue(self) -> Sequence[Request]:
        """The one queue of a policy that keeps one."""
        return self.queues.get(ONE_QUEUE, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The first `num_requests` of a lane, which join together, and why they do so now."""

    lane: str = ONE_QUEUE
    num_requests: int
    reason: CloseReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit:
    """Let the groups join, after those in `preempt` gave up their slots, and run a step.

    Groups are served in their order; a lane may have several, each behind the one before. Who does
    not fit into memory waits, and so do all behind who need any. Where none of them fits, the
    decision stands until one that runs ends, `until_s` comes or a request arrives.
    """

    groups: tuple[Group, ...]
    preempt: tuple[int, ...] = ()
    until_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Continue:
    """Run a step for those that run; nobody joins.

    It stands for every step until a running request ends, `until_s` comes, or, with
    `until_arrival`, a request arrives: a simulation may run those as one.
    """

    until_s: float | None = None
    until_arrival: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Run nothing until `until_s` or the next arrival; None: until the next arrival."""

    until_s: float | None


Decision: TypeAlias = Admit | Continue | Hold


class Policy(Protocol):
    """Decides what the system does next. Reads no clock, touches no device, never sleeps."""

    @property
    def delivers_at_batch_end(self) -> bool:
        """Whether results are held, and slots kept, until every request of the batch is done."""

    @property
    def limit_changes(self) -> Sequence[LimitChange]:
        """How the batch limit moved so far, and why."""

    def lane_of(self, request: Request) -> str:
        """Return the queue that a request waits in."""

    def decide(self, state: ServingState) -> Decision:
        """Return what to do at `state.now_s`."""

    def observe(self, delivered: Sequence[Slotted], now_s: float, queue_depth: int) -> None:
        """Learn that these were delivered together, while `queue_depth` requests waited."""


class OneQueue:
    """What policies have in common that keep one queue and a limit that does not move."""

    delivers_at_batch_end = False

    @property
    def limit_changes(self) -> Sequence[LimitChange]:
        """No change: the limit does not move."""
        return ()

    def lane_of(self, _request: Request) -> str:
        """Return the one lane."""
        return ONE_QUEUE

    def observe(self, delivered: Sequence[Slotted], now_s: float, queue_depth: int) -> None:
        """Learn nothing: the limit does not move."""
