"""`paretobench simulate`: the same sweep in virtual time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from paretobench.cli import options
from paretobench.cli.replayed import default_folder, plan

if TYPE_CHECKING:
    from paretobench.core.values import Trial
    from paretobench.scenario import Scenario
    from paretobench.targets.simulated import SimulatedTarget

StepsFrom = Annotated[
    Path | None,
    typer.Option(
        "--steps-from",
        help="Run folder to whose steps the step times are fitted, in place of the scenario's.",
        show_default=False,
    ),
]


def simulate(
    scenario_file: options.OptionalScenarioFile = None,
    like: options.Like = None,
    steps_from: StepsFrom = None,
    seed: options.Seed = None,
    repeats: options.Repeats = None,
    no_confirm: options.NoConfirm = False,
    output_dir: options.OutputDir = None,
    resume: options.Resume = False,
    json_output: options.Json = False,
) -> None:
    """Run a sweep in virtual time: same policies, no device. Step times are those of a
    latency-model scenario, or fitted to a run's measured steps."""
    from paretobench.cli.measure import measure
    from paretobench.core.errors import ScenarioError
    from paretobench.scenario import Overrides
    from paretobench.sweep.estimate import no_time
    from paretobench.targets.simulated import simulated_target

    scenario, trials, replay = plan(
        scenario_file,
        Overrides(seed=seed, repeats=repeats, confirm=False if no_confirm else None),
        like,
        simulated=True,
    )
    if scenario.runner is None and steps_from is None:
        raise ScenarioError(
            f"{scenario_file or like}: expected `runner: {{kind: latency_model, ...}}`, found "
            "`model:`; fit step times to a run with --steps-from RUN, or measure with "
            "`paretobench sweep`"
        )
    measure(
        scenario,
        trials,
        simulated_target(scenario)
        if steps_from is None
        else _fitted_target(scenario, trials, steps_from),
        output_dir or default_folder(f"{scenario.name}-simulated", replay),
        estimate=no_time(trials),  # virtual time takes next to none
        command="simulate",
        resume=resume,
        json=json_output,
        like=replay,
    )


def _fitted_target(
    scenario: Scenario, trials: Sequence[Trial], steps_from: Path
) -> SimulatedTarget:
    """Return a simulation with the step times of a run; say on stderr what they rest on."""
    from paretobench.core.errors import ScenarioError
    from paretobench.sweep.step_fit import fit_run
    from paretobench.targets.simulated import SimulatedTarget

    if len(scenario.variants) > 1:
        raise ScenarioError(
            f"{scenario.name}: --steps-from gives the step times of one system, found "
            f"{len(scenario.variants)} in the scenario; keep one of them"
        )
    run = fit_run(steps_from)
    for line in (run.fit.summary(), *(f"extrapolated: {e}" for e in run.extrapolations(trials))):
        print(line, file=sys.stderr)
    ((_, system),) = scenario.variants
    if scenario.model is not None and run.model != system.model_dump(mode="json"):
        print(
            f"warning: {steps_from} is not a run of this scenario's model with these settings: "
            "the figures are those of the run's model",
            file=sys.stderr,
        )
    return SimulatedTarget(run.fit.times, run.describe())
