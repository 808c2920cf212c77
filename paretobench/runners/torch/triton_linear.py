"""Triton kernels of quantised linear layers, each behind a launcher with types.

Import this module only where triton is installed. No launcher waits for the device, reads a device
value on the host or allocates other than by `torch.empty`, so each may be captured in a CUDA graph.
The first call of a kernel with new shapes compiles it: run every shape once before its capture.

With TRITON_INTERPRET=1 set before triton is first imported, all of it runs on CPU tensors, slowly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl

from paretobench.runners.torch.quantised import LARGEST_FP8, SMALLEST_SCALED
from paretobench.runners.torch.triton_common import jit, multiprocessors

_MIN_SPLIT_FEATURES = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class MatmulPlan:
    """How one product by int8 weights is cut up: what a program computes, and how many share it."""

    block_rows: int
    block_out: int
    block_in: int
    num_stages: int
    num_splits: int
    split_features: int


def plan_matmul(rows: int, *, in_features: int, out_features: int, num_sms: int) -> MatmulPlan:
    """Return the plan for a product of [rows, in_features] by [in_features, out_features].

    Chosen by rule, not by timing candidates: that would fall into the middle of a measurement. The
    input features are split where the outputs alone leave multiprocessors idle.

    >>> plan = plan_matmul(8, in_features=14336, out_features=4096, num_sms=132)
    >>> plan.num_splits, plan.split_features  # 64 blocks of outputs, shared by 5 programs each
    (5, 2944)
    >>> plan_matmul(8, in_features=4096, out_features=28672, num_sms=132).num_splits
    1
    """
    block_rows = min(64, max(16, triton.next_power_of_2(rows)))
    block_out, block_in = 64, 128
    blocks = triton.cdiv(rows, block_rows) * triton.cdiv(out_features, block_out)
    num_splits = 1
    if blocks < num_sms:
        wanted = triton.cdiv(2 * num_sms, blocks)
        num_splits = max(1, min(wanted, in_features // _MIN_SPLIT_FEATURES))
    split_features = triton.cdiv(triton.cdiv(in_features, num_splits), block_in) * block_in
    return MatmulPlan(
        block_rows=block_rows,
        block_out=block_out,
        block_in=block_in,
        num_stages=4 if block_rows <= 32 else 3,
        num_splits=triton.cdiv(in_features, split_features),
        split_features=split_features,
    )


def int8_linear(
    inputs: torch.Tensor,
    weight: torch.Tensor,
    scale: torch.Tensor,
    bias: torch.Tensor | None = None,
    *,
    num_sms: int | None = None,
) -> torch.Tensor:
    """Return (inputs · weightᵀ) × scale + bias, [rows, out_features], in the inputs' precision.

    `inputs` [rows, in_features] are bfloat16 or float16 with a contiguous last axis, `weight`
    [out_features, in_features] is int8 and contiguous, `scale` and `bias` are [out_features].
    Made for few rows, where reading the weights is all the time there is: each is read once per 64
    rows, one byte. Sums are in float32; the same inputs give the same bits again.
    """
    rows, in_features = inputs.shape
    out_features = weight.shape[0]
    assert weight.shape == (out_features, in_features)
    assert weight.dtype == torch.int8
    assert inputs.dtype in (torch.bfloat16, torch.float16)
    assert inputs.stride(1) == 1
    channels = [scale] if bias is None else [scale, bias]
    assert all(t.shape == (out_features,) for t in channels)
    assert all(t.is_contiguous() for t in (weight, *channels))
    if num_sms is None:
        num_sms = multiprocessors(inputs.device)
    plan = plan_matmul(rows, in_features=in_features, out_features=out_features, num_sms=num_sms)
    output = torch.empty(rows, out_features, dtype=inputs.dtype, device=inputs.device)
    one_split = plan.num_splits == 1
    target = output
    if not one_split:
        target = torch.empty(
            plan.num_splits, rows, out_features, dtype=torch.float32, device=inputs.device
        )
    grid = (
        triton.cdiv(rows, plan.block_rows),  # neighbours in time: they read the same weights
        triton.cdiv(out_features, plan.block_out),
        plan.num_splits,
    )
    _int8_matmul[grid](
        inputs,
        weight,
        scale,
        scale if bias is None else bias,  # not read
        target,
        rows,
        in_features,
        out_features,
        plan.split_features,
        inputs.stride(0),
        has_bias=bias is not None,
        one_split=one_split,
        block_rows=plan.block_rows,
        block_out=plan.block_out,
        block_in=plan.block_in,
        num_warps=4,
        num_stages=plan.num_stages,
    )
    if not one_split:
        block_out = 512
        _sum_splits[(rows, triton.cdiv(out_features, block_out))](
            target,
            scale,
            scale if bias is None else bias,
            output,
            rows,
            out_features,
            plan.num_splits,
            has_bias=bias is not None,
            block_out=block_out,
            num_warps=4,
        )
    return output


def quantise_rows_fp8(inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `inputs` in e4m3, [rows, features], and what to multiply each row by, [rows, 1].

    `inputs` [rows, features] has a contiguous last axis; the scales are float32 and take a row's
    largest magnitude to e4m3's largest. One launch; torch's own operators take five.
    """
    rows, features = inputs.shape
    assert inputs.stride(1) == 1
    quantised = torch.empty(rows, features, dtype=torch.float8_e4m3fn, device=inputs.device)
    scale = torch.empty(rows, 1, dtype=torch.float32, device=inputs.device)
    _quantise_rows[(rows,)](
        inputs,
        quantised,
        scale,
        features,
        inputs.stride(0),
        largest_code=LARGEST_FP8,
        smallest=SMALLEST_SCALED,
        block=min(4096, max(128, triton.next_power_of_2(features))),
        num_warps=8,
    )
    return quantised, scale


