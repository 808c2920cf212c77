"""What each step computed and how long it took, the loop's own time included, as columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretobench.core.values import StepRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWork:
    """A row a record, every column [records]; counts are sums where a record is several steps.

    `batch_sizes` are the decode rows of each step; `duration_s` runs from the end of the step
    before, `between_steps_s` being the median of what that adds.
    """

    duration_s: NDArray[np.float64]
    has_prompts: NDArray[np.float64]  # 1 or 0
    num_prompts: NDArray[np.float64]
    prompt_tokens: NDArray[np.float64]
    num_decode_steps: NDArray[np.float64]
    decode_rows: NDArray[np.float64]
    decode_kv_tokens: NDArray[np.float64]
    batch_sizes: NDArray[np.float64]
    between_steps_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Span:
    """A step from its start to its end; `gap_s` is what lies before, None where there may have
    been nothing to do."""

    step: StepRecord
    length_s: float
    gap_s: float | None


def work_of(trials: Sequence[Sequence[StepRecord]]) -> StepWork | None:
    """Return the work of all steps of all trials; None where no step decodes.

    Where the time before a step is not known to be the loop's own, the median of the known stands
    in for it. In runs of before `decode_kv_tokens` was recorded, every prompt is taken to be
    computed whole.
    """
    spans = [span for steps in trials for span in _spans(steps) if span.length_s > 0]
    if not any(span.step.decode_rows for span in spans):
        return None
    gaps = [span.gap_s for span in spans if span.gap_s is not None]
    between_s = float(np.median(gaps)) if gaps else 0.0
    rows = np.array([_row(span, between_s) for span in spans], dtype=float).T
    duration_s, num_prompts, prompt_tokens, num_steps, decode_rows, decode_kv_tokens = rows
    num_decode_steps = np.where(decode_rows > 0, num_steps, 0.0)
    return StepWork(
        duration_s=duration_s,
        has_prompts=(prompt_tokens > 0).astype(float),
        num_prompts=num_prompts,
        prompt_tokens=prompt_tokens,
        num_decode_steps=num_decode_steps,
        decode_rows=decode_rows,
        decode_kv_tokens=decode_kv_tokens,
        batch_sizes=decode_rows / num_steps,
        between_steps_s=between_s,
    )


def _row(span: _Span, between_s: float) -> tuple[float, ...]:
    step = span.step
    num_prompts = step.joined if step.num_prompts is None else step.num_prompts
    decode_kv_tokens = step.decode_kv_tokens
    if decode_kv_tokens is None:
        decode_kv_tokens = step.kv_tokens - step.prompt_tokens
    return (
        span.length_s + (between_s if span.gap_s is None else span.gap_s),
        num_prompts,
        step.prompt_tokens,
        step.num_steps,
        step.decode_rows,
        decode_kv_tokens,
    )


def _spans(steps: Sequence[StepRecord]) -> Iterator[_Span]:
    by_engine: dict[str | None, list[StepRecord]] = defaultdict(list)
    for step in steps:
        by_engine[step.engine].append(step)
    for own in by_engine.values():
        yield from _spans_of_engine(own)


def _spans_of_engine(steps: Sequence[StepRecord]) -> Iterator[_Span]:
    """Yield the steps that computed something.

    A call that returned nothing (the first of a device that is a step ahead of its host) belongs
    to the step that the next call returns.
    """
    last_end_s: float | None = None
    called_s: float | None = None  # when the first of such calls began
    for step in steps:
        end_s = step.start_s + step.duration_s
        if not step.decode_rows and not step.prompt_tokens:
            called_s = step.start_s if called_s is None else called_s
            continue
        # rows that decode had their slots before: the engine was not idle
        in_work = step.decode_rows > 0 and called_s is None and last_end_s is not None
        yield _Span(
            step=step,
            length_s=step.duration_s if called_s is None else end_s - called_s,
            gap_s=max(0.0, step.start_s - (last_end_s or 0.0)) if in_work else None,
        )
        last_end_s, called_s = end_s, None
