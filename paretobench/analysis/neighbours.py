"""What lies one step away from a configuration among those that were swept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from paretobench.analysis.configurations import Configuration
from paretobench.core.metrics import qualified
from paretobench.core.points import OF_ONE_RUN, Settings

_STEPPED = ("max_batch_size", "max_waiting_time_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """The configuration with the next swept value of one setting, all else equal.

    `setting` is `max_batch_size` or `max_waiting_time_ms`, of one class where each has its own.
    """

    setting: str
    step: Literal["down", "up"]
    value: float
    configuration: Configuration


def neighbours_of(
    chosen: Configuration, configurations: Sequence[Configuration]
) -> list[Neighbour]:
    """Return the neighbours in batch and wait, down before up; at most one each way.

    Clients that match the batch size step with it. A value that was not swept is no neighbour.
    """
    steps, rest = _coordinates(chosen.settings)
    apart: dict[str, list[tuple[float, Configuration]]] = {}
    for other in configurations:
        others, its_rest = _coordinates(other.settings)
        differ = [name for name in steps if others.get(name) != steps[name]]
        if its_rest == rest and others.keys() == steps.keys() and len(differ) == 1:
            apart.setdefault(differ[0], []).append((others[differ[0]], other))
    found = []
    for setting in steps:
        at = steps[setting]
        below = [entry for entry in apart.get(setting, ()) if entry[0] < at]
        above = [entry for entry in apart.get(setting, ()) if entry[0] > at]
        if below:
            value, other = max(below, key=lambda entry: entry[0])
            found.append(Neighbour(setting=setting, step="down", value=value, configuration=other))
        if above:
            value, other = min(above, key=lambda entry: entry[0])
            found.append(Neighbour(setting=setting, step="up", value=value, configuration=other))
    return found


def _coordinates(settings: Settings) -> tuple[dict[str, float], Mapping[str, Any]]:
    """Return the settings that are stepped, and all others that decide a result."""
    rest = asdict(settings)
    for name in OF_ONE_RUN:
        del rest[name]
    if settings.load_kind == "closed_loop" and settings.concurrency == settings.max_batch_size:
        _, _, think = settings.load.partition(", ")  # it stands in the load's text alone
        rest |= {"concurrency": None, "load": f"match_batch {think}"}
    limits = settings.class_limits()
    if not limits:
        return {name: rest.pop(name) for name in _STEPPED}, rest
    if settings.arrangement == "separate":
        del rest["max_batch_size"]  # the engines' sum
    steps = {
        qualified(of_class, name): limits[of_class].pop(name)
        for of_class in limits
        for name in _STEPPED
    }
    return steps, {**rest, "class_batching": json.dumps(limits, sort_keys=True)}
