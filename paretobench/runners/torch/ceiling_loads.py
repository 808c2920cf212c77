"""What is timed to find a device's ceilings: calls of known bytes or FLOP, over random inputs.

Zeros would draw less power and come out up to 15% faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch.nn import functional

from paretobench.core.ceilings import Ceiling

Shape = tuple[int, int, int]  # rows, inputs, outputs

CPU_SHAPE: Shape = (1024, 2048, 2048)
CPU_SMALL_SHAPE: Shape = (64, 512, 512)  # for a dtype that the CPU only emulates
CUDA_SHAPE: Shape = (8192, 8192, 8192)
_CPU_READ_BYTES = 512 << 20
_CUDA_READ_BYTES = 4 << 30
_READ_ROW = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A call to time. `work` is its bytes or FLOP; `ceiling` has no rate yet."""

    ceiling: Ceiling
    work: float
    call: Callable[[], object]


def flop(shape: Shape) -> float:
    """Return the FLOP of a product of this shape, a multiplication and an addition as two."""
    rows, inputs, outputs = shape
    return 2.0 * rows * inputs * outputs


def reads(device: torch.device) -> list[Load]:
    """Return reductions that read one buffer, far beyond the caches, once."""
    num_bytes = _CPU_READ_BYTES
    if device.type == "cuda":
        num_bytes = min(_CUDA_READ_BYTES, torch.cuda.mem_get_info(device)[0] // 4)
    block = torch.randn(_READ_ROW, _READ_ROW, device=device)
    matrix = block.repeat(num_bytes // block.nbytes, 1)
    vector, values = matrix[0].clone(), matrix.view(-1)
    calls: list[tuple[str, str, Callable[[], object]]] = [
        ("float32", "sum", values.sum),
        ("float32", "amax", values.amax),
        ("float32", "matrix-vector", lambda: matrix @ vector),
    ]
    if device.type == "cuda":
        calls.append(("bfloat16", "amax", values.view(torch.bfloat16).amax))
    return [
        Load(
            ceiling=Ceiling(
                quantity="read_bandwidth",
                dtype=dtype,
                method=method,
                shape=f"{matrix.nbytes >> 20} MiB",
                unit="B/s",
            ),
            work=matrix.nbytes,
            call=call,
        )
        for dtype, method, call in calls
    ]


def cpu_linear(name: str, shape: Shape) -> Load:
    """Return one linear layer: oneDNN-prepacked weights where torch has them.

    Plain linear brings the weights into oneDNN's layout at every call: half the rate in float32.
    """
    rows, inputs, outputs = shape
    dtype = getattr(torch, name)
    x, weight = torch.randn(rows, inputs).to(dtype), torch.randn(outputs, inputs).to(dtype)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        call = partial(torch.ops.mkldnn._linear_pointwise, x, packed, None, "none", [], "")
        call()
    except (AttributeError, NotImplementedError, RuntimeError):
        return _matmul(name, "linear (plain)", shape, partial(functional.linear, x, weight))
    return _matmul(name, "linear (oneDNN prepacked)", shape, call)


def cuda_matmul(name: str, device: torch.device) -> Load:
    """Return a square product; `tf32` is float32 in and out, rounded on the way."""
    rows, inputs, outputs = CUDA_SHAPE
    dtype = torch.float32 if name == "tf32" else getattr(torch, name)
    a = torch.randn(rows, inputs, device=device, dtype=dtype)
    b = torch.randn(outputs, inputs, device=device, dtype=dtype)
    out = torch.empty(rows, outputs, device=device, dtype=dtype)
    precision = "tf32" if name == "tf32" else "ieee"

    def call() -> None:
        settings = torch.backends.cuda.matmul
        before, settings.fp32_precision = settings.fp32_precision, precision
        try:
            torch.mm(a, b.t(), out=out)
        finally:
            settings.fp32_precision = before

    return _matmul(name, "matmul", CUDA_SHAPE, call)


def cuda_float8(device: torch.device) -> Load:
    """Return a row-wise scaled e4m3 product with bfloat16 out."""
    rows, inputs, outputs = CUDA_SHAPE
    call = partial(
        torch._scaled_mm,
        torch.randn(rows, inputs, device=device).to(torch.float8_e4m3fn),
        torch.randn(outputs, inputs, device=device).to(torch.float8_e4m3fn).t(),
        scale_a=torch.ones(rows, 1, device=device),
        scale_b=torch.ones(1, outputs, device=device),
        out_dtype=torch.bfloat16,
        use_fast_accum=True,
    )
    return _matmul("float8_e4m3fn", "_scaled_mm (row-wise, fast accumulation)", CUDA_SHAPE, call)


def cuda_int8(device: torch.device) -> Load:
    """Return an int8 product with int32 out."""
    rows, inputs, outputs = CUDA_SHAPE
    a = torch.randint(-128, 128, (rows, inputs), dtype=torch.int8, device=device)
    b = torch.randint(-128, 128, (outputs, inputs), dtype=torch.int8, device=device)
    return _matmul("int8", "_int_mm", CUDA_SHAPE, partial(torch._int_mm, a, b.t()))


def _matmul(dtype: str, method: str, shape: Shape, call: Callable[[], object]) -> Load:
    return Load(
        ceiling=Ceiling(
            quantity="matmul",
            dtype=dtype,
            method=method,
            shape="×".join(map(str, shape)),
            unit="FLOP/s",
        ),
        work=flop(shape),
        call=call,
    )
