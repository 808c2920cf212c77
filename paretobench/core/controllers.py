"""What moves the batch limit of the adaptive policy, with every constant a parameter.

`latency_sla_s` is the E2E latency that a controller steers by; `recent` how many of the last
delivered requests it looks at.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, TypeAlias

from paretobench.core.units import to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdController:
    """Additive steps on the mean of recent latencies.

    Over `high` x SLA the limit falls by `step`; under `low` x SLA, with more than
    `min_queue_depth` waiting, it rises by `step`.
    """

    kind: Literal["threshold"] = "threshold"
    latency_sla_s: float
    initial_batch_size: int = 1
    recent: int = 32
    step: int = 4
    high: float = 1.2
    low: float = 0.5
    min_queue_depth: int = 10

    def __str__(self) -> str:
        return _described(self, f"threshold, SLA {self.latency_sla_s * 1e3:g} ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class AimdController:
    """Additive increase while the `percentile` of recent latencies keeps the SLA and requests
    wait; multiplicative decrease where it does not."""

    kind: Literal["aimd"] = "aimd"
    latency_sla_s: float
    initial_batch_size: int = 1
    recent: int = 32
    percentile: float = 95.0
    increase: int = 1
    decrease_factor: float = 0.5

    def __str__(self) -> str:
        return _described(self, f"aimd, p{self.percentile:g} SLA {self.latency_sla_s * 1e3:g} ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelController:
    """Fits duration = a * batch size + c to the `recent` batches and takes the largest batch that
    leaves the oldest waiting request inside its SLA, with `margin` of the SLA to spare."""

    kind: Literal["model"] = "model"
    latency_sla_s: float
    initial_batch_size: int = 1
    recent: int = 32
    margin: float = 0.1

    def __str__(self) -> str:
        return _described(self, f"model, SLA {self.latency_sla_s * 1e3:g} ms")


Controller: TypeAlias = ThresholdController | AimdController | ModelController


def constants_json(controller: Controller) -> str:
    """Return every constant of a controller as JSON, its SLA as `latency_sla_ms`."""
    constants: dict[str, Any] = asdict(controller)
    latency_sla_ms = to_ms(constants.pop("latency_sla_s"))
    return json.dumps({**constants, "latency_sla_ms": latency_sla_ms})


def _described(controller: Controller, head: str) -> str:
    """Return the head, and what is not at its default, so that two controllers read apart."""
    said = ("kind", "latency_sla_s", "percentile")
    changed = [
        f"{field.name.replace('_', ' ')} {getattr(controller, field.name):g}"
        for field in fields(controller)
        if field.name not in said and getattr(controller, field.name) != field.default
    ]
    return ", ".join([head, *changed])
