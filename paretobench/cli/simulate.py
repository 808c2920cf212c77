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
    from paretobench.cli.outcome import finish
    from paretobench.cli.progress import Progress
    from paretobench.core.errors import ScenarioError
    from paretobench.results.writer import check_free
    from paretobench.scenario import Overrides, load_scenario
    from paretobench.sweep.plan import plan_trials
    from paretobench.sweep.preflight import check_scenario, check_trials
    from paretobench.sweep.run import Sweep
    from paretobench.targets.serve import step_times
    from paretobench.targets.simulated import SimulatedTarget

    scenario = load_scenario(scenario_file, Overrides(seed=seed, repeats=repeats))
    if scenario.runner is None:
        raise ScenarioError(
            f"{scenario_file}: expected `runner: {{kind: latency_model, ...}}`, found `model:`; "
            "measure a model with `paretobench sweep`"
        )
    check_scenario(scenario)
    trials = plan_trials(scenario)
    check_trials(trials)
    folder = output_dir or Path("results") / f"{scenario.name}-simulated"
    if not (resume and (folder / "manifest.json").exists()):
        check_free(folder)
    interrupted = False
    try:
        with Progress(scenario, trials, [0.0] * len(trials)) as progress:
            target = SimulatedTarget(step_times(scenario.runner))
            Sweep(scenario, trials, target, progress).run(folder, resume=resume)
    except KeyboardInterrupt:
        interrupted = True
        if not (folder / "manifest.json").exists():
            raise
    finish(folder, command="simulate", interrupted=interrupted, json=json_output)
