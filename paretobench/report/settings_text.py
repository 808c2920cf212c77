"""What a configuration sets, in the words that tell it from the others of its run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from paretobench.core.points import Settings
from paretobench.report.text import MISSING, memory_label, wait_label

# which settings a label may leave out, and where each of them acts
_ACTS: dict[str, Callable[[Settings], bool]] = {
    "policy": lambda _: True,
    "controller": lambda s: s.policy == "adaptive",
    "arrangement": lambda _: True,
    "mix_classes": lambda s: s.arrangement != "separate",
    "aging_ms": lambda s: s.arrangement == "priority",
    "preemption": lambda s: s.arrangement == "priority" and s.policy == "continuous",
    "max_batch_size": lambda s: s.arrangement != "separate",  # there it is the engines' sum
}
_POLICIES = ("static", "adaptive", "continuous")
_ARRANGEMENTS = ("shared", "priority", "separate")
_PREEMPTIONS = {
    "recompute": "preemption recomputes",
    "keep_kv": "preemption keeps KV",
    None: "no preemption",
}


def varied_settings(every: Iterable[Settings]) -> frozenset[str]:
    """Return the settings with several values among the configurations on which they act."""
    settings = list(every)
    return frozenset(
        name
        for name, acts in _ACTS.items()
        if len({getattr(s, name) for s in settings if acts(s)}) > 1
    )


def configuration_label(settings: Settings, varied: Collection[str] = ()) -> str:
    """Return what to set, and under which load: `batch 16, wait 50 ms, poisson 70% ...`.

    The name of the variant comes first where the scenario compares several systems; `varied` names
    what else tells this configuration from the others of its run.
    """
    named = settings.policy != "static" or "policy" in varied
    parts = [
        settings.variant or "",
        policy_label(settings) if named else "",
        batching_label(settings, varied),
        memory_label(settings),
        settings.load,
    ]
    return ", ".join(part for part in parts if part)


def policy_label(settings: Settings) -> str:
    """Return the policy, with what moves its limit: `adaptive aimd, p95 SLA 500 ms`."""
    return " ".join(part for part in (settings.policy, settings.controller) if part)


def batching_label(settings: Settings, varied: Collection[str] = ()) -> str:
    """Return the limits, each class's where it has its own, and what else varies.

    `priority: interactive 8 / 50 ms, batch 64 / 5 s, mixed batches`
    """
    limits = settings.class_limits()
    if limits:
        adapts = settings.controller is not None
        shown = ", ".join(
            f"{name} ≤ {of_class['max_batch_size']}"
            if adapts
            else f"{name} {of_class['max_batch_size']} / "
            f"{wait_label(of_class['max_waiting_time_ms'])}"
            for name, of_class in limits.items()
        )
        parts = [f"{settings.arrangement}: {shown}"]
        if settings.arrangement == "priority" and "max_batch_size" in varied:
            parts.append(f"{settings.max_batch_size} in all")
    else:
        prefix = f"{settings.arrangement}: " if "arrangement" in varied else ""
        wait = "" if settings.controller else f", wait {wait_cell(settings)}"
        parts = [f"{prefix}batch {batch_cell(settings)}{wait}"]
    return ", ".join([*parts, *_sharing(settings, varied)])


def batch_cell(settings: Settings) -> str:
    """Return the batch size: `32`, `≤ 32` where it moves, `8/32` where each class has its own."""
    limits = settings.class_limits().values()
    size = "/".join(str(of_class["max_batch_size"]) for of_class in limits)
    return f"{'≤ ' if settings.controller else ''}{size or settings.max_batch_size}"


def wait_cell(settings: Settings) -> str:
    """Return the wait timeout, `—` where none acts on all requests."""
    acts = settings.controller is None and not settings.class_limits()
    return wait_label(settings.max_waiting_time_ms) if acts else MISSING


def _sharing(settings: Settings, varied: Collection[str]) -> list[str]:
    """Return how classes share a batch and an engine, as far as that varies and acts."""
    said = [name for name in varied if name in _ACTS and _ACTS[name](settings)]
    parts = []
    if "mix_classes" in said:
        parts.append("mixed batches" if settings.mix_classes else "one class a batch")
    if "aging_ms" in said:
        aging = settings.aging_ms
        parts.append("no aging" if aging is None else f"aging {wait_label(aging)}")
    if "preemption" in said:
        parts.append(_PREEMPTIONS.get(settings.preemption, str(settings.preemption)))
    return parts


def combination_label(settings: Settings, varied: Collection[str]) -> str:
    """Return the policy and the arrangement, as far as they vary: `continuous · priority`."""
    parts = []
    if "controller" in varied:
        parts.append(policy_label(settings))
    elif "policy" in varied:
        parts.append(settings.policy)
    if "arrangement" in varied:
        parts.append(settings.arrangement)
    return " · ".join(parts)


def family_label(settings: Settings, varied: frozenset[str]) -> str:
    """Return what a configuration is apart from its numbers: `continuous · priority · mixed`."""
    parts = [combination_label(settings, varied)]
    if "mix_classes" in varied and _ACTS["mix_classes"](settings):
        parts.append("mixed" if settings.mix_classes else "not mixed")
    parts += _sharing(settings, varied & {"preemption"})
    return " · ".join(part for part in parts if part)


def in_order(settings: Settings) -> tuple[bool, float, str, int, int, int, float]:
    """Return what to sort by: closed loops first, then by load, arrangement, size and policy."""
    rate = settings.offered_requests_per_s or settings.concurrency or 0.0
    return (
        settings.load_kind != "closed_loop",
        0.0 if settings.concurrency == settings.max_batch_size else rate,
        settings.load_kind,
        _place(_ARRANGEMENTS, settings.arrangement),
        settings.max_batch_size,
        _place(_POLICIES, settings.policy),
        settings.max_waiting_time_ms,
    )


def combination_order(settings: Settings) -> tuple[int, int]:
    """Return what to sort policies and arrangements by."""
    return _place(_ARRANGEMENTS, settings.arrangement), _place(_POLICIES, settings.policy)


def _place(names: tuple[str, ...], name: str) -> int:
    return names.index(name) if name in names else len(names)
