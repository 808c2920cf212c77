"""`paretobench simulate`: the same sweep in virtual time."""

from __future__ import annotations

from pathlib import Path

from paretobench.cli import options


def simulate(
    scenario_file: options.ScenarioFile,
    seed: options.Seed = None,
    repeats: options.Repeats = None,
    output_dir: options.OutputDir = None,
    resume: options.Resume = False,
    json_output: options.Json = False,
) -> None:
    """Run the sweep of a latency-model scenario in virtual time: same policies, no device."""
    from paretobench.cli.measure import measure
    from paretobench.core.errors import ScenarioError
    from paretobench.scenario import Overrides, load_scenario
    from paretobench.sweep.plan import plan_trials
    from paretobench.sweep.preflight import check_scenario, check_trials
    from paretobench.targets.simulated import simulated_target

    scenario = load_scenario(scenario_file, Overrides(seed=seed, repeats=repeats))
    if scenario.runner is None:
        raise ScenarioError(
            f"{scenario_file}: expected `runner: {{kind: latency_model, ...}}`, found `model:`; "
            "measure a model with `paretobench sweep`"
        )
    check_scenario(scenario)
    trials = plan_trials(scenario)
    check_trials(trials)
    measure(
        scenario,
        trials,
        simulated_target(scenario),
        output_dir or Path("results") / f"{scenario.name}-simulated",
        durations_s=[0.0] * len(trials),  # virtual time takes next to none
        command="simulate",
        resume=resume,
        json=json_output,
    )
