#!/usr/bin/env python3
"""Measure this device's ceilings: how fast it reads memory, and multiplies matrices per dtype.

A share of a limit means something only against a limit measured on the same device, with its
shape stated. Reading: the best of several reductions over a buffer far beyond the caches.
Multiplying: one linear layer, on the CPU with oneDNN-prepacked weights where torch has them (plain
matmul reaches half of that in fp32), on CUDA timed with events, random inputs (zeros draw less
power and come out up to 15% faster). Writes limits.json and limits.csv.

Needs the package installed, or PYTHONPATH set to the checkout.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

from paretobench.telemetry.host import host_facts

CPU_SHAPE = (1024, 2048, 2048)  # tokens, inputs, outputs
CPU_SMALL_SHAPE = (64, 512, 512)  # for a dtype that the CPU only emulates
CUDA_SHAPE = (8192, 8192, 8192)
CPU_READ_BYTES = 512 << 20
CUDA_READ_BYTES = 4 << 30
MIN_REPEATS = 5
OPENMP_VARIABLES = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One ceiling. `per_s` is the median in bytes or FLOP a second, None if not measured."""

    quantity: str  # read_bandwidth or matmul
    dtype: str
    method: str
    shape: str
    unit: str  # B/s or FLOP/s
    per_s: float | None = None
    best_per_s: float | None = None
    repeats: int = 0
    note: str = ""

    def display(self) -> str:
        if self.per_s is None:
            return "—"
        scale, prefix = (1e12, "T") if self.per_s >= 1e12 else (1e9, "G")
        return f"{self.per_s / scale:.1f} {prefix}{self.unit}"


