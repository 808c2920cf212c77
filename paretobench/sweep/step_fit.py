"""Step times fitted to the steps of a run folder."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretobench.analysis.step_model import StepFit, fit_step_times
from paretobench.core.errors import RunFolderError
from paretobench.core.values import Trial
from paretobench.results import RunFolder, open_run
from paretobench.workload.lengths import max_prompt_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFit:
    """Step times fitted to the run `name`; `steps_hash` tells its raw step files."""

    name: str
    steps_hash: str
    model: Mapping[str, Any] | None  # of the run's scenario; None where it had none
    fit: StepFit

    def describe(self) -> dict[str, Any]:
        """Return what a simulation with these times says of itself in its manifest."""
        return {
            "model": f"step times fitted to the run {self.name!r}",
            "fitted_from": self.name,
            "fitted_from_hash": self.steps_hash,
            "step_fit": self.fit.describe(),
        }

    def extrapolations(self, trials: Sequence[Trial]) -> list[str]:
        """Return what the trials ask for beyond what the run's steps had, in words."""
        said = []
        batch_size = max(trial.batching.max_batch_size for trial in trials)
        if batch_size > self.fit.batch_sizes[1]:
            said.append(f"batch size up to {batch_size}, fitted up to {self.fit.batch_sizes[1]}")
        longest = max(max_prompt_tokens(trial.workload) for trial in trials)
        seen = self.fit.prompt_tokens
        if seen is None or longest > seen[1]:
            most = 0 if seen is None else seen[1]
            said.append(f"prompts of up to {longest} tokens, fitted up to {most} a step")
        return said


def fit_run(path: Path) -> RunFit:
    """Return the step times fitted to all trials of a run folder.

    Raises RunFolderError where there is no run, it has no raw files, one is damaged, or no step
    decodes.
    """
    run = open_run(path)
    trial_ids = run.trial_ids()
    if not trial_ids:
        raise RunFolderError(
            f"{path}: expected raw step files under trials/, found none; give a run folder as "
            "`paretobench sweep` leaves it (committed results hold no raw files)"
        )
    scenario = run.manifest.get("scenario") or {}
    if isinstance(scenario.get("model"), list):
        raise RunFolderError(
            f"{path}: expected a run of one system, found one of {len(scenario['model'])}; one "
            "step-time model cannot be fitted to all, give the run of one of them"
        )
    traces = (run.read_trial(trial_id)[1] for trial_id in trial_ids)
    # an engine with a share of the device has times of its own
    fit = fit_step_times([[s for s in trace.steps if s.engine is None] for trace in traces])
    if fit is None:
        raise RunFolderError(
            f"{path}: expected steps that decode, found none in {len(trial_ids)} trials; fit to a "
            "run whose requests have more than one output token"
        )
    return RunFit(
        name=str(run.manifest.get("name") or path.resolve().name),
        steps_hash=_steps_hash(run, trial_ids),
        model=scenario.get("model"),
        fit=fit,
    )


def _steps_hash(run: RunFolder, trial_ids: Sequence[str]) -> str:
    digest = hashlib.sha256()
    for trial_id in sorted(trial_ids):
        digest.update((run.path / "trials" / trial_id / "steps.parquet").read_bytes())
    return digest.hexdigest()[:12]
