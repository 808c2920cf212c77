"""Which attention kernels run: tried at load on the model's own shapes, then required.

A kernel is named in the results only if it ran: SDPA is restricted to the one back end that was
tried, and fails rather than take another.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from paretobench.core.errors import EnvironmentUnfitError
from paretobench.runners.torch.cpu_kernels import CpuKernels, load_cpu_kernels
from paretobench.runners.torch.elementwise import rotate
from paretobench.runners.torch.slots import KVShape

logger = logging.getLogger(__name__)

AttentionOption = Literal["auto", "triton", "sdpa"]

_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2, torch.float16: 5e-3}
_NAMES = {
    SDPBackend.FLASH_ATTENTION: "flash",
    SDPBackend.EFFICIENT_ATTENTION: "memory-efficient",
    SDPBackend.MATH: "math",
}


class SlotKernels(Protocol):
    """Kernels over slots: the module `triton_kernels` on a GPU, `CpuKernels` on a CPU."""

    name: str

    @property
    def decode_attention(self) -> Callable[..., torch.Tensor]:
        """Attention of decode rows; see `CpuKernels`."""

    @property
    def rotate_and_store(self) -> Callable[..., torch.Tensor]:
        """Rotation of query and key heads and the storing of keys and values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionKernels:
    """What computes attention.

    `slots` are kernels over slots for decode rows; without them they go through SDPA. `causal` is
    the SDPA back end of whole prompts, `masked` that of chunks and of decode rows without `slots`;
    None on a CPU, where torch has one.
    """

    slots: SlotKernels | None = None
    causal: SDPBackend | None = None
    masked: SDPBackend | None = None

    def describe(self) -> str:
        """Return the kernels' names, for the results."""
        if self.causal is None or self.masked is None:
            decode = self.slots.name if self.slots else "SDPA and matmul"
            return f"slots: decode {decode}, prefill SDPA (CPU)"
        decode = self.slots.name if self.slots else f"SDPA {_NAMES[self.masked]}"
        return f"slots: decode {decode}, prefill SDPA {_NAMES[self.causal]}"


def choose_kernels(
    option: AttentionOption, *, heads: int, shape: KVShape, dtype: torch.dtype, device: torch.device
) -> AttentionKernels:
    """Return the fastest kernels that run on this device for heads of this shape.

    Raises EnvironmentUnfitError where what was asked for does not run.
    """
    if device.type == "cpu":
        return AttentionKernels(slots=None if option == "sdpa" else _cpu_kernels(shape, dtype))
    causal = first_that_runs(
        [(b, partial(_try_causal, b, heads, shape, dtype, device)) for b in _NAMES],
        what="attention of prompts",
    )
    masked = first_that_runs(
        [
            (b, partial(_try_masked, b, heads, shape, dtype, device))
            for b in (SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)
        ],
        what="attention of decode rows",
    )
    kernels = AttentionKernels(causal=causal, masked=masked)
    if option == "sdpa":
        return kernels
    try:
        triton = _load_triton(heads, shape, dtype, device)
    except Exception as error:  # whatever a compiler makes of this device
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        if option == "triton":
            raise EnvironmentUnfitError(
                f"model.attention: triton does not run here ({reason}); give auto or sdpa"
            ) from error
        logger.warning("decode attention goes through SDPA; Triton does not run: %s", reason)
        return kernels
    return AttentionKernels(slots=triton, causal=causal, masked=masked)


def _cpu_kernels(shape: KVShape, dtype: torch.dtype) -> CpuKernels | None:
    if shape.key_dim != shape.value_dim:
        return None
    try:
        return load_cpu_kernels(dtype, head_dim=shape.key_dim, widths=())
    except EnvironmentUnfitError as error:
        logger.info("attention goes through torch: %s", error)
        return None


def first_that_runs(
    candidates: Sequence[tuple[SDPBackend, Callable[[], None]]], *, what: str
) -> SDPBackend:
    """Return the first candidate whose trial raises nothing.

    Raises EnvironmentUnfitError with everybody's reason where none runs.
    """
    reasons = []
    for backend, run in candidates:
        try:
            run()
        except RuntimeError as error:
            reasons.append(f"{_NAMES[backend]}: {(str(error).splitlines() or [''])[0]}")
        else:
            return backend
    raise EnvironmentUnfitError(f"{what}: no kernel runs on this device ({'; '.join(reasons)})")


