"""The decoder's small operations in C++, compiled for this CPU when first needed.

Between two matrix products a step reads little, so with torch's operators most of the time goes
into calling them: at batch 1 the half of what the weights take to read. Attention over slots as
batched matrix products of three rows reaches a third of the memory's bandwidth. Compiled they cost
little beside the weights. `cpu_kernels.cpp` is plain C functions over pointers.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import shutil
import subprocess
import time
from functools import cache
from pathlib import Path

import torch

from paretobench.core.errors import EnvironmentUnfitError
from paretobench.runners.torch.devices import device_name

logger = logging.getLogger(__name__)

SOURCE = Path(__file__).with_suffix(".cpp")
_FLAGS = (
    "-O3", "-march=native", "-mprefer-vector-width=512", "-fopenmp", "-shared", "-fPIC",
    "-std=c++17", "-Wno-psabi",
)  # fmt: skip
_COMPILERS = ("g++", "clang++")
_NAMES = {torch.float32: "float32", torch.bfloat16: "bfloat16"}
_HEAD_DIMS = (32, 64, 96, 128, 256)
_WIDTH = 16  # of a vector; rows are whole numbers of them


class CpuKernels:
    """Kernels for one precision; the counterpart of `triton_kernels` on a CPU.

    `compile_s` is what compiling took, 0 where an earlier process did.
    """

    name = "C++"

    def __init__(self, library: ctypes.CDLL, dtype: torch.dtype, compile_s: float) -> None:
        name = _NAMES[dtype]
        self.compile_s = compile_s
        pointer, integer, real = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float
        self._attention = getattr(library, f"{name}_attention")
        self._attention.argtypes = [
            pointer, integer, integer, pointer, pointer, integer, integer, pointer, pointer,
            integer, integer, integer, integer, integer, real, pointer,
        ]  # fmt: skip
        self._rotate = getattr(library, f"{name}_rotate")
        self._rotate.argtypes = [
            *[pointer] * 7, integer, integer, pointer, pointer,
            integer, integer, integer, integer, real, pointer,
        ]  # fmt: skip
        self._rotate.restype = None
        self._add_norm = getattr(library, f"{name}_add_norm")
        self._add_norm.argtypes = [*[pointer] * 3, integer, integer, real, pointer, pointer]
        self._add_norm.restype = None
        self._gate = getattr(library, f"{name}_gate")
        self._gate.argtypes = [pointer, integer, integer, pointer]
        self._gate.restype = None

    def decode_attention(
        self,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        lengths: torch.Tensor,
        slots: torch.Tensor,
        *,
        scale: float,
        max_tokens: int,
    ) -> torch.Tensor:
        """Return attention of one query a row over its slot's first tokens, [rows, heads, dim].

        `query` is [rows, heads, dim], `keys` and `values` [slots, kv_heads, tokens, dim];
        `lengths` and `slots`, int64 [rows], say how much of which slot; lengths ≤ `max_tokens`.
        """
        rows, heads, dim = query.shape
        assert query.stride(2) == keys.stride(3) == 1
        assert keys.stride() == values.stride()
        assert keys.stride(2) == dim
        assert max_tokens <= keys.shape[2]
        output = torch.empty(rows, heads, dim, dtype=query.dtype)
        failed = self._attention(
            query.data_ptr(), query.stride(0), query.stride(1), keys.data_ptr(), values.data_ptr(),
            keys.stride(0), keys.stride(1), lengths.data_ptr(), slots.data_ptr(),
            rows, heads, keys.shape[1], dim, max_tokens, scale, output.data_ptr(),
        )  # fmt: skip
        assert not failed, f"heads of {dim}"
        return output

    def rotate_and_store(
        self,
        qkv: torch.Tensor,
        positions: torch.Tensor,
        slots: torch.Tensor,
        cos: torch.Tensor,
        sin: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        *,
        heads: int,
        kv_heads: int,
        query_norm: torch.Tensor | None,
        key_norm: torch.Tensor | None,
        eps: float,
    ) -> torch.Tensor:
        """Norm and rotate query and key heads of `qkv`, [tokens, (heads + 2 kv_heads) · dim];
        store keys and values at `positions` of `slots`; return the query, [tokens, heads, dim].

        `cos` and `sin` are [max_positions, dim / 2]; without norms heads are only rotated.
        """
        tokens, dim = qkv.shape[0], keys.shape[3]
        assert qkv.is_contiguous()
        assert keys.stride() == values.stride()
        query = torch.empty(tokens, heads, dim, dtype=qkv.dtype)
        self._rotate(
            qkv.data_ptr(), positions.data_ptr(), slots.data_ptr(), cos.data_ptr(), sin.data_ptr(),
            keys.data_ptr(), values.data_ptr(), keys.stride(0), keys.stride(1),
            None if query_norm is None else query_norm.data_ptr(),
            None if key_norm is None else key_norm.data_ptr(),
            tokens, heads, kv_heads, dim, eps, query.data_ptr(),
        )  # fmt: skip
        return query

    def add_norm(
        self, hidden: torch.Tensor, update: torch.Tensor, weight: torch.Tensor, eps: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return hidden + update, and its RMS norm; all [tokens, hidden]."""
        hidden, update = hidden.contiguous(), update.contiguous()
        sums, normed = torch.empty_like(hidden), torch.empty_like(hidden)
        self._add_norm(
            hidden.data_ptr(), update.data_ptr(), weight.data_ptr(), *hidden.shape, eps,
            sums.data_ptr(), normed.data_ptr(),
        )  # fmt: skip
        return sums, normed

    def gate(self, gate_up: torch.Tensor) -> torch.Tensor:
        """Return silu(gate) · up of [tokens, 2 × intermediate], [tokens, intermediate]."""
        gate_up = gate_up.contiguous()
        rows, width = gate_up.shape
        output = torch.empty(rows, width // 2, dtype=gate_up.dtype)
        self._gate(gate_up.data_ptr(), rows, width // 2, output.data_ptr())
        return output


def load_cpu_kernels(dtype: torch.dtype, *, head_dim: int, widths: tuple[int, ...]) -> CpuKernels:
    """Return the kernels for `dtype`, for heads of `head_dim` and rows of `widths`.

    Raises EnvironmentUnfitError where there is no compiler, or they do not serve these shapes.
    """
    if dtype not in _NAMES or head_dim not in _HEAD_DIMS or any(w % _WIDTH for w in widths):
        raise EnvironmentUnfitError(
            f"the C++ kernels serve float32 and bfloat16, heads of {_HEAD_DIMS} and rows in "
            f"multiples of {_WIDTH}; found {dtype}, heads of {head_dim}, rows of {widths}"
        )
    begin_s = time.perf_counter()
    path, is_new = _library()
    compile_s = time.perf_counter() - begin_s if is_new else 0.0
    return CpuKernels(ctypes.CDLL(str(path)), dtype, compile_s)


@cache
def _library() -> tuple[Path, bool]:
    """Return the compiled library, and whether it was compiled just now."""
    compiler = next(filter(None, map(shutil.which, _COMPILERS)), None)
    if compiler is None:
        raise EnvironmentUnfitError(
            f"no C++ compiler found ({' or '.join(_COMPILERS)}): install one, such as Debian's g++"
        )
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True).stdout
    content = (SOURCE.read_bytes(), version.encode(), repr(_FLAGS).encode(), _cpu().encode())
    name = f"cpu_kernels-{hashlib.sha256(b'|'.join(content)).hexdigest()[:16]}.so"
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paretobench"
    path = folder / name
    if path.is_file():
        return path, False
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        subprocess.run(
            [compiler, *_FLAGS, str(SOURCE), "-o", str(partial)],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        partial.replace(path)  # another process may be doing the same
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise EnvironmentUnfitError(
            f"{compiler} cannot compile the CPU kernels: {said.strip().splitlines()[-1]}"
        ) from error
    return path, True


def _cpu() -> str:
    """Return what `-march=native` depends on."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return device_name(torch.device("cpu")) + flags
