"""Controllers against fixed settings: who is compared with whom, and what came out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from paretobench.analysis.phases import PhaseFigures
from paretobench.analysis.regret import Regret, regret_of
from paretobench.core.points import Settings
from paretobench.core.profiles import Phase
from paretobench.report.courses import Course, mean_phases
from paretobench.report.text import memory_label, wait_label


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """Controllers and fixed settings under one load: figures by phase, by name, and regrets.

    `courses` are the controllers' first repeats, by name; `variant` is None where one system runs.
    """

    variant: str | None
    load: str
    workload: str
    fixed: dict[str, tuple[PhaseFigures, ...]]
    controllers: dict[str, tuple[PhaseFigures, ...]]
    courses: dict[str, Course]
    regrets: tuple[Regret, ...]

    @property
    def phases(self) -> list[Phase]:
        """The phases of the cycle, in order."""
        return [figures.phase for figures in next(iter(self.controllers.values()))]

    @property
    def label(self) -> str:
        """Under what they met: variant, load and workload."""
        under = f"{self.load} ({self.workload})"
        return under if self.variant is None else f"{self.variant}, {under}"


def find_contests(courses: Sequence[Course]) -> list[Contest]:
    """Return a contest for each load and workload that has a controller and a fixed setting."""
    groups: dict[tuple[str, str, str | None], dict[str, list[Course]]] = {}
    for course in courses:
        settings = course.point.settings
        group = groups.setdefault((settings.workload, settings.load, settings.variant), {})
        group.setdefault(settings.configuration_id, []).append(course)
    contests = []
    for (workload, load, variant), configurations in groups.items():
        named = _named(list(configurations.values()))
        adaptive = {n: r for n, r in named.items() if r[0].point.settings.controller is not None}
        fixed = {n: mean_phases(r) for n, r in named.items() if n not in adaptive}
        if not adaptive or not fixed:
            continue
        controllers = {n: mean_phases(r) for n, r in adaptive.items()}
        contests.append(
            Contest(
                variant=variant,
                load=load,
                workload=workload,
                fixed=fixed,
                controllers=controllers,
                courses={n: r[0] for n, r in adaptive.items()},
                regrets=tuple(regret_of(n, f, fixed) for n, f in controllers.items()),
            )
        )
    return contests


def _named(configurations: Sequence[list[Course]]) -> dict[str, list[Course]]:
    """Return the configurations by a name that is as short as it can be, and each one's own."""
    settings = [repeats[0].point.settings for repeats in configurations]
    names = [_name(s) for s in settings]
    for name in {name for name in names if names.count(name) > 1}:
        alike = [i for i, other in enumerate(names) if other == name]
        details = {i: _details(settings[i]) for i in alike}
        shared = set.intersection(*(set(found) for found in details.values()))
        for i, found in details.items():
            names[i] = ", ".join([name, *(part for part in found if part not in shared)])
    if len(set(names)) < len(names):
        names = [f"{i}. {name}" for i, name in enumerate(names, start=1)]
    return dict(zip(names, configurations, strict=True))


def _name(settings: Settings) -> str:
    if settings.controller is not None:
        return f"{settings.controller.split(',')[0]} ≤ {settings.max_batch_size}"
    wait = settings.max_waiting_time_ms
    return f"{settings.policy} {settings.max_batch_size}" + (
        f", wait {wait_label(wait)}" if wait else ""
    )


def _details(settings: Settings) -> list[str]:
    """Return what else can differ between configurations under one load."""
    limits = [
        f"{name} {limit['max_batch_size']}, {wait_label(limit['max_waiting_time_ms'])}"
        for name, limit in settings.class_limits().items()
    ]
    parts = [
        *(settings.controller or "").split(", ")[1:],
        settings.arrangement,
        f"({'; '.join(limits)})" if limits else "",
        "mixed classes" if settings.mix_classes else "",
        memory_label(settings),
    ]
    return [part for part in parts if part]


def regret_mapping(regret: Regret) -> dict[str, Any]:
    """Return a regret in values that JSON can hold."""
    return {
        **asdict(regret),
        "goodput_regret": regret.goodput_regret,
        "beats_best_single": regret.beats_best_single,
        "phases": [
            {**asdict(p), "goodput_regret": p.goodput_regret, "p95_regret": p.p95_regret}
            for p in regret.phases
        ],
    }
