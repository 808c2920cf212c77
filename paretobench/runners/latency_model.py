"""A runner whose steps take the time that a step-time model says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from paretobench.core.values import Request
from paretobench.runners.base import StepResult
from paretobench.runners.null import NullRunner


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTimes:
    """Seconds that a step takes, in the terms of design: prompts that join, rows that decode."""

    prefill_base_s: float = 0.0
    prefill_per_sequence_s: float = 0.0
    prefill_per_token_s: float = 0.0
    decode_base_s: float = 0.0
    decode_per_sequence_s: float = 0.0
    decode_per_kv_token_s: float = 0.0

    def slowed(self, device_share: float) -> StepTimes:
        """Return the times on a share of the device: all of them longer by as much."""
        return StepTimes(**{f.name: getattr(self, f.name) / device_share for f in fields(self)})

    def duration_s(
        self, *, num_joining: int, prompt_tokens: int, num_decoding: int, kv_tokens: int
    ) -> float:
        """Return the length of a step: its prefill part if any joins, its decode part if any runs.

        `kv_tokens` counts the cache of the decoding rows alone.

        >>> StepTimes(decode_base_s=0.01, decode_per_sequence_s=0.001).duration_s(
        ...     num_joining=0, prompt_tokens=0, num_decoding=4, kv_tokens=100)
        0.014
        """
        duration_s = 0.0
        if num_joining:
            duration_s += (
                self.prefill_base_s
                + self.prefill_per_sequence_s * num_joining
                + self.prefill_per_token_s * prompt_tokens
            )
        if num_decoding:
            duration_s += (
                self.decode_base_s
                + self.decode_per_sequence_s * num_decoding
                + self.decode_per_kv_token_s * kv_tokens
            )
        return duration_s


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
