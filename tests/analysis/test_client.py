"""The loop's own cost against step times, by hand."""

from __future__ import annotations

import pytest

from paretobench.analysis.client import loop_cost_share
from paretobench.analysis.conditions import Conditions
from paretobench.core.values import StepRecord, Window

WINDOW = Window(start_s=10.0, end_s=20.0)
CONDITIONS = Conditions(loop_cost_s={1: 10e-6, 11: 110e-6})  # 10 µs a request


def step(end_s: float, duration_s: float, batch_size: int, num_steps: int = 1) -> StepRecord:
    return StepRecord(
        phase="decode",
        start_s=end_s - duration_s,
        duration_s=duration_s,
        batch_size=batch_size,
        joined=0,
        decode_rows=batch_size,
        prompt_tokens=0,
        new_tokens=batch_size,
        kv_tokens=0,
        padded_tokens=0,
        queue_depth=0,
        close_reason=None,
        num_steps=num_steps,
    )


def test_steps_alike_count_as_many_as_they_are() -> None:
    steps = [step(12.0, 0.5, 6), step(13.0, 0.004, 2, num_steps=4), step(14.0, 0.5, 6)]
    # six steps of mean batch 20 / 6, the median one of 1 ms
    share = loop_cost_share(steps, WINDOW, CONDITIONS)
    assert share == pytest.approx(20 / 6 * 10e-6 / 1e-3)


def test_only_steps_that_end_in_the_window_count() -> None:
    steps = [step(10.0, 1.0, 9), step(12.0, 0.002, 5), step(20.0, 0.002, 5), step(20.1, 1.0, 9)]
    assert loop_cost_share(steps, WINDOW, CONDITIONS) == pytest.approx(50e-6 / 2e-3)


@pytest.mark.parametrize(
    ("steps", "conditions"),
    [([step(12.0, 0.002, 5)], Conditions()), ([step(9.0, 0.002, 5)], CONDITIONS)],
)
def test_without_a_cost_or_a_step_there_is_no_share(
    steps: list[StepRecord], conditions: Conditions
) -> None:
    assert loop_cost_share(steps, WINDOW, conditions) is None
