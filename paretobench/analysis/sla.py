"""What requests must keep to, and whether they did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.latencies import (
    e2e_latency_s,
    time_per_output_token_s,
    time_to_first_token_s,
)
from paretobench.core.units import to_s
from paretobench.core.values import RequestRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class SlaLimits:
    """What one request must keep to, in seconds; None is no limit."""

    e2e_s: float | None = None
    ttft_s: float | None = None
    tpot_s: float | None = None

    @property
    def any_set(self) -> bool:
        """Return whether there is any limit."""
        return any(limit is not None for limit in (self.e2e_s, self.ttft_s, self.tpot_s))

    def is_met(self, record: RequestRecord) -> bool:
        """Return whether the request was delivered inside every limit."""
        if record.status != "finished":
            return False
        tpot_s = time_per_output_token_s(record)
        return not any(
            limit is not None and value is not None and value > limit
            for limit, value in (
                (self.e2e_s, e2e_latency_s(record)),
                (self.ttft_s, time_to_first_token_s(record)),
                (self.tpot_s, tpot_s),
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLevels:
    """The limits of every request: its class's own where classes are told apart, else `default`."""

    default: SlaLimits = field(default_factory=SlaLimits)
    by_class: Mapping[str, SlaLimits] = field(default_factory=dict)

    def of(self, class_name: str) -> SlaLimits:
        """Return the limits of a class's requests."""
        return self.by_class.get(class_name, self.default)

    def is_met(self, record: RequestRecord) -> bool:
        """Return whether a request was delivered inside every limit of its class."""
        return self.of(record.class_name).is_met(record)

    def outcomes(self, measured: Sequence[RequestRecord]) -> NDArray[np.float64]:
        """Return 1 for each request that kept its limits and 0 for others, of those with any."""
        limited = [record for record in measured if self.of(record.class_name).any_set]
        return np.array([self.is_met(record) for record in limited], dtype=float)

    @property
    def any_set(self) -> bool:
        """Return whether any request has a limit."""
        return self.default.any_set or any(sla.any_set for sla in self.by_class.values())


def service_levels(scenario: Mapping[str, Any]) -> ServiceLevels:
    """Return the limits that a scenario sets, as its file or a manifest holds it."""
    sections = scenario.get("classes") or {}
    return ServiceLevels(
        default=_limits(scenario.get("sla") or {}, "e2e_ms", "ttft_ms", "tpot_ms"),
        by_class={
            name: _limits(section, "latency_sla_ms", "ttft_sla_ms", "tpot_sla_ms")
            for name, section in sections.items()
        },
    )


def _limits(section: Mapping[str, Any], e2e: str, ttft: str, tpot: str) -> SlaLimits:
    def seconds(name: str) -> float | None:
        limit_ms = section.get(name)
        return None if limit_ms is None else to_s(limit_ms)

    return SlaLimits(e2e_s=seconds(e2e), ttft_s=seconds(ttft), tpot_s=seconds(tpot))