class Bench:
    """Times calls on one device, each case within `case_s` seconds."""

    def __init__(self, torch: Any, device: str, case_s: float) -> None:
        self.torch = torch
        self.device = device
        self.case_s = case_s

    def durations_s(self, call: Callable[[], object], budget_s: float) -> list[float]:
        """Return how long each call took, after a warm-up of a third of the budget."""
        self._repeat(call, budget_s / 3)
        return self._repeat(call, budget_s * 2 / 3)

    def once_s(self, call: Callable[[], object]) -> float:
        call()
        return self._time(call)

    def _repeat(self, call: Callable[[], object], budget_s: float) -> list[float]:
        end_s = time.monotonic() + budget_s
        durations_s: list[float] = []
        while len(durations_s) < MIN_REPEATS or time.monotonic() < end_s:
            durations_s.append(self._time(call))
        return durations_s

    def _time(self, call: Callable[[], object]) -> float:
        if self.device == "cpu":
            begin_s = time.perf_counter()
            call()
            return time.perf_counter() - begin_s
        begin, end = (self.torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3


def measured(bench: Bench, limit: Limit, work: float, call: Callable[[], object]) -> Limit:
    """Return the limit with its rates filled in; `work` is the bytes or FLOP of one call."""
    durations_s = bench.durations_s(call, bench.case_s)
    return replace(
        limit,
        per_s=work / statistics.median(durations_s),
        best_per_s=work / min(durations_s),
        repeats=len(durations_s),
    )


def read_bandwidth(bench: Bench) -> Limit:
    """Return the fastest of the reductions that read the buffer once."""
    torch = bench.torch
    num_bytes = CPU_READ_BYTES
    if bench.device == "cuda":
        num_bytes = min(CUDA_READ_BYTES, torch.cuda.mem_get_info()[0] // 4)
    elements = torch.ones(num_bytes // 4096 * 1024, dtype=torch.float32, device=bench.device)
    matrix, vector = elements.view(-1, 1024), elements[:1024].clone()
    bfloat16 = elements.view(torch.bfloat16)
    calls: dict[str, tuple[str, Callable[[], object]]] = {
        "sum": ("float32", elements.sum),
        "amax": ("float32", elements.amax),
        "matrix-vector": ("float32", lambda: matrix @ vector),
    }
    if bench.device == "cuda":
        calls["bfloat16 amax"] = ("bfloat16", bfloat16.amax)
    limits = [
        measured(
            Bench(torch, bench.device, bench.case_s / len(calls)),
            Limit(
                quantity="read_bandwidth",
                dtype=dtype,
                method=name,
                shape=f"{elements.nbytes >> 20} MiB",
                unit="B/s",
            ),
            elements.nbytes,
            call,
        )
        for name, (dtype, call) in calls.items()
    ]
    return max(limits, key=lambda limit: limit.per_s or 0.0)


def cpu_linear(torch: Any, dtype: Any, shape: tuple[int, int, int]) -> tuple[str, Any]:
    """Return the method's name and the call: prepacked weights where torch has them."""
    tokens, inputs, outputs = shape
    x = torch.randn(tokens, inputs).to(dtype)
    weight = torch.randn(outputs, inputs).to(dtype)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, tokens)
        apply = torch.ops.mkldnn._linear_pointwise
        apply(x, packed, None, "none", [], "")
    except (AttributeError, NotImplementedError, RuntimeError):
        return "linear (plain)", lambda: torch.nn.functional.linear(x, weight)
    return "linear (oneDNN prepacked)", lambda: apply(x, packed, None, "none", [], "")


def cpu_matmul(bench: Bench, name: str) -> Limit:
    """Return the rate of one linear layer; a dtype that would not fit the budget gets less."""
    dtype = getattr(bench.torch, name)
    shape = CPU_SMALL_SHAPE
    method, call = cpu_linear(bench.torch, dtype, shape)
    if bench.once_s(call) * flop(CPU_SHAPE) / flop(shape) < bench.case_s / (2 * MIN_REPEATS):
        shape = CPU_SHAPE
        method, call = cpu_linear(bench.torch, dtype, shape)
    limit = Limit(
        quantity="matmul", dtype=name, method=method, shape=shape_text(shape), unit="FLOP/s"
    )
    return measured(bench, limit, flop(shape), call)


def cuda_matmul(bench: Bench, name: str) -> Limit:
    """Return the rate of a square product; `tf32` is float32 in and out, rounded on the way."""
    torch, (m, k, n) = bench.torch, CUDA_SHAPE
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    dtype = torch.float32 if name == "tf32" else getattr(torch, name)
    a = torch.randn(m, k, device="cuda", dtype=dtype)
    b = torch.randn(n, k, device="cuda", dtype=dtype)
    out = torch.empty(m, n, device="cuda", dtype=dtype)
    limit = Limit(
        quantity="matmul", dtype=name, method="matmul", shape=shape_text(CUDA_SHAPE), unit="FLOP/s"
    )
    return measured(bench, limit, flop(CUDA_SHAPE), lambda: torch.mm(a, b.t(), out=out))


def cuda_float8(bench: Bench) -> Limit:
    """Return the rate of a row-wise scaled e4m3 product with bfloat16 out."""
    torch, (m, k, n) = bench.torch, CUDA_SHAPE
    a = torch.randn(m, k, device="cuda").to(torch.float8_e4m3fn)
    b = torch.randn(n, k, device="cuda").to(torch.float8_e4m3fn)
    scale_a = torch.ones(m, 1, device="cuda")
    scale_b = torch.ones(1, n, device="cuda")
    limit = Limit(
        quantity="matmul",
        dtype="float8_e4m3fn",
        method="_scaled_mm (row-wise, fast accumulation)",
        shape=shape_text(CUDA_SHAPE),
        unit="FLOP/s",
    )
    return measured(
        bench,
        limit,
        flop(CUDA_SHAPE),
        lambda: torch._scaled_mm(
            a,
            b.t(),
            scale_a=scale_a,
            scale_b=scale_b,
            out_dtype=torch.bfloat16,
            use_fast_accum=True,
        ),
    )


def cases(bench: Bench) -> dict[str, Callable[[], Limit]]:
    """Return what is measured on this device, by the dtype of its row."""
    todo: dict[str, Callable[[], Limit]] = {"read": partial(read_bandwidth, bench)}
    if bench.device == "cpu":
        for name in ("float32", "bfloat16", "float16"):
            todo[name] = partial(cpu_matmul, bench, name)
        return todo
    for name in ("bfloat16", "float16", "tf32", "float32"):
        todo[name] = partial(cuda_matmul, bench, name)
    todo["float8_e4m3fn"] = partial(cuda_float8, bench)
    return todo


def measure(torch: Any, device: str, seconds: float) -> Iterator[Limit]:
    """Yield each limit; one that the device refuses has no rate and says why."""
    bench = Bench(torch, device, 1.0)
    todo = cases(bench)
    bench.case_s = seconds / len(todo)
    for name, case in todo.items():
        try:
            yield case()
        except (RuntimeError, NotImplementedError, AttributeError) as error:
            reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
            is_read = name == "read"
            yield Limit(
                quantity="read_bandwidth" if is_read else "matmul",
                dtype="" if is_read else name,
                method="",
                shape="",
                unit="B/s" if is_read else "FLOP/s",
                note=reason,
            )
        if device == "cuda":
            torch.cuda.empty_cache()


def flop(shape: tuple[int, int, int]) -> float:
    return 2.0 * shape[0] * shape[1] * shape[2]


def shape_text(shape: tuple[int, int, int]) -> str:
    return "x".join(str(size) for size in shape)


def describe(torch: Any, device: str) -> dict[str, Any]:
    return {
        "device": device,
        "name": torch.cuda.get_device_name() if device == "cuda" else host_facts().cpu,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "environment": {name: os.environ.get(name) for name in OPENMP_VARIABLES},
    }


def write(folder: Path, description: dict[str, Any], limits: list[Limit]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    document = {**description, "limits": [asdict(limit) for limit in limits]}
    text = json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False)
    (folder / "limits.json").write_text(text + "\n", encoding="utf-8")
    with (folder / "limits.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Limit)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(limit) for limit in limits)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--output-dir", type=Path, required=True, help="folder for limits.*")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--seconds", type=float, default=20.0, help="time to spend (default: 20)")
    options = parser.parse_args(arguments)
    if not options.seconds > 0:
        parser.error(f"--seconds must be > 0, found {options.seconds:g}")
    return options


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    # before torch is loaded: unbounded spinning beside a busy neighbour costs a slice a region
    if not any(os.environ.get(name) for name in OPENMP_VARIABLES[1:]):
        os.environ["GOMP_SPINCOUNT"] = "10000"
    import torch

    has_gpu = torch.cuda.is_available()
    device = ("cuda" if has_gpu else "cpu") if options.device == "auto" else options.device
    if device == "cuda" and not has_gpu:
        print("--device cuda: torch sees no GPU here; use --device cpu", file=sys.stderr)
        return 4
    limits: list[Limit] = []
    with torch.inference_mode():
        for limit in measure(torch, device, options.seconds):
            limits.append(limit)
            what = f"{limit.quantity} {limit.dtype}".strip()
            how = limit.note or f"{limit.method}, {limit.shape}, {limit.repeats} repeats"
            print(f"{what:<28} {limit.display():>16}  {how}", flush=True)
    write(options.output_dir, describe(torch, device), limits)
    print(f"Wrote {options.output_dir / 'limits.json'}")
    return 0 if any(limit.per_s for limit in limits) else 1


if __name__ == "__main__":
    sys.exit(main())
