"""From a scenario's `model:` to a runner that has proved itself."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from paretobench.core.errors import (
    DeviceOutOfMemoryError,
    ModelTooLargeError,
    ParetoBenchError,
    UserInputError,
)
from paretobench.runners.torch.backends import Backend
from paretobench.runners.torch.context import max_exact_tokens
from paretobench.runners.torch.devices import resolve_device, resolve_dtype
from paretobench.runners.torch.elementwise import EAGER, Elementwise, compiled, for_this_cpu
from paretobench.runners.torch.fused import FusedDecoder, require_fused, why_not_fused
from paretobench.runners.torch.graphs import Capture, CudaCapture
from paretobench.runners.torch.kernels import AttentionKernels, choose_kernels
from paretobench.runners.torch.memory import is_out_of_memory
from paretobench.runners.torch.models import load_model
from paretobench.runners.torch.quantised import quantised_linear, require_quantisation
from paretobench.runners.torch.readback import LateReadback, Readback
from paretobench.runners.torch.reference import (
    QUANTISED_BOUND,
    check_against_reference,
    reference_logits,
)
from paretobench.runners.torch.runner import TorchRunner
from paretobench.runners.torch.slots import KVShape
from paretobench.runners.torch.transformers_model import TransformersModel, kv_shape
from paretobench.scenario.systems import Model

logger = logging.getLogger(__name__)


def build_runner(model: Model, *, init_std: float | None = None) -> TorchRunner:
    """Return a runner of this model, checked against the model's own attention.

    Threads are the process's: set OMP_NUM_THREADS before torch is imported. `init_std` replaces
    the spread of a preset's random weights (tests want tokens that vary).
    Raises CheckpointError, EnvironmentUnfitError or UserInputError; see `load_model`.
    """
    device, dtype = resolve_options(model)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    loaded = load_model(model, device=device, dtype=dtype, init_std=init_std)
    return make_runner(loaded.model, name=loaded.name, weights=loaded.weights, options=model)


def make_runner(
    model: Any,
    *,
    name: str,
    weights: str,
    options: Model,
    make_capture: Callable[[], Capture] | None = None,
    readback: Readback | None = None,
) -> TorchRunner:
    """Return a runner over a transformers causal LM, which is the runner's from now on.

    Its logits are compared with those that the model gave by itself. `make_capture` and `readback`
    replace the device's own. Raises as `build_runner`.
    """
    require_options(options, model.device, model.dtype)
    on_cuda = model.device.type == "cuda"
    try:
        expected = reference_logits(model)
        max_positions = max_exact_tokens(model.config.to_dict())
        backend, kernels, facts = _backend(model, options)
        check_against_reference(
            backend,
            kernels,
            expected,
            name=type(model).__name__,
            bound=QUANTISED_BOUND[options.quantization] if options.quantization else None,
        )
    except (MemoryError, RuntimeError, DeviceOutOfMemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ModelTooLargeError(
            f"{name}: the weights fit on {model.device}, but nothing beside them "
            f"({(str(error).splitlines() or ['out of memory'])[0]}); choose a smaller model"
        ) from error
    if on_cuda and make_capture is None and _wants_graphs(options, backend):
        make_capture = CudaCapture
    return TorchRunner(
        backend,
        kernels,
        name=name,
        weights=weights,
        max_positions=max_positions,
        make_capture=make_capture,
        readback=readback or (LateReadback() if on_cuda else None),
        facts={"quantization": options.quantization, **facts},
    )


def resolve_options(model: Model) -> tuple[torch.device, torch.dtype]:
    """Return device and precision of a model that this machine can run; nothing is loaded.

    Raises UserInputError or EnvironmentUnfitError where it cannot.
    """
    device = resolve_device(model.device)
    dtype = resolve_dtype(model.dtype, device)
    require_options(model, device, dtype)
    return device, dtype


def require_options(model: Model, device: torch.device, dtype: torch.dtype) -> None:
    """Raise where the scenario asks for what this device does not do; nothing is loaded yet."""
    if model.cuda_graphs is True and device.type == "cpu":
        raise UserInputError(
            "model.cuda_graphs: true needs an NVIDIA GPU, found device cpu; give auto or false, "
            "or a GPU with `device: cuda`"
        )
    if model.attention == "triton" and device.type == "cpu":
        raise UserInputError(
            "model.attention: triton needs an NVIDIA GPU, found device cpu; give auto or sdpa, "
            "or a GPU with `device: cuda`"
        )
    for option, value in (("compile", model.compile is True), ("quantization", model.quantization)):
        if value and model.backend == "transformers":
            raise UserInputError(
                f"model.{option}: works in the fused decoder alone, found backend: transformers; "
                f"give backend: fused, or leave {option} out"
            )
    if model.quantization is not None:
        require_quantisation(model.quantization, device, dtype)


def _backend(model: Any, options: Model) -> tuple[Backend, AttentionKernels, dict[str, Any]]:
    """Return the model over slots, the attention it runs with, and what to record of both."""
    wants_fused = options.backend == "fused" or options.quantization or options.compile is True
    if wants_fused:
        require_fused(model.config)
    shape: KVShape = kv_shape(model)
    heads = int(model.config.get_text_config().num_attention_heads)
    kernels = choose_kernels(
        options.attention, heads=heads, shape=shape, dtype=model.dtype, device=model.device
    )
    if options.backend == "transformers" or (not wants_fused and why_not_fused(model.config)):
        return TransformersModel(model), kernels, {"elementwise": None, "compile_s": None}
    elementwise = _elementwise(model, options, shape, heads)
    quantise = None
    if options.quantization is not None:
        quantise = partial(quantised_linear, kind=options.quantization)
    fused = FusedDecoder(
        model, elementwise=elementwise, quantise=quantise, slot_kernels=kernels.slots
    )
    return fused, kernels, {"elementwise": elementwise.name, "compile_s": elementwise.compile_s}


def _elementwise(model: Any, options: Model, shape: KVShape, heads: int) -> Elementwise:
    """Return what stands between the matrix products, compiled unless told not to."""
    if options.compile is False:
        return EAGER
    try:
        if model.device.type == "cpu":
            return for_this_cpu(
                hidden=int(model.config.hidden_size),
                intermediate=int(model.config.intermediate_size),
                dim=shape.key_dim,
                dtype=model.dtype,
            )
        return compiled(
            hidden=int(model.config.hidden_size),
            intermediate=int(model.config.intermediate_size),
            heads=heads + shape.kv_heads,
            dim=shape.key_dim,
            norms_heads=hasattr(model.model.layers[0].self_attn, "q_norm"),
            dtype=model.dtype,
            device=model.device,
        )
    except ParetoBenchError as error:
        if options.compile is True:
            raise
        logger.warning("%s; going on without", error)
        return EAGER


def _wants_graphs(options: Model, backend: Backend) -> bool:
    if options.cuda_graphs == "auto":
        return backend.name == "fused"  # what others do in a step is theirs to decide
    return options.cuda_graphs
