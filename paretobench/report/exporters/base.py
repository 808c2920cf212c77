"""What an exporter is: it says an operating point in the settings of one kind of server."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Mapped = Literal["exact", "approximate", "absent"]
_WIDTH = 98


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassQueue:
    """A class's queue in a server of several, with its limits; a higher `priority` goes first."""

    name: str
    max_batch_size: int
    max_waiting_time_ms: float
    priority: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One engine to deploy: all of an operating point, or of one class where each has an engine.

    `controller` moves the batch limit, `max_batch_size` is then its ceiling. `queues` has the
    classes of arrangement `priority`, highest first; empty elsewhere. With `one_class_a_batch`
    several classes reach it, and none shares a batch with another.
    """

    class_name: str | None
    policy: str
    max_batch_size: int
    max_waiting_time_ms: float
    controller: str | None
    kv_budget_tokens: int | None
    max_prefill_tokens_per_step: int | None
    device_share: float | None
    queues: tuple[ClassQueue, ...]
    one_class_a_batch: bool
    aging_ms: float | None
    preemption: str | None

    @property
    def levels(self) -> dict[str, int]:
        """Return each class's priority level: 1 is the highest, equal priorities share one."""
        ranks = sorted({queue.priority for queue in self.queues}, reverse=True)
        return {queue.name: ranks.index(queue.priority) + 1 for queue in self.queues}

    @property
    def shortest_wait_ms(self) -> float:
        """Return the wait under which no class is held longer than it was when measured."""
        waits = [queue.max_waiting_time_ms for queue in self.queues]
        return min(waits, default=self.max_waiting_time_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """An operating point to deploy: the lines that introduce it, its entry in
    operating_points.yaml, and its servers."""

    name: str
    header: tuple[str, ...]
    entry: Mapping[str, Any]
    servers: tuple[Server, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """How one of our settings is said there; `absent`: it cannot be."""

    mapped: Mapped
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The settings of one server. `body` is in the server's own format, without comments."""

    class_name: str | None
    body: str
    notes: tuple[Note, ...]


class Exporter(Protocol):
    """Says an operating point in one server's settings. Every format's comments begin with #."""

    def __call__(self, deployment: Deployment) -> tuple[Document, ...]:
        """Return the settings, one document a server."""
        ...


def common_notes(server: Server) -> list[Note]:
    """Return what no server knows: controllers, batches of one class, shares of the device."""
    notes = []
    if server.one_class_a_batch:
        notes.append(Note(mapped="absent", text="mix_classes false: a batch may hold any classes"))
    if server.controller is not None:
        notes.append(
            Note(
                mapped="absent",
                text=f"the controller ({server.controller}): nothing here moves the batch limit; "
                f"{server.max_batch_size} is the highest that it may choose, and what was "
                "measured was the controller, not this fixed limit",
            )
        )
    if server.device_share is not None:
        notes.append(
            Note(
                mapped="absent",
                text=f"device_share {server.device_share:g}: start this server on that share of "
                "the device (cores; on a GPU, MPS or MIG)",
            )
        )
    return notes


def unequal_queue_notes(server: Server) -> list[Note]:
    """Return that classes' own limits have no equivalent, where one server has a queue a class."""
    if not server.queues:
        return []
    limits = "; ".join(
        f"{queue.name} batch {queue.max_batch_size}, wait {queue.max_waiting_time_ms:g} ms"
        for queue in server.queues
    )
    notes = [Note(mapped="absent", text=f"limits of each class ({limits}): there is one of each")]
    if server.aging_ms is not None:
        notes.append(
            Note(
                mapped="absent",
                text=f"aging_ms {server.aging_ms:g}: a low class may starve here",
            )
        )
    return notes


def no_priority_notes(server: Server) -> list[Note]:
    """Return the notes of a server that knows no priorities, where the point has them."""
    if not server.queues:
        return []
    order = " > ".join(queue.name for queue in server.queues)
    return [
        Note(
            mapped="absent",
            text=f"priorities ({order}): requests are served in the order they come, so the "
            "figures of the higher classes do not hold",
        ),
        *unequal_queue_notes(server),
    ]


def request_level_notes(server: Server) -> list[Note]:
    """Return what a continuous point loses on a server that batches whole requests."""
    if server.policy != "continuous":
        return []
    return [
        Note(
            mapped="absent",
            text="policy continuous: batches are of whole requests here, none joins or leaves a "
            "batch that runs, so the measured figures do not hold unless the model behind it "
            "batches continuously itself",
        ),
        *prefill_notes(server),
    ]


def prefill_notes(server: Server) -> list[Note]:
    """Return that the limit on prompt tokens has no equivalent, where the point has one."""
    if server.max_prefill_tokens_per_step is None:
        return []
    return [
        Note(
            mapped="absent",
            text=f"max_prefill_tokens_per_step {server.max_prefill_tokens_per_step}: a matter of "
            "the model behind it",
        )
    ]


def kv_notes(server: Server) -> list[Note]:
    """Return that the KV budget has no equivalent, where the point has one."""
    if server.kv_budget_tokens is None:
        return []
    return [
        Note(
            mapped="absent",
            text=f"kv_budget_tokens {server.kv_budget_tokens}: a matter of the model behind it",
        )
    ]


def comment(text: str, *, indent: str = "") -> str:
    """Return a text as comment lines; further lines stand under `indent`.

    >>> comment("batch 16")
    '# batch 16'
    """
    return "\n".join(
        textwrap.wrap(
            text,
            _WIDTH,
            initial_indent="# ",
            subsequent_indent=f"# {indent}",
            break_long_words=False,
            break_on_hyphens=False,
        )
    )
