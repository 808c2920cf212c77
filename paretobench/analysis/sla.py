"""What requests must keep to, and whether they did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.latencies import (
    e2e_latency_s,
    time_per_output_token_s,
    time_to_first_token_s,
)
from paretobench.core.columns import Bools, RequestColumns
from paretobench.core.units import to_s


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

    def met(self, requests: RequestColumns) -> Bools:
        """Return which requests were delivered inside every limit."""
        met = requests.status.says("finished")
        for limit, latency_s in (
            (self.e2e_s, e2e_latency_s),
            (self.ttft_s, time_to_first_token_s),
            (self.tpot_s, time_per_output_token_s),
        ):
            if limit is not None:
                met &= ~(latency_s(requests) > limit)  # what is not defined is no miss
        return met


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceLevels:
    """The limits of every request: its class's own where classes are told apart, else `default`."""

    default: SlaLimits = field(default_factory=SlaLimits)
    by_class: Mapping[str, SlaLimits] = field(default_factory=dict)

    def of(self, class_name: str) -> SlaLimits:
        """Return the limits of a class's requests."""
        return self.by_class.get(class_name, self.default)

    def met(self, requests: RequestColumns) -> Bools:
        """Return which requests were delivered inside every limit of their class."""
        met = np.zeros(len(requests), dtype=bool)
        for name in requests.class_name.present():
            own = np.flatnonzero(requests.class_name.says(name))
            met[own] = self.of(name or "").met(requests.where(own))
        return met

    def outcomes(self, measured: RequestColumns) -> NDArray[np.float64]:
        """Return 1 for each request that kept its limits and 0 for others, of those with any."""
        names = [n for n in measured.class_name.present() if self.of(n or "").any_set]
        limited = np.zeros(len(measured), dtype=bool)
        for name in names:
            limited |= measured.class_name.says(name)
        return self.met(measured)[limited].astype(float)

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
