"""The step-time model fitted to steps that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.step_regression import Solution, knots_of, simplest_of, solve
from paretobench.analysis.step_work import StepWork, work_of
from paretobench.core.step_times import StepTimes
from paretobench.core.units import to_ms
from paretobench.core.values import StepRecord

Form = Literal["affine", "by_batch_size"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFit:
    """Step times, and how well they tell the steps they were fitted to.

    `residual` is the median of |model / measured − 1|, `r_squared` the share of the variance told,
    both over all steps; `affine_residual` the former for decode time as base + per_sequence.
    `num_stalls` steps were left out as stalls; `untold_share` is by how much all steps together
    took longer than the model says. `between_steps_s` is the time from a step to the next, which
    the times include. The ranges are what was seen: beyond them the model extrapolates.
    """

    times: StepTimes
    form: Form
    num_steps: int
    num_stalls: int
    residual: float
    affine_residual: float
    r_squared: float
    untold_share: float
    between_steps_s: float
    batch_sizes: tuple[int, int]
    prompt_tokens: tuple[int, int] | None  # of a step; None where no prompt was computed
    kv_tokens: tuple[int, int]

    def summary(self) -> str:
        """Return the coefficients and how well they tell the steps, on a few lines."""
        times = self.times
        if times.decode_by_batch_size:
            knots = ", ".join(f"{to_ms(s):.3g} at {n}" for n, s in times.decode_by_batch_size)
            decode = f"{knots} rows"
        else:
            rows_ms = to_ms(times.decode_per_sequence_s)
            decode = f"{to_ms(times.decode_base_s):.3g} + {rows_ms:.3g} · rows"
        return (
            f"step times in ms, fitted to {self.num_steps} steps:\n"
            f"  prefill {to_ms(times.prefill_base_s):.3g} + "
            f"{to_ms(times.prefill_per_sequence_s):.3g} · prompts + "
            f"{to_ms(times.prefill_per_token_s):.3g} · tokens\n"
            f"  decode {decode} + {to_ms(times.decode_per_kv_token_s):.3g} · KV tokens\n"
            f"  saved by a step that does both {to_ms(times.mixed_saving_s):.3g}\n"
            f"  median error {self.residual:.1%}, {self.num_stalls} stalled steps left out, "
            f"{self.untold_share:+.1%} of the time not told"
        )

    def describe(self) -> dict[str, Any]:
        """Return everything for a manifest, times in milliseconds."""
        facts = asdict(self)
        facts["between_steps_ms"] = to_ms(facts.pop("between_steps_s"))
        times = facts.pop("times")
        by_batch_size = {str(rows): to_ms(s) for rows, s in times.pop("decode_by_batch_size")}
        times_ms = {f"{name.removesuffix('_s')}_ms": to_ms(s) for name, s in times.items()}
        return {**times_ms, "decode_by_batch_size_ms": by_batch_size or None, **facts}


def fit_step_times(trials: Sequence[Sequence[StepRecord]]) -> StepFit | None:
    """Return the model fitted to the steps of several trials; None where no step decodes.

    Least squares of the relative error with coefficients of at least 0, repeated without the steps
    that stalled: more than four robust standard deviations from the model, among steps of their
    kind. Decode time is told at several batch sizes where that is worth its coefficients (BIC),
    else as base + per_sequence · rows.
    """
    work = work_of(trials)
    if work is None:
        return None
    affine = solve(work, ())
    knots = knots_of(work)
    best = affine if len(knots) < 3 else simplest_of(affine, solve(work, knots))
    return _describe(work, best, affine)


def _describe(work: StepWork, fit: Solution, affine: Solution) -> StepFit:
    measured_s = work.duration_s
    variance = float(np.sum((measured_s - measured_s.mean()) ** 2))
    untold = float(np.sum((measured_s - fit.predicted_s) ** 2))
    decoding, prompting = work.num_decode_steps > 0, work.has_prompts > 0
    return StepFit(
        times=_step_times(fit),
        form="by_batch_size" if fit.knots else "affine",
        num_steps=len(measured_s),
        num_stalls=int((~fit.kept).sum()),
        residual=_residual(fit),
        affine_residual=_residual(affine),
        r_squared=1 - untold / variance if variance else 1.0,
        untold_share=float(measured_s.sum() / fit.predicted_s.sum() - 1),
        between_steps_s=work.between_steps_s,
        batch_sizes=_range(work.batch_sizes[decoding]),
        prompt_tokens=_range(work.prompt_tokens[prompting]) if prompting.any() else None,
        kv_tokens=_range((work.decode_kv_tokens / np.maximum(work.num_decode_steps, 1))[decoding]),
    )


def _residual(fit: Solution) -> float:
    return float(np.median(np.abs(1 / (1 + fit.errors) - 1)))


def _range(values: NDArray[np.float64]) -> tuple[int, int]:
    return int(values.min()), int(values.max())


def _step_times(fit: Solution) -> StepTimes:
    base_s, per_prompt_s, per_token_s, per_kv_token_s, saving_s, *decode = map(
        float, fit.coefficients
    )
    by_batch_size = tuple(zip(fit.knots, map(float, np.cumsum(decode)), strict=False))
    return StepTimes(
        prefill_base_s=base_s,
        prefill_per_sequence_s=per_prompt_s,
        prefill_per_token_s=per_token_s,
        decode_base_s=0.0 if fit.knots else decode[0],
        decode_per_sequence_s=0.0 if fit.knots else decode[1],
        decode_per_kv_token_s=per_kv_token_s,
        decode_by_batch_size=by_batch_size,
        mixed_saving_s=saving_s,
    )
