"""The scripts that nobody runs every day still find what they import."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from paretobench.scenario import load_scenario
from paretobench.sweep.estimate import estimate_sweep
from paretobench.sweep.plan import plan_trials

SCRIPTS = sorted((Path(__file__).parents[2] / "scripts").glob("*.py"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_can_be_imported(path: Path) -> None:
    assert callable(runpy.run_path(str(path))["main"])


def test_what_the_gpu_check_measures_fits_into_its_time() -> None:
    scenario = load_scenario(Path(__file__).parents[2] / "scripts" / "gpu_check.yaml")
    estimate = estimate_sweep(scenario, plan_trials(scenario))
    assert len({trial.repeat for trial in estimate.trials}) > 1  # or there were no band
    assert estimate.later
    assert estimate.planned_s + estimate.later_s < 220  # of a device slower than those at hand
