"""How controllers move the batch limit, and what a batch is under it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from paretobench.core.controllers import (
    AimdController,
    Controller,
    ModelController,
    ThresholdController,
)
from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, Request, Trace
from paretobench.serving.policies.controllers import LimitController, make_limit_controller

Serve = Callable[..., tuple[Trace, object]]
SLA_S = 1.0


def controller(config: Controller, limit: int = 8, largest: int = 32) -> LimitController:
    made = make_limit_controller(config, largest)
    made.limit = limit
    return made


def threshold(limit: int = 8) -> LimitController:
    return controller(ThresholdController(latency_sla_s=SLA_S), limit)


def after(made: LimitController, latencies_s: Sequence[float], queue_depth: int = 0) -> int:
    made.after_batch(latencies_s=latencies_s, duration_s=0.1, queue_depth=queue_depth)
    return made.limit


@pytest.mark.parametrize(
    ("limit", "latency_s", "queue_depth", "expected"),
    [
        pytest.param(8, 1.21, 0, 4, id="over 1.2 x SLA: 4 down"),
        pytest.param(8, 1.19, 99, 8, id="not over 1.2 x SLA"),
        pytest.param(8, 0.49, 11, 12, id="under 0.5 x SLA and more than 10 wait: 4 up"),
        pytest.param(8, 0.49, 10, 8, id="no more than 10 wait"),
        pytest.param(8, 0.51, 99, 8, id="not under 0.5 x SLA"),
        pytest.param(3, 9.0, 0, 1, id="never under 1"),
        pytest.param(30, 0.1, 99, 32, id="never over the largest"),
    ],
)
def test_threshold_steps_by_four(
    limit: int, latency_s: float, queue_depth: int, expected: int
) -> None:
    assert after(threshold(limit), [latency_s], queue_depth) == expected


def test_threshold_goes_by_the_mean_of_recent_latencies() -> None:
    assert after(threshold(), [0.1, 0.1, 3.5]) == 4  # their mean is 1.23


def test_latencies_from_before_a_change_are_forgotten() -> None:
    made = threshold()
    assert after(made, [9.0]) == 4
    assert after(made, [1.0]) == 4


@pytest.mark.parametrize(
    ("limit", "latency_s", "queue_depth", "expected"),
    [
        pytest.param(8, 1.01, 5, 4, id="over the SLA: halved"),
        pytest.param(1, 9.0, 0, 1, id="never under 1"),
        pytest.param(8, 0.99, 1, 9, id="inside the SLA and some wait: one up"),
        pytest.param(8, 0.99, 0, 8, id="nobody waits"),
        pytest.param(32, 0.1, 9, 32, id="never over the largest"),
    ],
)
def test_aimd_adds_one_and_halves(
    limit: int, latency_s: float, queue_depth: int, expected: int
) -> None:
    made = controller(AimdController(latency_sla_s=SLA_S), limit)
    assert after(made, [latency_s], queue_depth) == expected


def test_aimd_goes_by_a_percentile() -> None:
    late = [0.1] * 16 + [5.0] * 4
    assert after(controller(AimdController(latency_sla_s=SLA_S, percentile=75)), late, 1) == 9
    assert after(controller(AimdController(latency_sla_s=SLA_S, percentile=95)), late, 1) == 4


@pytest.mark.parametrize(
    ("oldest_wait_s", "expected"),
    [
        pytest.param(0.0, 32, id="all the SLA is left: 44 would fit"),
        pytest.param(0.4, 24, id="0.5 s left: 0.02 + 0.02 b"),
        pytest.param(0.849, 1, id="room for one"),
        pytest.param(0.87, 32, id="none fits: the largest serves those behind soonest"),
    ],
)
def test_model_takes_the_largest_batch_that_keeps_the_oldest_inside_its_sla(
    oldest_wait_s: float, expected: int
) -> None:
    made = controller(ModelController(latency_sla_s=SLA_S, margin=0.1))
    for size in (1, 4, 9, 16):
        made.after_batch(latencies_s=[0.1] * size, duration_s=0.015 + 0.02 * size, queue_depth=0)
    cause = made.before_batch(oldest_wait_s=oldest_wait_s, queue_depth=3)
    assert made.limit == expected
    assert cause.startswith("duration 20.00 ms · b + 15.0 ms")


def test_model_keeps_its_limit_until_a_batch_was_seen() -> None:
    made = controller(ModelController(latency_sla_s=SLA_S), limit=5)
    made.before_batch(oldest_wait_s=9.0, queue_depth=3)
    assert made.limit == 5


def serve(serve_schedule: Serve, config: Controller, gap_s: float, count: int) -> Trace:
    schedule = [
        Request(request_id=i, arrival_s=i * gap_s, prompt_tokens=1, output_tokens=1)
        for i in range(count)
    ]
    batching = BatchingConfig(
        policy="adaptive", max_batch_size=16, max_waiting_time_s=0.0, controller=config
    )
    times = StepTimes(prefill_base_s=0.01, prefill_per_sequence_s=0.001)
    return serve_schedule(schedule, batching, times, several_classes=False, skips=True)[0]


CONTROLLERS = [
    ThresholdController(latency_sla_s=2.0),
    AimdController(latency_sla_s=2.0),
    ModelController(latency_sla_s=2.0),
]


@pytest.mark.parametrize("config", CONTROLLERS, ids=lambda c: c.kind)
def test_a_light_load_is_served_at_once_in_small_batches(
    serve_schedule: Serve, config: Controller
) -> None:
    trace = serve(serve_schedule, config, gap_s=0.02, count=50)
    assert all(r.admitted_s == r.arrival_s for r in trace.requests)
    assert {step.batch_size for step in trace.steps} == {1}


@pytest.mark.parametrize("config", CONTROLLERS, ids=lambda c: c.kind)
def test_a_heavy_load_fills_batches_and_every_change_says_why(
    serve_schedule: Serve, config: Controller
) -> None:
    trace = serve(serve_schedule, config, gap_s=0.001, count=600)
    assert max(step.batch_size for step in trace.steps) == 16
    changes = trace.limit_changes
    assert [c.before for c in changes] == [1, *(c.after for c in changes[:-1])]
    assert all(c.cause and c.queue_depth > 0 for c in changes)


@pytest.mark.parametrize("skips", [True, False])
def test_a_controller_learns_of_those_that_came_while_the_batch_ran(
    serve_schedule: Serve, skips: bool
) -> None:
    schedule = [
        Request(request_id=i, arrival_s=0.02 * i, prompt_tokens=1, output_tokens=9)
        for i in range(4)
    ]
    config = BatchingConfig(
        policy="adaptive",
        max_batch_size=16,
        max_waiting_time_s=0.0,
        controller=AimdController(latency_sla_s=2.0),
    )
    times = StepTimes(prefill_base_s=0.01, decode_base_s=0.01)
    trace, _ = serve_schedule(schedule, config, times, skips=skips)
    assert (trace.limit_changes[0].after, trace.limit_changes[0].queue_depth) == (2, 3)
