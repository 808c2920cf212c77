"""Linear layers with weights of one byte.

A decode step with few rows takes as long as its weights take to read, so half the bytes are up to
twice the steps. Each row of a weight, one output channel, has a scale of its own. On a CPU the
inputs are int8 too, since there the product of the integers is what is fast.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Literal

import torch
from torch.nn import functional

from paretobench.core.errors import EnvironmentUnfitError, UserInputError

logger = logging.getLogger(__name__)

Quantisation = Literal["int8", "fp8"]

LARGEST_INT8 = 127.0
LARGEST_FP8 = 448.0  # of e4m3; larger magnitudes have no code
SMALLEST_SCALED = 1e-12  # a row of zeros is scaled as if this were its largest entry

# Up to here the int8 kernel; above, the product itself takes longer than widening the weights for
# the vendor's matrix kernel. From the byte and operation counts, not yet measured.
MAX_KERNEL_ROWS = 128

_CPU_PRECISIONS = (torch.float32, torch.bfloat16)
_PRECISIONS: dict[Quantisation, tuple[torch.dtype, ...]] = {
    "int8": (torch.bfloat16, torch.float16),
    "fp8": (torch.bfloat16,),  # torch's row-wise product gives no other
}
_CAPABILITY: dict[Quantisation, tuple[int, int]] = {"int8": (8, 0), "fp8": (8, 9)}


def require_quantisation(kind: Quantisation, device: torch.device, dtype: torch.dtype) -> None:
    """Raise unless a model of `dtype` on `device` can have its weights in `kind`.

    UserInputError for fp8 on a CPU or the wrong precision, EnvironmentUnfitError for too old a GPU.
    """
    if device.type != "cuda" and kind == "fp8":
        raise UserInputError(
            f"model.quantization: fp8 needs an NVIDIA GPU, found {device}; on a CPU give int8 or "
            "leave it out, or give `device: cuda`"
        )
    precisions = _PRECISIONS[kind] if device.type == "cuda" else _CPU_PRECISIONS
    if dtype not in precisions:
        wanted = " or ".join(_name(precision) for precision in precisions)
        raise UserInputError(
            f"model.quantization: {kind} needs dtype {wanted}, found {_name(dtype)}; "
            "change model.dtype or leave the quantization out"
        )
    if device.type != "cuda":
        return
    found, needed = torch.cuda.get_device_capability(device), _CAPABILITY[kind]
    if found < needed:
        raise EnvironmentUnfitError(
            f"model.quantization: {kind} needs an NVIDIA GPU of compute capability "
            f"{needed[0]}.{needed[1]} or above, found {found[0]}.{found[1]} "
            f"({torch.cuda.get_device_name(device)}); leave it out or run on a newer GPU"
        )
    if kind == "int8" and _int8_kernel() is None:
        logger.warning(
            "model.quantization: int8 without triton widens every weight at every step, slower "
            "than leaving it out; install triton"
        )


def quantise_int8(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `weight` [out, in] in int8 and its scales [out], float32; off by half a scale at most.

    Symmetric: a channel's largest magnitude becomes ±127, zero stays zero.

    >>> weight = torch.tensor([[1.0, -0.5, 0.009], [0.0, 0.0, 0.0]])
    >>> quantised, scale = quantise_int8(weight)
    >>> quantised.tolist()
    [[127, -64, 1], [0, 0, 0]]
    >>> bool(((dequantise(quantised, scale) - weight).abs() <= 0.501 * scale[:, None]).all())
    True
    """
    scale = _scale(weight, LARGEST_INT8)
    return torch.div(weight, scale[:, None]).round_().to(torch.int8), scale


