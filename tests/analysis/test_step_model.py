"""Step times fitted to steps: exactly without noise, and near enough with noise and stalls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretobench.analysis.step_model import StepFit, fit_step_times
from paretobench.core.step_times import StepTimes
from paretobench.core.values import Request, StepRecord
from paretobench.runners.latency_model import LatencyModelRunner
from paretobench.serving.clock import VirtualClock

TIMES = StepTimes(
    prefill_base_s=3e-3,
    prefill_per_sequence_s=2e-4,
    prefill_per_token_s=5e-5,
    decode_base_s=8e-3,
    decode_per_sequence_s=3e-4,
    decode_per_kv_token_s=1e-6,
)
BY_BATCH_SIZE = replace(
    TIMES,
    decode_base_s=0.0,
    decode_per_sequence_s=0.0,
    decode_by_batch_size=((1, 8e-3), (2, 8e-3), (4, 9e-3), (8, 14e-3), (16, 30e-3)),
)


def serve(
    times: StepTimes,
    *,
    max_batch_size: int = 16,
    max_prefill_tokens: int | None = None,
    num_steps: int = 1500,
    between_steps_s: float = 0.0,
    seed: int = 0,
) -> list[StepRecord]:
    """Return steps of a runner whose requests come and go at random, so that many are mixed."""
    rng = np.random.default_rng(seed)
    clock = VirtualClock()
    runner = LatencyModelRunner(times, clock.sleep)
    runner.start_trial(
        max_batch_size=max_batch_size,
        max_request_tokens=1000,
        prompts=lambda _: np.zeros(0, np.int64),
        max_prefill_tokens_per_step=max_prefill_tokens,
    )
    owed: dict[int, int] = {}
    steps: list[StepRecord] = []
    next_id = 0
    while len(steps) < num_steps:
        join = []
        for _ in range(
            rng.integers(0, max_batch_size - len(owed) + 1) if rng.random() < 0.3 else 0
        ):
            join.append(
                Request(
                    request_id=next_id,
                    arrival_s=0.0,
                    prompt_tokens=int(rng.integers(1, 200)),
                    output_tokens=int(rng.integers(1, 40)),
                )
            )
            owed[next_id] = join[-1].output_tokens
            next_id += 1
        if not owed:
            continue
        start_s = clock.now()
        result = runner.step(join)
        steps.append(
            StepRecord(
                phase="decode",
                start_s=start_s,
                duration_s=clock.now() - start_s,
                batch_size=len(owed),
                joined=len(join),
                decode_rows=result.decode_rows,
                prompt_tokens=result.prompt_tokens,
                new_tokens=len(result.tokens),
                kv_tokens=result.kv_tokens,
                padded_tokens=result.padded_rows,
                queue_depth=0,
                close_reason=None,
                num_prompts=result.num_prompts,
                decode_kv_tokens=result.decode_kv_tokens,
            )
        )
        for request_id, _ in result.tokens:
            owed[request_id] -= 1
        done = [request_id for request_id, left in owed.items() if not left]
        runner.leave(done)
        for request_id in done:
            del owed[request_id]
        clock.sleep(between_steps_s)
    return steps


def fit(*trials: Sequence[StepRecord]) -> StepFit:
    found = fit_step_times(trials)
    assert found is not None
    return found


def decode_s(times: StepTimes, rows: int) -> float:
    return times.duration_s(num_joining=0, prompt_tokens=0, num_decoding=rows, kv_tokens=100 * rows)


def coefficients(times: StepTimes) -> dict[str, float]:
    values = asdict(times)
    by_batch_size = values.pop("decode_by_batch_size")
    return {**values, **{f"{rows} rows": s for rows, s in by_batch_size}}


def near(expected: dict[str, float]) -> object:
    return pytest.approx(expected, rel=1e-6, abs=1e-12)


def without_new_fields(steps: Sequence[StepRecord]) -> list[StepRecord]:
    return [replace(step, num_prompts=None, decode_kv_tokens=None) for step in steps]


@pytest.mark.parametrize("max_prefill_tokens", [None, 64])
@pytest.mark.parametrize("saving_s", [0.0, 2e-3])
def test_affine_times_are_recovered_exactly(max_prefill_tokens: int, saving_s: float) -> None:
    times = replace(TIMES, mixed_saving_s=saving_s)
    found = fit(serve(times, max_prefill_tokens=max_prefill_tokens))
    assert found.form == "affine"
    assert coefficients(found.times) == near(coefficients(times))
    assert found.residual < 1e-9
    assert found.untold_share == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("max_prefill_tokens", [None, 64])
def test_decode_time_by_batch_size_is_recovered_exactly(max_prefill_tokens: int) -> None:
    found = fit(
        *(
            serve(BY_BATCH_SIZE, max_batch_size=size, max_prefill_tokens=max_prefill_tokens)
            for size in (1, 2, 4, 16)
        )
    )
    assert found.form == "by_batch_size"
    assert found.affine_residual > 0.01
    for rows in range(1, 17):
        assert decode_s(found.times, rows) == pytest.approx(decode_s(BY_BATCH_SIZE, rows), rel=1e-6)
    assert found.times.prefill_per_token_s == pytest.approx(5e-5, rel=1e-6)


def test_steps_of_before_the_new_fields_are_exact_where_prompts_were_whole() -> None:
    found = fit(without_new_fields(serve(TIMES)))
    assert coefficients(found.times) == near(coefficients(TIMES))


def test_noise_and_stalls_leave_the_times_within_a_few_percent() -> None:
    rng = np.random.default_rng(1)
    steps = serve(TIMES, num_steps=4000)
    stalled = rng.random(len(steps)) < 0.01
    factors = rng.normal(1.0, 0.05, len(steps)) * np.where(stalled, 10.0, 1.0)
    noisy = [
        replace(step, start_s=0.0, duration_s=step.duration_s * factor)
        for step, factor in zip(steps, factors, strict=True)
    ]
    found = fit(noisy)
    told = [decode_s(found.times, rows) / decode_s(TIMES, rows) for rows in (1, 4, 16)]
    assert told == pytest.approx([1.0] * 3, abs=0.02)
    assert found.times.prefill_per_token_s == pytest.approx(5e-5, rel=0.05)
    assert stalled.sum() <= found.num_stalls <= stalled.sum() + 0.01 * len(steps)
    assert found.untold_share == pytest.approx(0.09, abs=0.04)  # 1% of the steps took 10 times


def test_the_time_between_steps_is_part_of_the_next_steps() -> None:
    found = fit(serve(TIMES, between_steps_s=1e-3))
    assert found.between_steps_s == pytest.approx(1e-3)
    assert found.times.decode_base_s == pytest.approx(9e-3, rel=1e-6)


def test_a_hold_before_a_batch_is_no_part_of_its_steps() -> None:
    steps = serve(TIMES, max_batch_size=2)  # often idle
    shift_s, held = 0.0, []
    for step in steps:
        shift_s += 0.0 if step.decode_rows else 5.0
        held.append(replace(step, start_s=step.start_s + shift_s))
    found = fit(held)
    assert coefficients(found.times) == near(coefficients(TIMES))
    assert found.num_stalls == 0


def test_a_call_that_returned_nothing_belongs_to_the_step_that_the_next_one_returns() -> None:
    steps = serve(TIMES)
    late: list[StepRecord] = []
    for step in steps:
        if not step.decode_rows:  # the device was idle: this step takes two calls
            launch = replace(step, duration_s=1e-3, prompt_tokens=0, num_prompts=0, new_tokens=0)
            rest_s = step.duration_s - 1e-3
            late += [launch, replace(step, start_s=step.start_s + 1e-3, duration_s=rest_s)]
        else:
            late.append(step)
    found = fit(late)
    assert found.num_steps == len(steps)
    assert coefficients(found.times) == near(coefficients(TIMES))


def test_a_record_of_several_steps_counts_as_so_many() -> None:
    several = [
        replace(step, start_s=0.0)
        if step.prompt_tokens
        else replace(
            step,
            start_s=0.0,
            num_steps=3,
            duration_s=3 * step.duration_s,
            decode_rows=3 * step.decode_rows,
            decode_kv_tokens=3 * (step.decode_kv_tokens or 0),
        )
        for step in serve(TIMES)
    ]
    found = fit(several)
    assert coefficients(found.times) == near(coefficients(TIMES))
    assert found.batch_sizes[1] == 16


def test_engines_side_by_side_do_not_fill_each_others_gaps() -> None:
    one = [replace(step, engine="a") for step in serve(TIMES, between_steps_s=1e-3)]
    two = [replace(s, engine="b") for s in serve(TIMES, between_steps_s=1e-3, seed=1)]
    found = fit(sorted([*one, *two], key=lambda step: step.start_s))
    assert found.between_steps_s == pytest.approx(1e-3)
    assert found.times.decode_base_s == pytest.approx(9e-3, rel=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), spread=st.floats(0.05, 1.5))
def test_no_coefficient_is_ever_negative(seed: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    factors = rng.lognormal(0.0, spread, 120)
    steps = [
        replace(step, start_s=0.0, duration_s=step.duration_s * factor)
        for step, factor in zip(serve(TIMES, num_steps=120, seed=seed), factors, strict=True)
    ]
    times = asdict(fit(steps).times)
    knots = times.pop("decode_by_batch_size")
    assert all(value >= 0 for value in times.values())
    seconds = [s for _, s in knots]
    assert seconds == sorted(seconds)  # a larger batch never takes less time
    assert all(s >= 0 for s in seconds)


def test_steps_that_never_decode_cannot_be_fitted() -> None:
    prompts = [step for step in serve(TIMES) if not step.decode_rows]
    assert fit_step_times([prompts, []]) is None
