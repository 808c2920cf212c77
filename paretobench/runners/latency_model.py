"""A runner whose steps take the time that a step-time model says."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from paretobench.core.step_times import StepTimes
from paretobench.core.values import Request
from paretobench.runners.base import StepResult
from paretobench.runners.null import NullRunner


class LatencyModelRunner(NullRunner):
    """Yields tokens that mean nothing at the times a model of the device predicts.

    `sleep` lets the step's seconds pass: a virtual clock's for a simulation.
    """

    def __init__(self, times: StepTimes, sleep: Callable[[float], None]) -> None:
        super().__init__()
        self._times = times
        self._sleep = sleep

    def step(self, join: Sequence[Request]) -> StepResult:
        """Let the step's time pass; return a token of every request that is owed one."""
        decode_kv_tokens = self._rows.decode_kv_tokens
        result = super().step(join)
        duration_s = self._times.duration_s(
            num_joining=result.num_prompts,
            prompt_tokens=result.prompt_tokens,
            num_decoding=result.decode_rows,
            kv_tokens=decode_kv_tokens,
        )
        self._sleep(duration_s)
        return result

    def run_alike(self, now_s: float, *, until_s: float) -> tuple[list[float], StepResult]:
        """Take steps alike up to the first that ends at `until_s` or later, as one."""
        rows = self._rows
        decode_rows, kv_tokens, growth = rows.num_decode_rows, rows.decode_kv_tokens, rows.growth
        ends_s: list[float] = []
        for _ in range(rows.steps_alike()):
            now_s += self._times.duration_s(
                num_joining=0, prompt_tokens=0, num_decoding=decode_rows, kv_tokens=kv_tokens
            )
            kv_tokens += growth
            ends_s.append(now_s)
            if now_s >= until_s:
                break
        return ends_s, rows.skip(len(ends_s))
