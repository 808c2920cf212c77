"""What `--run` asks of `paretobench limits`: a run's measured steps against the limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from paretobench.analysis.counts import ModelCounts, count_model
from paretobench.analysis.limits import MedianShares, trial_shares
from paretobench.core.ceilings import Ceilings
from paretobench.core.errors import EnvironmentUnfitError, RunFolderError, UserInputError
from paretobench.core.points import Settings
from paretobench.core.units import to_ms
from paretobench.results.reader import RunFolder, open_run
from paretobench.runners.checkpoint import check_checkpoint
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.systems import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSteps:
    """A trial's decode steps against the limit, and its steps that computed prompts.

    None where it had none, or where the device's rates were not measured.
    """

    settings: Settings
    decode: MedianShares | None
    prefill: MedianShares | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold; missing is None."""
        return {
            "trial_id": self.settings.trial_id,
            "max_batch_size": self.settings.max_batch_size,
            "max_waiting_time_ms": self.settings.max_waiting_time_ms,
            "load": self.settings.load,
            "decode": _medians(self.decode),
            "prefill": _medians(self.prefill),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSteps:
    """The measured steps of a run, a trial at a time."""

    path: Path
    name: str
    model: str
    counts: ModelCounts
    trials: tuple[TrialSteps, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold; the name, for a path is of one machine."""
        return {
            "name": self.name,
            "model": self.model,
            "dtype": self.counts.dtype,
            "quantization": self.counts.quantization,
            "trials": [trial.to_dict() for trial in self.trials],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRun:
    """A finished run of a model, with what its model reads and computes."""

    folder: RunFolder
    model: Model
    system: Mapping[str, Any]
    counts: ModelCounts

    def require_same_device(self, now: Mapping[str, Any]) -> None:
        """Raise EnvironmentUnfitError unless the run was made on the device described by `now`.

        That is the same kind of processor and, on a CPU, as many threads.
        """
        names = ["device_name"] + ([] if _is_cuda(self.system) else ["threads"])
        if _is_cuda(self.system) != _is_cuda(now):
            names = ["device"]
        for name in names:
            if self.system.get(name) != now.get(name):
                raise EnvironmentUnfitError(
                    f"{self.folder.path}: was measured with {name} {self.system.get(name)!r}, "
                    f"here it is {now.get(name)!r}; limits hold for the device that they were "
                    "measured on: run this command where the run was made"
                )


def open_measured_run(path: Path) -> MeasuredRun:
    """Return the run at `path`.

    Raises RunFolderError unless it holds a model's raw steps, UserInputError for a model that
    cannot be counted.
    """
    folder = open_run(path)
    if folder.manifest.get("provenance", {}).get("systems"):
        raise RunFolderError(
            f"{path}: expected the run of one model, found one of several variants; "
            "run each variant as a scenario of its own"
        )
    system = folder.manifest.get("provenance", {}).get("system") or {}
    section = folder.manifest.get("scenario", {}).get("model")
    if system.get("kind") != "torch" or section is None:
        raise RunFolderError(
            f"{path}: expected the run of a model, found one of {system.get('kind')!r}, which "
            "reads and multiplies nothing; give a folder that `paretobench sweep` wrote"
        )
    if not folder.trial_ids():
        raise RunFolderError(
            f"{path}: expected the raw steps in trials/, found none; give the folder with its raw "
            "files, or measure it again"
        )
    try:
        model = Model.model_validate(section)
    except ValidationError as error:
        raise RunFolderError(
            f"{path}: expected a model in manifest.json, found {section!r}"
        ) from error
    counts = count_model(
        _config(model), dtype=str(system["dtype"]), quantization=section.get("quantization")
    )
    return MeasuredRun(folder=folder, model=model, system=system, counts=counts)


def hold_against(run: MeasuredRun, ceilings: Ceilings) -> RunSteps:
    """Return the shares of the limit of every trial that has raw files."""
    trials = []
    for trial_id in run.folder.trial_ids():
        settings, trace = run.folder.read_trial(trial_id)
        decode, prefill = trial_shares(trace, run.counts, ceilings)
        trials.append(TrialSteps(settings=settings, decode=decode, prefill=prefill))
    return RunSteps(
        path=run.folder.path,
        name=str(run.folder.manifest["name"]),
        model=str(run.system["model"]),
        counts=run.counts,
        trials=tuple(trials),
    )


def _config(model: Model) -> Mapping[str, Any]:
    if model.preset is not None:
        return PRESETS[model.preset]
    if model.path is not None:
        config: Mapping[str, Any] = check_checkpoint(Path(model.path))
        return config
    raise UserInputError(
        f"--run: expected a preset or a checkpoint folder, whose configuration is at hand, found "
        f"the hub id {model.hub}; download it and run the sweep with --model FOLDER"
    )


def _is_cuda(system: Mapping[str, Any]) -> bool:
    return str(system.get("device")).startswith("cuda")


def _medians(medians: MedianShares | None) -> dict[str, Any] | None:
    if medians is None:
        return None
    return {
        "num_steps": medians.num_steps,
        "step_ms": to_ms(medians.duration_s),
        "least_step_ms": to_ms(medians.least_s),
        "share_of_limit": medians.share_of_limit,
        "mfu": medians.mfu,
        "mbu": medians.mbu,
        "binds": medians.binds,
    }
