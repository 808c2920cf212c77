"""What a sweep or a simulation measures: what its scenario plans, or with --like what a run did."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from paretobench.core.values import Trial
    from paretobench.scenario import Overrides, Scenario
    from paretobench.sweep.like import Like


def check_like(like: Path | None, **of_loads: object) -> None:
    """Exit 2 where an option that changes the loads is given beside --like."""
    given = [name for name, value in of_loads.items() if value is not None]
    if like is not None and given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise typer.BadParameter(f"--like replays the loads of {like}, found {options} beside it")


def plan(
    scenario_file: Path | None, overrides: Overrides, like: Path | None, *, simulated: bool
) -> tuple[Scenario, Sequence[Trial], Like | None]:
    """Return the scenario, its trials, and the replay that they are of; say what it leaves out.

    Raises UserInputError where a file is missing or wrong, or cannot be measured.
    """
    from paretobench.results import open_run
    from paretobench.scenario import load_scenario
    from paretobench.sweep.like import plan_like, scenario_of
    from paretobench.sweep.plan import plan_trials
    from paretobench.sweep.preflight import check_scenario, check_trials

    if scenario_file is None and like is None:
        raise typer.BadParameter("expected a SCENARIO file, or --like RUN, found neither")
    run = None if like is None else open_run(like)
    if scenario_file is not None:
        scenario = load_scenario(scenario_file, overrides)
    else:
        assert run is not None
        scenario = scenario_of(run, overrides)
    if run is None:
        check_scenario(scenario)
        trials: Sequence[Trial] = plan_trials(scenario)
        check_trials(trials)
        return scenario, trials, None
    replay = plan_like(run, scenario, seed=overrides.seed, simulated=simulated)
    check_scenario(replay.scenario)
    check_trials(replay.trials)
    for line in replay.notes:
        print(line, file=sys.stderr)
    if overrides.repeats is not None:
        print("--repeats is not used: the replayed run decides the repeats", file=sys.stderr)
    return replay.scenario, replay.trials, replay


def default_folder(name: str, replay: Like | None) -> Path:
    """Return where a run goes that was given no --output-dir."""
    return Path("results") / (name if replay is None else f"{name}-like")
