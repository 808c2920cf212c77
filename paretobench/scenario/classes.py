"""The classes section of a scenario: mixed traffic, and what each class needs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag
from pydantic_core import PydanticCustomError

from paretobench.scenario.batching import Batching, ClassBatchingSection
from paretobench.scenario.fields import StrictModel
from paretobench.scenario.traffic import Lengths, Positive

PRIORITIES = {"low": 0, "normal": 1, "high": 2}
ClassName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$", max_length=40)]


def _number_or_word(value: Any) -> str:
    return "word" if isinstance(value, str) else "number"


Priority = Annotated[
    Annotated[Literal["low", "normal", "high"], Tag("word")]
    | Annotated[Annotated[int, Field(ge=0)], Tag("number")],
    Discriminator(_number_or_word),
]


class TrafficClass(StrictModel):
    """One class of requests: its share of the traffic, its lengths and its limits.

    `device_share` is what its engine has of the device under arrangement `separate`; without one
    the classes share it equally.
    """

    share: Annotated[float, Field(gt=0, le=1)]
    """The share of the requests that are of this class; shares sum to 1."""
    prompt_tokens: Lengths
    """Lengths of the prompts."""
    output_tokens: Lengths
    """Lengths of the answers; each request is served to its own."""
    batching: ClassBatchingSection | None = None
    """The class's own limits, where it has a queue or an engine of its own."""
    priority: Priority = "normal"
    """Who goes first: a word (low is 0, normal 1, high 2) or a number, higher first."""
    latency_sla_ms: Positive | None = None
    """What the E2E latency of one request must keep to."""
    ttft_sla_ms: Positive | None = None
    """What the time to the first token of one request must keep to."""
    tpot_sla_ms: Positive | None = None
    """What the time per output token of one request must keep to."""
    device_share: Annotated[float, Field(gt=0, lt=1)] | None = None
    """The engine's share of the device under arrangement `separate`; every class names one, or
    none does."""

    @property
    def rank(self) -> int:
        """The priority as a number: a higher one goes first."""
        return PRIORITIES[self.priority] if isinstance(self.priority, str) else self.priority

    @property
    def has_sla(self) -> bool:
        """Whether there is any limit on a request of this class."""
        return any((self.latency_sla_ms, self.ttft_sla_ms, self.tpot_sla_ms))


def check_classes(classes: Mapping[str, TrafficClass], batching: Batching) -> None:
    """Raise PydanticCustomError where shares or settings of the classes do not go together."""
    if "all" in classes:
        raise PydanticCustomError("class_all", "a class cannot be called all: that is their sum")
    total = math.fsum(c.share for c in classes.values())
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise PydanticCustomError(
            "shares", "classes: shares must sum to 1, found {total}", {"total": f"{total:g}"}
        )
    of_their_own = [name for name in batching.arrangement if name != "shared"]
    if not of_their_own:
        return
    if len(classes) < 2:
        raise PydanticCustomError(
            "one_class",
            "arrangement {name} needs at least two classes, found {count}",
            {"name": of_their_own[0], "count": len(classes)},
        )
    for name, section in classes.items():
        if section.batching is None:
            raise PydanticCustomError(
                "class_batching",
                "classes.{name}: arrangement {arrangement} needs batching with max_batch_size and "
                "max_waiting_time_ms, found none",
                {"name": name, "arrangement": of_their_own[0]},
            )
    if "separate" in of_their_own:
        check_device_shares(classes)


def check_device_shares(classes: Mapping[str, TrafficClass]) -> None:
    """Raise PydanticCustomError unless all classes or none have a share, at most 1 together."""
    given = [c.device_share for c in classes.values() if c.device_share is not None]
    if given and len(given) < len(classes):
        raise PydanticCustomError(
            "device_shares", "classes: give every class a device_share, or none"
        )
    if math.fsum(given) > 1 + 1e-9:
        raise PydanticCustomError(
            "device_shares",
            "classes: device_share must sum to at most 1, found {total}",
            {"total": f"{math.fsum(given):g}"},
        )
