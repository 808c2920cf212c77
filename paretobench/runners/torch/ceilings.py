"""Measuring a device's ceilings: how fast it reads memory, and multiplies matrices per dtype."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch

from paretobench.core.ceilings import Ceiling, Ceilings
from paretobench.runners.torch import ceiling_loads as loads
from paretobench.runners.torch.ceiling_loads import Load
from paretobench.runners.torch.devices import describe_device

_READ = "read_bandwidth"
_MIN_REPEATS = 5
_SLOW_CALL_S = 0.5  # a call that would take longer gets a smaller shape
_WARM_UP_SHARE = 1 / 3


class CeilingBench:
    """Measures one device, a case at a time."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._matmuls: dict[str, Callable[[float], Ceiling]]
        if device.type == "cuda":
            torch.cuda.set_device(device)
            makers: dict[str, Callable[[], Load]] = {
                name: partial(loads.cuda_matmul, name, device)
                for name in ("bfloat16", "float16", "tf32", "float32")
            }
            makers["float8_e4m3fn"] = partial(loads.cuda_float8, device)
            makers["int8"] = partial(loads.cuda_int8, device)
            self._matmuls = {n: partial(self._cuda_matmul, make) for n, make in makers.items()}
        else:
            names = ("float32", "bfloat16", "float16")
            self._matmuls = {name: partial(self._cpu_matmul, name) for name in names}

    @property
    def cases(self) -> tuple[str, ...]:
        """What `measure` can be asked for: `read_bandwidth`, then the dtypes to multiply."""
        return (_READ, *self._matmuls)

    def measure(self, case: str, seconds: float) -> Ceiling:
        """Return the ceiling of one case after about `seconds`, a third of them warm-up.

        A case that the device refuses has no rate, and a note that says why.
        """
        try:
            with torch.inference_mode():
                return self._read(seconds) if case == _READ else self._matmuls[case](seconds)
        except (RuntimeError, AttributeError, TypeError, ValueError, MemoryError) as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            return _refused(case, reason[:160])
        finally:
            if self._device.type == "cuda":
                torch.cuda.empty_cache()

    def _read(self, seconds: float) -> Ceiling:
        """Return the rate of the fastest of several ways to read."""
        ways = loads.reads(self._device)
        found = [self._timed(load, seconds / len(ways)) for load in ways]
        return max(found, key=lambda ceiling: ceiling.best_per_s or 0.0)

    def _cpu_matmul(self, name: str, seconds: float) -> Ceiling:
        """Return the rate of a linear layer: of a small one where a large one would take long."""
        load = loads.cpu_linear(name, loads.CPU_SMALL_SHAPE)
        # the first calls build what the later ones use, and a neighbour may slow any of them
        call_s = min(self._repeat(load.call, 0.0))
        if call_s * loads.flop(loads.CPU_SHAPE) / load.work < _SLOW_CALL_S:
            load = loads.cpu_linear(name, loads.CPU_SHAPE)
        return self._timed(load, seconds)

    def _cuda_matmul(self, make: Callable[[], Load], seconds: float) -> Ceiling:
        return self._timed(make(), seconds)

    def _timed(self, load: Load, seconds: float) -> Ceiling:
        self._repeat(load.call, seconds * _WARM_UP_SHARE, at_least=1)
        durations_s = self._repeat(load.call, seconds * (1 - _WARM_UP_SHARE))
        return replace(
            load.ceiling,
            per_s=load.work / statistics.median(durations_s),
            best_per_s=load.work / min(durations_s),
            repeats=len(durations_s),
        )

    def _repeat(
        self, call: Callable[[], object], seconds: float, *, at_least: int = _MIN_REPEATS
    ) -> list[float]:
        end_s = time.monotonic() + seconds
        durations_s: list[float] = []
        while len(durations_s) < at_least or time.monotonic() < end_s:
            durations_s.append(self._duration_s(call))
        return durations_s

    def _duration_s(self, call: Callable[[], object]) -> float:
        if self._device.type == "cpu":
            begin_s = time.perf_counter()
            call()
            return time.perf_counter() - begin_s
        begin, end = (_event() for _ in range(2))
        call()  # keeps the device busy while the timed call is queued: launching is not its time
        begin.record()
        call()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1e3


def measure_ceilings(device: torch.device, seconds: float) -> Ceilings:
    """Return the ceilings of `device` after about `seconds`, shared equally among the cases."""
    bench = CeilingBench(device)
    each_s = seconds / len(bench.cases)
    rows = tuple(bench.measure(case, each_s) for case in bench.cases)
    return Ceilings(system=describe_device(device), rows=rows)


def _refused(case: str, reason: str) -> Ceiling:
    if case == _READ:
        return Ceiling(
            quantity="read_bandwidth", dtype="", method="", shape="", unit="B/s", note=reason
        )
    return Ceiling(quantity="matmul", dtype=case, method="", shape="", unit="FLOP/s", note=reason)


def _event() -> torch.cuda.Event:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
