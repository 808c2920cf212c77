"""Least squares of a step's time over what it computed, without the steps that stalled."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.step_work import StepWork

_MAX_ROUNDS = 30
_STALL_SIGMAS = 4.0  # a step so far from the model that it tells of something else
_SMALLEST_CUTOFF = 1e-6  # of a step's time: below it, only rounding is left
_STEPS_AT_KNOT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """Coefficients of at least 0, and what they say of each step.

    In order: prefill's base, per_sequence and per_token; decode's per_kv_token; what a mixed step
    saves; decode's base and per_sequence, or with `knots` the time at the first of these batch
    sizes and what each further one adds.
    """

    coefficients: NDArray[np.float64]
    knots: tuple[int, ...]
    predicted_s: NDArray[np.float64]
    errors: NDArray[np.float64]  # measured / predicted − 1
    kept: NDArray[np.bool_]


def solve(work: StepWork, knots: tuple[int, ...]) -> Solution:
    """Return the least squares of the relative error, decode time told at `knots` if any.

    Solved again without the steps that stalled until none is found or taken back.
    """
    from scipy.optimize import nnls

    columns = _columns(work, knots)
    scale = np.maximum(np.abs(columns).max(axis=0), 1e-300)
    scaled, measured_s = columns / scale, work.duration_s
    kept = np.ones(len(measured_s), dtype=bool)
    weights = 1 / measured_s
    for _ in range(_MAX_ROUNDS):
        found, _ = nnls(scaled[kept] * weights[kept, None], measured_s[kept] * weights[kept])
        # a step that the model does not tell at all must not weigh without end
        predicted_s = np.maximum(scaled @ found, 1e-3 * measured_s)
        errors = measured_s / predicted_s - 1
        kept, before = _without_stalls(work, errors), kept
        # errors relative to the model, not to the measurement: short steps would pull it down
        weights, previous = 1 / predicted_s, weights
        if np.array_equal(kept, before) and np.allclose(weights, previous, rtol=1e-9, atol=0):
            break
    return Solution(
        coefficients=found / scale,
        knots=knots,
        predicted_s=predicted_s,
        errors=errors,
        kept=kept,
    )


def knots_of(work: StepWork) -> tuple[int, ...]:
    """Return the batch sizes seen often enough that are powers of two or next to one, and the
    largest."""
    sizes, counts = np.unique(work.batch_sizes[work.num_decode_steps > 0], return_counts=True)
    seen = [int(size) for size, n in zip(sizes, counts, strict=True) if n >= _STEPS_AT_KNOT]
    if not seen:
        return ()
    powers = (2**k for k in range(seen[-1].bit_length()))
    knots = {min(size for size in seen if size >= power) for power in powers}
    return tuple(sorted(knots | {seen[-1]}))


def simplest_of(affine: Solution, by_batch_size: Solution) -> Solution:
    """Return the one of two fits with the lower Bayesian information criterion."""
    cutoff = _STALL_SIGMAS * max(_spread(affine.errors), _SMALLEST_CUTOFF)
    return min(affine, by_batch_size, key=lambda fit: _information(fit, cutoff))


def _columns(work: StepWork, knots: tuple[int, ...]) -> NDArray[np.float64]:
    """Return what each coefficient is multiplied with, [steps, coefficients].

    What each knot adds is at least 0, so a larger batch never takes less time.
    """
    mixed = work.has_prompts * (work.num_decode_steps > 0)
    columns = [work.has_prompts, work.num_prompts, work.prompt_tokens, work.decode_kv_tokens]
    columns.append(-mixed)
    if not knots:
        columns += [work.num_decode_steps, work.decode_rows]
    else:
        columns.append(work.num_decode_steps)
        for low, high in itertools.pairwise(knots):
            # as StepTimes has it: beyond the last knot the line goes on
            top = np.inf if high == knots[-1] else 1.0
            share = np.clip((work.batch_sizes - low) / (high - low), 0.0, top)
            columns.append(work.num_decode_steps * share)
    return np.stack(columns, axis=1)


def _without_stalls(work: StepWork, errors: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which steps are no stalls, each judged among its kind: prompts are told less well
    than decoding, and there are fewer of them."""
    kept = np.ones(len(errors), dtype=bool)
    for kind in (work.has_prompts > 0, work.has_prompts == 0):
        if kind.any():
            cutoff = max(_STALL_SIGMAS * _spread(errors[kind]), _SMALLEST_CUTOFF)
            kept[kind] = np.abs(errors[kind] - np.median(errors[kind])) <= cutoff
    return kept


def _spread(errors: NDArray[np.float64]) -> float:
    """Return the standard deviation that the median deviation of normal errors stands for."""
    return float(1.4826 * np.median(np.abs(errors - np.median(errors))))


def _information(fit: Solution, cutoff: float) -> float:
    """Return the Bayesian information criterion, stalls counted no worse than `cutoff`."""
    squares = float(np.mean(np.minimum(np.abs(fit.errors), cutoff) ** 2))
    num_steps = len(fit.errors)
    return float(
        num_steps * np.log(max(squares, _SMALLEST_CUTOFF**2))
        + len(fit.coefficients) * np.log(num_steps)
    )
