"""What this machine does not do, known before anything is loaded."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.core.errors import ParetoBenchError
from paretobench.scenario.systems import LatencyModel, Model
from paretobench.targets.messages import CheckOptions
from paretobench.targets.worker_process import WorkerProcess
from paretobench.targets.worker_target import worker_environment

_TIMEOUT_S = 300.0  # torch is loaded, perhaps from a slow disk


def check_variants(variants: Sequence[tuple[str | None, Model | LatencyModel]]) -> None:
    """Raise UserInputError or EnvironmentUnfitError, with the variant's name, where this machine
    has not the device, the precision or the kernels that a model asks for.

    A worker of its own answers, since torch is not loaded here; it loads no weights.
    """
    models = [(name, system) for name, system in variants if isinstance(system, Model)]
    if not models:
        return
    worker = WorkerProcess(worker_environment(models[0][1]))
    try:
        for name, model in models:
            try:
                worker.ask(CheckOptions(model=model), _TIMEOUT_S)
            except ParetoBenchError as error:
                raise type(error)(f"variant {name}: {error}") from error
    finally:
        worker.stop()
