"""Configurations grouped into the lines that a figure draws."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from paretobench.analysis.configurations import Configuration
from paretobench.report.settings_text import family_label, in_order, varied_settings
from paretobench.report.text import memory_label, one_line

CLOSED_LOOP = "closed_loop"


def load_families(
    configurations: Sequence[Configuration],
    *,
    by_limits: bool = True,
    by_combination: bool = True,
    by_variant: bool = True,
) -> dict[str, list[Configuration]]:
    """Return the configurations under each load, by a name that stays along a sweep of batch sizes.

    Closed loops whose number of clients follows the batch size are one family. With several
    workloads each has families of its own; and unless told otherwise with several policies or
    arrangements, KV budgets or prefill limits, or several variants.
    """
    variants = {c.settings.variant for c in configurations}
    workloads = {c.settings.workload for c in configurations}
    varied = varied_settings(c.settings for c in configurations)
    limits = {memory_label(c.settings) for c in configurations}
    sizes: dict[str, set[int]] = {}
    for c in configurations:
        sizes.setdefault(c.settings.load, set()).add(c.settings.max_batch_size)
    families: dict[str, list[Configuration]] = {}
    for c in configurations:
        parts = [_load_family(c, sizes[c.settings.load])]
        if by_variant and len(variants) > 1:
            parts.insert(0, c.settings.variant or "")
        if len(workloads) > 1:
            parts.append(c.settings.workload)
        if by_combination:
            parts.append(family_label(c.settings, varied))
        if by_limits and len(limits) > 1:
            parts.append(memory_label(c.settings) or "no KV limit")
        families.setdefault(one_line(" · ".join(filter(None, parts)), limit=64), []).append(c)
    if varied & {"policy", "controller", "arrangement"}:  # else in the order measured
        families = dict(sorted(families.items(), key=lambda kv: in_order(kv[1][0].settings)))
    return families


def _load_family(configuration: Configuration, sizes: set[int]) -> str:
    settings = configuration.settings
    if settings.load_kind != CLOSED_LOOP or len(sizes) > 1:
        return settings.load
    matched = settings.concurrency == settings.max_batch_size
    return "closed loop, clients = batch size" if matched else "closed loop"


def prefer_closed_loop(configurations: Iterable[Configuration]) -> list[Configuration]:
    """Return the closed-loop configurations, or all where there is none."""
    every = list(configurations)
    return [c for c in every if c.settings.load_kind == CLOSED_LOOP] or every


def one_limit(configurations: Iterable[Configuration]) -> list[Configuration]:
    """Return the configurations with one batch size and one wait for all their requests."""
    return [c for c in configurations if not c.settings.class_batching]


def by_wait(configurations: Iterable[Configuration]) -> dict[float, list[Configuration]]:
    """Return the configurations of each wait timeout in ms, by rising batch size."""
    groups: dict[float, list[Configuration]] = {}
    for c in configurations:
        groups.setdefault(c.settings.max_waiting_time_ms, []).append(c)
    return {
        wait: sorted(groups[wait], key=lambda c: c.settings.max_batch_size)
        for wait in sorted(groups)
    }


def by_batch_size(configurations: Iterable[Configuration]) -> dict[int, list[Configuration]]:
    """Return the configurations of each batch size, by rising wait timeout."""
    groups: dict[int, list[Configuration]] = {}
    for c in configurations:
        groups.setdefault(c.settings.max_batch_size, []).append(c)
    return {
        size: sorted(groups[size], key=lambda c: c.settings.max_waiting_time_ms)
        for size in sorted(groups)
    }


def finite(configuration: Configuration, metric: str) -> float | None:
    """Return a figure that can be drawn, None if it is missing or infinite."""
    value = configuration.figures.get(metric)
    return value if value is not None and math.isfinite(value) else None


def batch_sizes(configurations: Iterable[Configuration]) -> list[int]:
    """Return the batch sizes swept, rising."""
    return sorted({c.settings.max_batch_size for c in configurations})


def largest(families: dict[str, list[Configuration]], count: int) -> list[str]:
    """Return the names of the `count` families with most configurations, in their own order."""
    ranked = sorted(families, key=lambda name: -len(families[name]))[:count]
    return [name for name in families if name in ranked]
