"""From a scenario's `model:` to a runner that has proved itself."""

from __future__ import annotations

import torch

from paretobench.core.errors import DeviceOutOfMemoryError, EnvironmentUnfitError
from paretobench.runners.torch.devices import resolve_device, resolve_dtype
from paretobench.runners.torch.models import load_model
from paretobench.runners.torch.runner import TorchRunner
from paretobench.scenario.schema import Model


def build_runner(model: Model, *, init_std: float | None = None) -> TorchRunner:
    """Return a runner of this model, checked against the model's own attention.

    Threads are the process's: set OMP_NUM_THREADS before torch is imported. `init_std` replaces
    the spread of a preset's random weights (tests want tokens that vary).
    Raises CheckpointError, EnvironmentUnfitError or UserInputError; see `load_model`.
    """
    device = resolve_device(model.device)
    dtype = resolve_dtype(model.dtype, device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    loaded = load_model(model, device=device, dtype=dtype, init_std=init_std)
    runner = TorchRunner(loaded.model, name=loaded.name, weights=loaded.weights)
    try:
        runner.check_against_reference()
    except DeviceOutOfMemoryError as error:
        raise EnvironmentUnfitError(
            f"{error}: the weights fit, but nothing beside them; choose a smaller model"
        ) from error
    return runner
