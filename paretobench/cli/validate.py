"""`paretobench validate` and `paretobench schema`."""

from __future__ import annotations

from paretobench.cli import options


def validate(scenario_file: options.ScenarioFile) -> None:
    """Check a scenario: its keys and values, its files, and that requests fit the model."""
    from paretobench.scenario import load_scenario
    from paretobench.sweep.plan import plan_trials
    from paretobench.sweep.preflight import check_scenario, check_trials

    scenario = load_scenario(scenario_file)
    check_scenario(scenario)
    trials = plan_trials(scenario)
    check_trials(trials)
    print(f"{scenario_file}: valid, {len(trials)} trials.", end=" ")
    print(f"Measure: paretobench sweep {scenario_file}")


def schema() -> None:
    """Print the JSON schema of a scenario, for editors and checks."""
    import json

    from paretobench.scenario import Scenario

    print(json.dumps(Scenario.model_json_schema(), indent=1))
