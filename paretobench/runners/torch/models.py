"""From what a scenario names to a model on its device."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

from paretobench.core.errors import CheckpointError, ModelTooLargeError
from paretobench.runners.checkpoint import check_checkpoint
from paretobench.runners.torch.memory import is_out_of_memory
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.systems import Model

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A causal LM of transformers on its device, and what to call it."""

    model: Any
    name: str
    weights: str


def load_model(
    model: Model, *, device: torch.device, dtype: torch.dtype, init_std: float | None = None
) -> LoadedModel:
    """Return the model that the scenario names, on `device` in `dtype`.

    `init_std` replaces the architecture's own spread of random weights. Raises CheckpointError for
    a folder or id that does not hold a whole safetensors model, ModelTooLargeError where the device
    has no room for it.
    """
    try:
        if model.preset is not None:
            built = random_model(
                PRESETS[model.preset], device=device, dtype=dtype, seed=model.seed, std=init_std
            )
            return LoadedModel(model=built, name=model.preset, weights="random weights")
        if model.path is not None:
            folder = Path(model.path).expanduser()
            config = check_checkpoint(folder)
            _refuse_quantised(folder, config.get("quantization_config"))
            loaded = _from_pretrained(str(folder), dtype, local_files_only=True).to(device)
            return LoadedModel(model=loaded, name=folder.resolve().name, weights="checkpoint")
        assert model.hub is not None
        loaded = _from_hub(model.hub, dtype).to(device)
        return LoadedModel(model=loaded, name=model.hub, weights="from the hub")
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ModelTooLargeError(
            f"model {model.preset or model.path or model.hub}: its weights do not fit on {device} "
            f"({str(error).splitlines()[0]}); choose a smaller model or a smaller dtype"
        ) from error


def random_model(
    architecture: dict[str, Any],
    *,
    device: torch.device,
    dtype: torch.dtype,
    seed: int,
    std: float | None = None,
) -> Any:
    """Return a Llama or Qwen3 of this shape, its weights drawn straight on the device.

    The same seed gives the same weights on the same kind of device.
    """
    shape = {key: value for key, value in architecture.items() if key != "model_type"}
    config = AutoConfig.for_model(
        architecture["model_type"],
        **shape,
        bos_token_id=None,
        eos_token_id=None,  # random weights never mean to stop
        pad_token_id=None,
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model = model.to(dtype).to_empty(device=device)
    model.tie_weights()
    # to_empty left the rotary frequencies, which no checkpoint holds, as garbage
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config).to(device)
    generator = torch.Generator(device=device).manual_seed(seed)
    spread = config.initializer_range if std is None else std
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0.0, spread, generator=generator)
            else:
                parameter.fill_(1.0 if "norm" in name else 0.0)
    return model.eval()


def _from_pretrained(source: str, dtype: torch.dtype, **options: Any) -> Any:
    transformers_logging.disable_progress_bar()  # this process is about to time
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=dtype,
            use_safetensors=True,  # pickle can run any code
            trust_remote_code=False,
            output_loading_info=True,
            **options,
        )
    except Exception as error:  # whatever transformers and its readers raise over a foreign file
        if is_out_of_memory(error):
            raise
        raise CheckpointError(
            f"{source}: expected a causal language model in safetensors, found one that cannot be "
            f"loaded ({type(error).__name__}: {_first_line(error)}); {_advice(options)}"
        ) from error
    missing = sorted(info["missing_keys"]) + sorted(map(str, info.get("mismatched_keys") or ()))
    if missing:
        raise CheckpointError(
            f"{source}: expected all weights of {type(model).__name__}, found {len(missing)} "
            f"missing ({', '.join(missing[:3])}); a part with random weights would be measured. "
            "Give the whole checkpoint of this architecture"
        )
    if unexpected := sorted(info["unexpected_keys"]):
        logger.warning(
            "%s: %d weights are not used by %s (%s)",
            source, len(unexpected), type(model).__name__, ", ".join(unexpected[:3]),
        )  # fmt: skip
    return model.eval()


def _from_hub(hub_id: str, dtype: torch.dtype) -> Any:
    if not re.fullmatch(r"\w[\w.-]*(/\w[\w.-]*)?", hub_id) or Path(hub_id).exists():
        raise CheckpointError(
            f"model.hub: expected an id such as owner/name, found {hub_id!r}, "
            "which is a folder or no id; for a local checkpoint give `path:`"
        )
    # else transformers asks a service on the hub to convert pickle weights
    os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
    try:
        config = AutoConfig.from_pretrained(hub_id, trust_remote_code=False)
    except Exception as error:  # offline, gated, no such id, code of its own: many types
        raise CheckpointError(
            f"{hub_id}: expected a model on the hub, found {type(error).__name__}: "
            f"{_first_line(error)}; {_advice({})}"
        ) from error
    _refuse_quantised(hub_id, getattr(config, "quantization_config", None))
    return _from_pretrained(hub_id, dtype)


def _refuse_quantised(source: str | Path, quantisation: Any) -> None:
    if quantisation is not None:
        raise CheckpointError(
            f"{source}: expected weights in float32, bfloat16 or float16, found quantised ones "
            "(quantization_config in config.json); give the unquantised checkpoint"
        )


def _advice(options: dict[str, Any]) -> str:
    if options.get("local_files_only"):
        return "copy or download the checkpoint again, or choose an architecture transformers has"
    return (
        "check the id; if it is gated, accept its terms and log in (`hf auth login`); offline, "
        "download it elsewhere and give `path:`; weights only in pickle are never loaded"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
