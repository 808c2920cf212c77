"""Where the model runs, in which precision, and how that machine describes itself."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import torch
import transformers

from paretobench.core.errors import EnvironmentUnfitError, UserInputError

# What changes speed and can be set from outside; those that are set are recorded.
RECORDED_VARIABLES = (
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "GOMP_SPINCOUNT",
    "KMP_BLOCKTIME",
    "MKL_NUM_THREADS",
    "LD_PRELOAD",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_LAUNCH_BLOCKING",
    "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF",
    "NVIDIA_TF32_OVERRIDE",
)


def resolve_device(name: str) -> torch.device:
    """Return the device that `auto`, `cpu`, `cuda` or `cuda:N` means on this machine.

    Raises EnvironmentUnfitError where there is no such GPU.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    instead = "To run on the CPU: `device: cpu` in the scenario, or `--device cpu`"
    if not torch.cuda.is_available():
        built = torch.version.cuda
        found = "no usable NVIDIA GPU or driver" if built else "a torch built without CUDA"
        raise EnvironmentUnfitError(
            f"model.device: {name} needs an NVIDIA GPU, found {found}. {instead}"
        )
    index = int(name.partition(":")[2] or 0)
    if index >= torch.cuda.device_count():
        raise EnvironmentUnfitError(
            f"model.device: {name} needs {index + 1} GPUs, found {torch.cuda.device_count()}. "
            f"Give cuda:0 to cuda:{torch.cuda.device_count() - 1}. {instead}"
        )
    return torch.device("cuda", index)


def resolve_dtype(name: str, device: torch.device) -> torch.dtype:
    """Return the precision that `name` means there: `auto` is bfloat16 on CUDA, else float32.

    Raises UserInputError for float16 on a CPU.
    """
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    if name == "float16" and device.type == "cpu":
        raise UserInputError(
            "model.dtype: float16 on a CPU is emulated (1 to 53 GFLOP/s measured, against "
            "hundreds in float32); give float32 or bfloat16, or a GPU with `device: cuda`"
        )
    return {
        "float32": torch.float32,
        "bfloat16": torch.bfloat16,
        "float16": torch.float16,
    }[name]


def device_name(device: torch.device) -> str:
    """Return the product name of the GPU or the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def gpu_uuid(device: torch.device) -> str | None:
    """Return the GPU's UUID, by which its telemetry is found; None for a CPU."""
    if device.type != "cuda":
        return None
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    return None if uuid is None else str(uuid)


def describe_device(device: torch.device) -> dict[str, Any]:
    """Return what of device and libraries decides the speed; missing is None."""
    return {
        "device": str(device),
        "device_name": device_name(device),
        "gpu_uuid": gpu_uuid(device),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "transformers": transformers.__version__,
        "threads": torch.get_num_threads(),
        "environment": {
            name: os.environ[name] for name in RECORDED_VARIABLES if name in os.environ
        },
    }