def quantise_fp8(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `weight` [out, in] in e4m3 and its scales [out], float32; off by 1/16 at most.

    A channel's largest magnitude becomes ±448. Entries below 1/64 of a scale lie evenly spaced,
    and are off by 1/1024 of a scale at most.

    >>> quantised, scale = quantise_fp8(torch.tensor([[448.0, 17.0, -1.0], [0.0, 0.0, 0.0]]))
    >>> quantised.float().tolist(), scale[0].item()
    ([[448.0, 16.0, -1.0], [0.0, 0.0, 0.0]], 1.0)
    """
    scale = _scale(weight, LARGEST_FP8)
    return torch.div(weight, scale[:, None]).to(torch.float8_e4m3fn), scale


def dequantise(quantised: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Return what `quantised` [out, in] with `scale` [out] stands for, float32."""
    return quantised.float() * scale[:, None]


class Int8Linear(torch.nn.Module):
    """A linear layer whose weight is int8; its inputs and sums are not quantised."""

    weight: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        quantised, scale = quantise_int8(weight.detach())
        self.register_buffer("weight", quantised)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if bias is None else bias.detach())
        self._kernel = _int8_kernel()

    @property
    def weight_bytes(self) -> int:
        """What one call reads of weight, scales and bias, in bytes."""
        return _num_bytes(self.weight, self.scale, self.bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs · weightᵀ + bias, in the inputs' precision."""
        rows = inputs.reshape(-1, self.in_features)
        if self._kernel is not None and rows.is_cuda and len(rows) <= MAX_KERNEL_ROWS:
            outputs = self._kernel(rows, self.weight, self.scale, self.bias)
        else:
            # Scaled before the product, not after: sums of integers up to 127 leave the range of
            # float16. One pass over the weight either way; `out` lets it narrow as it writes.
            wide = torch.empty(self.weight.shape, dtype=inputs.dtype, device=inputs.device)
            torch.mul(self.weight, self.scale[:, None], out=wide)
            outputs = functional.linear(rows, wide, self.bias)
        return outputs.view(*inputs.shape[:-1], self.out_features)


class CpuInt8Linear(torch.nn.Module):
    """A linear layer for a CPU that multiplies in int8: the weight once, each row of inputs at
    every call. A row's result does not depend on the rows beside it."""

    weight: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        quantised, scale = quantise_int8(weight.detach())
        transposed = quantised.t()  # [in, out]; torch's product takes it in either order
        if self.in_features > self.out_features:  # the faster order, as measured
            transposed = transposed.contiguous()
        self.register_buffer("weight", transposed)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", None if bias is None else bias.detach())

    def __str__(self) -> str:
        return "int8 weights and inputs"

    @property
    def weight_bytes(self) -> int:
        """What one call reads of weight, scales and bias, in bytes."""
        return _num_bytes(self.weight, self.scale, self.bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs · weightᵀ + bias, in the inputs' precision."""
        rows = inputs.reshape(-1, self.in_features)
        quantised, row_scale = quantise_int8(rows)
        sums = torch._int_mm(quantised, self.weight)  # private, as torch has no public name for it
        outputs = sums.float().mul_(row_scale[:, None]).mul_(self.scale)
        if self.bias is not None:
            outputs += self.bias
        return outputs.to(inputs.dtype).view(*inputs.shape[:-1], self.out_features)


class Fp8Linear(torch.nn.Module):
    """A linear layer that multiplies in e4m3: the weight once, each row of inputs at every call."""

    weight: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        assert fits_fp8(weight)
        quantised, scale = quantise_fp8(weight.detach())
        self.register_buffer("weight", quantised)
        self.register_buffer("scale", scale[None])  # [1, out]
        self.register_buffer("bias", None if bias is None else bias.detach())
        self._kernel = _rows_kernel()

    @property
    def weight_bytes(self) -> int:
        """What one call reads of weight, scales and bias, in bytes."""
        return _num_bytes(self.weight, self.scale, self.bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs · weightᵀ + bias, in bfloat16."""
        rows = inputs.reshape(-1, self.in_features)
        quantise_rows = _quantise_rows if self._kernel is None or rows.is_cpu else self._kernel
        quantised, row_scale = quantise_rows(rows)
        # private, as long as torch's public name for it is younger than the torch we ask for
        outputs = torch._scaled_mm(
            quantised,
            self.weight.t(),  # column-major, as the kernel wants it
            scale_a=row_scale,
            scale_b=self.scale,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        )
        if self.bias is not None:
            outputs = outputs + self.bias
        return outputs.view(*inputs.shape[:-1], self.out_features)


def fits_fp8(weight: torch.Tensor) -> bool:
    """Return whether torch's e4m3 product takes `weight` [out, in]: whole sixteens both ways.

    >>> fits_fp8(torch.empty(32, 48)), fits_fp8(torch.empty(32, 40))
    (True, False)
    """
    return weight.shape[0] % 16 == 0 and weight.shape[1] % 16 == 0


def quantised_linear(
    weight: torch.Tensor, bias: torch.Tensor | None, kind: Quantisation
) -> torch.nn.Module:
    """Return a layer that computes inputs · weightᵀ + bias with `weight` [out, in] in `kind`.

    A plain linear layer of the same weight where `kind` is fp8 and `fits_fp8` does not hold.
    """
    if kind == "int8":
        return CpuInt8Linear(weight, bias) if weight.is_cpu else Int8Linear(weight, bias)
    if fits_fp8(weight):
        return Fp8Linear(weight, bias)
    logger.info("a linear layer of %s stays plain: fp8 takes multiples of 16", tuple(weight.shape))
    out_features, in_features = weight.shape
    linear = torch.nn.Linear(in_features, out_features, bias=bias is not None, device="meta")
    linear.weight = torch.nn.Parameter(weight.detach(), requires_grad=False)
    if bias is not None:
        linear.bias = torch.nn.Parameter(bias.detach(), requires_grad=False)
    return linear


def _quantise_rows(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    quantised, scale = quantise_fp8(rows)
    return quantised, scale[:, None]


@cache
def _int8_kernel() -> Callable[..., torch.Tensor] | None:
    try:
        from paretobench.runners.torch.triton_linear import int8_linear
    except ImportError:
        return None
    return int8_linear


@cache
def _rows_kernel() -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]] | None:
    try:
        from paretobench.runners.torch.triton_linear import quantise_rows_fp8
    except ImportError:
        return None
    return quantise_rows_fp8


def _scale(rows: torch.Tensor, largest: float) -> torch.Tensor:
    """Return the scale of each row, [rows], float32; never 0."""
    return rows.abs().amax(1).float().clamp_(min=SMALLEST_SCALED) / largest


def _num_bytes(*tensors: torch.Tensor | None) -> int:
    return sum(tensor.nbytes for tensor in tensors if tensor is not None)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
