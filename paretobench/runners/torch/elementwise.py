"""What a decoder layer does between its matrix products, eager or compiled."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch.nn import functional

from paretobench.core.errors import EnvironmentUnfitError
from paretobench.runners.torch.cpu_kernels import load_cpu_kernels

logger = logging.getLogger(__name__)

AddNorm: TypeAlias = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, float], tuple[torch.Tensor, torch.Tensor]
]
Rotate: TypeAlias = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor | None, float], torch.Tensor
]
Gate: TypeAlias = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Elementwise:
    """The three functions of a layer; `compile_s` is what compiling took, None: not compiled."""

    name: str
    add_norm: AddNorm
    rotate: Rotate
    gate: Gate
    compile_s: float | None = None


def add_norm(
    hidden: torch.Tensor, update: torch.Tensor, weight: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return hidden + update, and its RMS norm; all [tokens, hidden]."""
    hidden = hidden + update
    return hidden, functional.rms_norm(hidden, weight.shape, weight, eps)


def rotate(
    heads: torch.Tensor,
    cosine: torch.Tensor,
    sine: torch.Tensor,
    weight: torch.Tensor | None,
    eps: float,
) -> torch.Tensor:
    """Return query and key heads, [tokens, heads, dim], normed per head and rotated.

    `cosine` and `sine` are [tokens, 1, dim / 2]; `weight`, [heads, dim], is None for families that
    do not norm their heads. The first half of a head is rotated against the second.
    """
    if weight is not None:
        heads = functional.rms_norm(heads, heads.shape[-1:], None, eps) * weight
    first, second = heads.chunk(2, -1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], -1)


def gate(gate_up: torch.Tensor) -> torch.Tensor:
    """Return silu(gate) · up of [tokens, 2 × intermediate], [tokens, intermediate]."""
    gated, up = gate_up.chunk(2, -1)
    return functional.silu(gated) * up


EAGER = Elementwise(name="torch", add_norm=add_norm, rotate=rotate, gate=gate)


def compiled(
    *, hidden: int, intermediate: int, heads: int, dim: int, norms_heads: bool,
    dtype: torch.dtype, device: torch.device,
) -> Elementwise:  # fmt: skip
    """Return the functions compiled for any number of tokens, each run once on these shapes.

    Three small graphs serve all layers and all batch sizes; compiling whole layers would take
    their number of times longer. Raises EnvironmentUnfitError where torch cannot compile here.
    """
    begin_s = time.perf_counter()
    functions = Elementwise(
        name="torch.compile",
        add_norm=torch.compile(add_norm, fullgraph=True, dynamic=True),
        rotate=torch.compile(rotate, fullgraph=True, dynamic=True),
        gate=torch.compile(gate, fullgraph=True, dynamic=True),
    )
    weight = torch.ones(heads, dim, dtype=dtype, device=device) if norms_heads else None
    try:
        with torch.inference_mode():
            for tokens in (1, 2, 3, 64):  # 1 is a shape of its own to the compiler
                rows = torch.randn(tokens, hidden, dtype=dtype, device=device)
                # other than itself: one tensor given twice would be a case of its own
                functions.add_norm(rows, rows + 1, rows[0].clone(), 1e-6)
                # query and key are a part of a wider row
                wide = torch.randn(tokens, heads + 1, dim, dtype=dtype, device=device)
                angles = torch.randn(tokens, 1, dim // 2, dtype=dtype, device=device)
                functions.rotate(wide[:, :heads], angles, angles, weight, 1e-6)
                functions.gate(torch.randn(tokens, 2 * intermediate, dtype=dtype, device=device))
    except Exception as error:  # compilers fail in many ways: no C++ compiler, no Triton, …
        reason = (str(error).strip().splitlines() or [""])[0]
        raise EnvironmentUnfitError(
            f"model.compile: torch.compile does not work here ({type(error).__name__}: {reason}); "
            "give compile: false"
        ) from error
    return replace(functions, compile_s=time.perf_counter() - begin_s)


def for_this_cpu(*, hidden: int, intermediate: int, dim: int, dtype: torch.dtype) -> Elementwise:
    """Return the functions in C++, compiled for this CPU.

    torch.compile's calls cost more there than they save (2.8 ms a step of 12 layers at batch 1,
    against 0.9 uncompiled). Raises EnvironmentUnfitError where there is no compiler.
    """
    kernels = load_cpu_kernels(dtype, head_dim=dim, widths=(hidden, intermediate))
    return Elementwise(
        name=kernels.name,
        add_norm=kernels.add_norm,
        rotate=rotate,
        gate=kernels.gate,
        compile_s=kernels.compile_s,
    )
