"""What a sweep measures next, from what it has measured so far.

First the trials of the scenario; then further repeats of what is not known precisely enough; then
the frontier and what is chosen for a goal again with fresh seeds, until all of those were measured
again, in at most MAX_ROUNDS. Which trials come next follows from the planned ones and their points
alone, so that a sweep that was killed goes on as it would have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paretobench.analysis.configurations import Configuration, combine_repeats
from paretobench.analysis.frontier import find_frontier
from paretobench.analysis.operating_points import Goal, choose_all
from paretobench.analysis.precision import too_wide, wanted_half_widths
from paretobench.core.points import Point
from paretobench.core.values import Stage, Trial
from paretobench.scenario import Scenario
from paretobench.sweep.plan import repeat_of, shuffled

MAX_ROUNDS = 3  # a frontier may move when it is measured again; it need not come to rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Trials to measure before it is decided anew what comes next.

    `round_number` counts how often the frontier was chosen to be measured again: 0 while exploring.
    """

    trials: tuple[Trial, ...]
    round_number: int


def next_block(
    scenario: Scenario,
    planned: Sequence[Trial],
    points: Sequence[Point],
    *,
    round_number: int,
    measured_s: float,
) -> Block | None:
    """Return what to measure once every planned trial has its point; None when all is done.

    `planned` begins with the trials of `plan_trials`; `round_number` is that of the last block, and
    `measured_s` how long trials were served for in all.
    """
    configurations = combine_repeats(points)
    repeats = _one_more_of_each(scenario, planned, configurations, round_number, measured_s)
    if repeats:
        return Block(trials=_ordered(scenario, planned, [repeats]), round_number=round_number)
    if not scenario.measure.confirm or round_number >= MAX_ROUNDS:
        return None
    chosen = unconfirmed(scenario, configurations)
    if not chosen:
        return None
    base = _by_configuration(planned)
    times = {c.settings.configuration_id: c.num_repeats for c in chosen}
    blocks = [
        [
            repeat_of(scenario, base[found], repeat=repeat, stage="confirm")
            for found, num_repeats in times.items()
            if repeat < num_repeats
        ]
        for repeat in range(max(times.values()))
    ]
    return Block(trials=_ordered(scenario, planned, blocks), round_number=round_number + 1)


def unconfirmed(scenario: Scenario, configurations: Sequence[Configuration]) -> list[Configuration]:
    """Return the configurations, on the frontier or chosen for a goal, whose figures chose them."""
    axes = scenario.objectives
    front = find_frontier(configurations, throughput=axes.throughput, latency=axes.latency)
    points = choose_all(_goals(scenario), configurations, latency=axes.latency)
    chosen = [*front, *(p.configuration for p in points if p.configuration is not None)]
    by_id = {c.settings.configuration_id: c for c in chosen}
    return [c for c in by_id.values() if not c.is_confirmed]


def later_trials(
    scenario: Scenario, trials: Sequence[Trial], entries: Sequence[Mapping[str, Any]]
) -> list[Trial]:
    """Return the trials that a manifest's entries add to those of the scenario, in their order."""
    base = _by_configuration(trials)
    known = {trial.trial_id for trial in trials}
    found = []
    for entry in entries:
        trial = base.get(str(entry.get("configuration_id")))
        if trial is None or entry["trial_id"] in known:
            continue
        stage: Stage = "confirm" if entry["stage"] == "confirm" else "explore"
        again = repeat_of(scenario, trial, repeat=entry["repeat"], stage=stage)
        if again.trial_id == entry["trial_id"]:
            found.append(again)
    return found


def _one_more_of_each(
    scenario: Scenario,
    planned: Sequence[Trial],
    configurations: Sequence[Configuration],
    round_number: int,
    measured_s: float,
) -> list[Trial]:
    """Return a further repeat of each configuration that is not known precisely enough: while
    exploring of all, then of those that were measured again."""
    measure = scenario.measure
    if measure.precision is None or measured_s >= (measure.budget_s or np.inf):
        return []
    wanted = wanted_half_widths(
        measure.precision.model_dump(), throughput=scenario.objectives.throughput
    )
    stage: Stage = "confirm" if round_number else "explore"
    base = _by_configuration(planned)
    return [
        repeat_of(scenario, base[c.settings.configuration_id], repeat=c.num_repeats, stage=stage)
        for c in configurations
        if c.settings.stage == stage
        and c.is_valid
        and c.num_repeats < measure.max_repeats
        and too_wide(c, wanted)
    ]


def _goals(scenario: Scenario) -> list[Goal]:
    return [
        Goal(
            name=name,
            objective=goal.maximize or goal.minimize or "",  # a scenario gives exactly one
            maximize=goal.maximize is not None,
            subject_to=goal.subject_to,
        )
        for name, goal in scenario.operating_points.items()
    ]


def _by_configuration(planned: Sequence[Trial]) -> dict[str, Trial]:
    """Return one trial of each configuration."""
    return {trial.configuration_id: trial for trial in planned}


def _ordered(
    scenario: Scenario, planned: Sequence[Trial], blocks: Sequence[Sequence[Trial]]
) -> tuple[Trial, ...]:
    """Return the trials block by block, each in a random order that the seed and what stands
    before it decide."""
    rng = np.random.default_rng([scenario.measure.seed, len(planned)])
    return tuple(trial for block in blocks for trial in shuffled(block, rng))