# The kernels. A tl.constexpr is compiled in.


@jit(do_not_specialize=["rows"])
def _int8_matmul(
    inputs: tl.tensor,
    weight: tl.tensor,
    scale: tl.tensor,
    bias: tl.tensor,
    target: tl.tensor,
    rows: tl.tensor,
    in_features: tl.tensor,
    out_features: tl.tensor,
    split_features: tl.tensor,
    input_row_stride: tl.tensor,
    has_bias: tl.constexpr,
    one_split: tl.constexpr,
    block_rows: tl.constexpr,
    block_out: tl.constexpr,
    block_in: tl.constexpr,
) -> None:
    """One program: a block of rows and outputs, over one split of the input features."""
    row = tl.program_id(0) * block_rows + tl.arange(0, block_rows)
    out = tl.program_id(1) * block_out + tl.arange(0, block_out)
    split = tl.program_id(2)
    feature = tl.arange(0, block_in)
    start = split * split_features
    end = tl.minimum(start + split_features, in_features)
    is_row = row < rows
    is_out = out < out_features
    # 64 bits: an output layer of a large vocabulary comes near 2³¹ weights
    row_inputs = inputs + row.to(tl.int64)[:, None] * input_row_stride
    out_weights = weight + out.to(tl.int64)[None, :] * in_features
    sums = tl.zeros([block_rows, block_out], tl.float32)
    for first in range(start, end, block_in):
        at = first + feature
        x = tl.load(row_inputs + at[None, :], mask=is_row[:, None] & (at < end)[None, :], other=0.0)
        w = tl.load(out_weights + at[:, None], mask=(at < end)[:, None] & is_out[None, :], other=0)
        sums = tl.dot(x, w.to(x.dtype), sums)  # exact: both precisions hold every int8
    inside = is_row[:, None] & is_out[None, :]
    if one_split:
        sums *= tl.load(scale + out, mask=is_out, other=0.0).to(tl.float32)[None, :]
        if has_bias:
            sums += tl.load(bias + out, mask=is_out, other=0.0).to(tl.float32)[None, :]
    else:
        target += split.to(tl.int64) * rows * out_features
    target += row.to(tl.int64)[:, None] * out_features + out[None, :]
    tl.store(target, sums.to(target.dtype.element_ty), mask=inside)


@jit(do_not_specialize=["rows", "num_splits"])
def _sum_splits(
    sums: tl.tensor,
    scale: tl.tensor,
    bias: tl.tensor,
    output: tl.tensor,
    rows: tl.tensor,
    out_features: tl.tensor,
    num_splits: tl.tensor,
    has_bias: tl.constexpr,
    block_out: tl.constexpr,
) -> None:
    """One program: a block of one row's outputs, splits added in their order."""
    row = tl.program_id(0)
    out = tl.program_id(1) * block_out + tl.arange(0, block_out)
    is_out = out < out_features
    total = tl.zeros([block_out], tl.float32)
    for split in range(num_splits):
        line = (split * rows + row).to(tl.int64)
        total += tl.load(sums + line * out_features + out, mask=is_out, other=0.0)
    total *= tl.load(scale + out, mask=is_out, other=0.0).to(tl.float32)
    if has_bias:
        total += tl.load(bias + out, mask=is_out, other=0.0).to(tl.float32)
    line = row.to(tl.int64) * out_features
    tl.store(output + line + out, total.to(output.dtype.element_ty), mask=is_out)


@jit()
def _quantise_rows(
    inputs: tl.tensor,
    quantised: tl.tensor,
    scale: tl.tensor,
    features: tl.tensor,
    input_row_stride: tl.tensor,
    largest_code: tl.constexpr,
    smallest: tl.constexpr,
    block: tl.constexpr,
) -> None:
    """One program: one row, read twice; the second time it comes from the cache."""
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, block)
    source = inputs + row * input_row_stride
    largest = tl.zeros([block], tl.float32)
    for first in range(0, features, block):
        at = first + column
        x = tl.load(source + at, mask=at < features, other=0.0).to(tl.float32)
        largest = tl.maximum(largest, tl.abs(x))
    row_scale = tl.maximum(tl.max(largest, 0), smallest) / largest_code
    tl.store(scale + row, row_scale)
    for first in range(0, features, block):
        at = first + column
        x = tl.load(source + at, mask=at < features, other=0.0).to(tl.float32)
        code = (x / row_scale).to(quantised.dtype.element_ty)
        tl.store(quantised + row * features + at, code, mask=at < features)