def _try_causal(
    backend: SDPBackend, heads: int, shape: KVShape, dtype: torch.dtype, device: torch.device
) -> None:
    flash = backend is SDPBackend.FLASH_ATTENTION  # it alone takes grouped queries
    query = torch.randn(1, heads, 48, shape.key_dim, dtype=dtype, device=device)
    kv_heads = shape.kv_heads if flash else heads
    key = torch.randn(1, kv_heads, 48, shape.key_dim, dtype=dtype, device=device)
    value = torch.randn(1, kv_heads, 48, shape.value_dim, dtype=dtype, device=device)
    with sdpa_kernel(backend):
        functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, enable_gqa=flash and heads != kv_heads
        )


def _try_masked(
    backend: SDPBackend, heads: int, shape: KVShape, dtype: torch.dtype, device: torch.device
) -> None:
    group = heads // shape.kv_heads
    query = torch.randn(3, shape.kv_heads, group, shape.key_dim, dtype=dtype, device=device)
    keys = torch.randn(3, shape.kv_heads, 128, shape.key_dim, dtype=dtype, device=device)
    values = torch.randn(3, shape.kv_heads, 128, shape.value_dim, dtype=dtype, device=device)
    mask = torch.zeros(3, 1, 1, 64, dtype=dtype, device=device)
    with sdpa_kernel(backend):  # strided as in the cache
        functional.scaled_dot_product_attention(
            query, keys[:, :, :64], values[:, :, :64], attn_mask=mask
        )


def _load_triton(heads: int, shape: KVShape, dtype: torch.dtype, device: torch.device) -> Any:
    """Return the module of Triton kernels after it gave what a plain computation gives."""
    module = importlib.import_module("paretobench.runners.torch.triton_kernels")
    if shape.key_dim != shape.value_dim:
        raise ValueError("keys and values of different sizes")
    kv_heads, dim, tokens = shape.kv_heads, shape.key_dim, 512
    query = torch.randn(2, heads, dim, dtype=dtype, device=device)
    keys, values = torch.randn(2, 3, kv_heads, tokens, dim, dtype=dtype, device=device)
    lengths = torch.tensor([tokens, 5], device=device)
    slots = torch.tensor([2, 0], device=device)
    found = module.decode_attention(
        query, keys, values, lengths, slots, scale=dim**-0.5, max_tokens=tokens
    )
    for row, (length, slot) in enumerate(((tokens, 2), (5, 0))):
        key, value = (
            t[slot, :, :length].float().repeat_interleave(heads // kv_heads, 0)
            for t in (keys, values)
        )
        scores = torch.einsum("hd,htd->ht", query[row].float(), key) * dim**-0.5
        expected = torch.einsum("ht,htd->hd", scores.softmax(-1), value)
        difference = (found[row].float() - expected).norm() / expected.norm()
        if not difference <= _TOLERANCE[dtype]:
            raise ArithmeticError(f"decode attention is off by {difference:.1e}")
    _try_rotation(module, heads, kv_heads, dim, dtype, device)
    return module


def _try_rotation(
    module: Any, heads: int, kv_heads: int, dim: int, dtype: torch.dtype, device: torch.device
) -> None:
    """Raise ArithmeticError unless the kernel rotates and stores as the plain functions do."""
    qkv = torch.randn(3, (heads + 2 * kv_heads) * dim, dtype=dtype, device=device)
    keys, values = torch.zeros(2, 4, kv_heads, 64, dim, dtype=dtype, device=device)
    cosine, sine = torch.randn(2, 64, dim // 2, dtype=dtype, device=device)
    positions = torch.tensor([0, 63, 7], device=device)
    slots = torch.tensor([3, 0, 1], device=device)
    query = module.rotate_and_store(
        qkv,
        positions,
        slots,
        cosine,
        sine,
        keys,
        values,
        heads=heads,
        kv_heads=kv_heads,
        query_norm=None,
        key_norm=None,
        eps=1e-6,
    )
    split = qkv.view(3, heads + 2 * kv_heads, dim)
    expected = rotate(
        split[:, : heads + kv_heads],
        cosine[positions][:, None],
        sine[positions][:, None],
        None,
        0.0,
    )
    found = torch.cat([query, keys[slots, :, positions], values[slots, :, positions]], 1)
    expected = torch.cat([expected, split[:, heads + kv_heads :]], 1)
    difference = (found.float() - expected.float()).norm() / expected.float().norm()
    if not difference <= _TOLERANCE[dtype]:
        raise ArithmeticError(f"rotation is off by {difference:.1e}")
