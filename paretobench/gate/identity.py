"""What a configuration measured, apart from which run of which scenario measured it."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from paretobench.analysis.configurations import Configuration
from paretobench.core.hashing import content_hash
from paretobench.core.points import OF_ONE_RUN, Settings
from paretobench.gate.sides import SideRuns

_SIGNIFICANT = 9
# how a rate ends a load's text: a replay gives as a rate what was a share of the capacity
_RATE = re.compile(r",? \S+(?: of capacity|/s)$")


def content_key(settings: Settings, *, tells_variants: bool) -> str:
    """Return 12 hex digits, the same for all that measured the same: workload, load at its rate,
    batching. Variants count only where `tells_variants`."""
    content: dict[str, Any] = asdict(settings)
    for name in (*OF_ONE_RUN, "fraction_of_capacity", *(() if tells_variants else ("variant",))):
        del content[name]
    rate = settings.offered_requests_per_s
    content["offered_requests_per_s"] = None if rate is None else f"{rate:.{_SIGNIFICANT}g}"
    content["load"] = load_shape(settings)
    return content_hash(content)


def load_shape(settings: Settings) -> str:
    """Return the load without its rate: `poisson`, `closed loop ×4`."""
    if settings.offered_requests_per_s is None:
        return settings.load
    return _RATE.sub("", settings.load)


def load_text(settings: Settings) -> str:
    """Return the load with its rate in requests/s, as far as it has one."""
    rate = settings.offered_requests_per_s
    shape = load_shape(settings)
    return shape if rate is None else f"{shape} {rate:.4g}/s"


def tells_variants(before: SideRuns, after: SideRuns) -> bool:
    """Return whether names of systems count: where a run has several. One system alone may be
    called anything."""
    return any(len(variants_of(side)) > 1 for side in (before, after))


def variants_of(side: SideRuns) -> list[str | None]:
    """Return the names of the systems measured."""
    configurations = side.side.report.configurations
    return list(dict.fromkeys(c.settings.variant for c in configurations))


def by_key(side: SideRuns, *, tells_variants: bool) -> dict[str, Configuration]:
    """Return the side's configurations by what they measured, in the report's order."""
    return {
        content_key(c.settings, tells_variants=tells_variants): c
        for c in side.side.report.configurations
    }
