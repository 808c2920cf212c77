"""What giving up a slot costs, and what goes on while others wait for memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, ClassBatching, Preemption, Request, Trace

Serve = Callable[..., tuple[Trace, object]]
TIMES = StepTimes(prefill_base_s=0.01, decode_base_s=0.01)


def config(
    preemption: Preemption | None,
    *,
    size: int = 1,
    budget: int | None = None,
    chunk: int | None = None,
    high_wait_s: float = 0.0,
) -> BatchingConfig:
    return BatchingConfig(
        policy="continuous",
        max_batch_size=size,
        max_waiting_time_s=0.0,
        kv_budget_tokens=budget,
        max_prefill_tokens_per_step=chunk,
        arrangement="priority",
        mix_classes=True,
        preemption=preemption,
        classes=tuple(
            ClassBatching(
                name=name,
                max_batch_size=size,
                max_waiting_time_s=high_wait_s if name == "high" else 0.0,
                priority=priority,
                device_share=0.3,
            )
            for name, priority in (("low", 0), ("normal", 1), ("high", 2))
        ),
    )


def schedule(*shapes: tuple[str, float, int, int]) -> list[Request]:
    """Requests of `(class, arrival in s, prompt, output)`, and one that keeps the source open."""
    return [
        Request(
            request_id=i,
            class_name=name,
            arrival_s=at_s,
            prompt_tokens=prompt,
            output_tokens=output,
        )
        for i, (name, at_s, prompt, output) in enumerate([*shapes, ("low", 9.0, 1, 1)])
    ]


@pytest.mark.parametrize(("preemption", "again"), [("recompute", 4 + 3), ("keep_kv", 0)])
def test_a_preempted_request_goes_on_where_it_stopped(
    serve_schedule: Serve, preemption: Preemption, again: int
) -> None:
    # low has its third token at 0.03; high then takes the slot for two steps
    requests = schedule(("low", 0.0, 4, 6), ("high", 0.025, 2, 2))
    trace, _ = serve_schedule(requests, config(preemption), TIMES)
    low = trace.requests[0]
    assert list(low.token_times_s) == pytest.approx([0.01, 0.02, 0.03, 0.06, 0.07, 0.08])
    assert (low.num_preemptions, low.preempted_s) == (1, pytest.approx(0.02))
    assert low.recomputed_tokens == max(again - 1, 0)  # the last token was not in the cache yet
    assert sum(step.prompt_tokens for step in trace.steps) == 4 + 2 + 1 + again


def test_a_cache_given_up_twice_before_the_next_token_counts_once(serve_schedule: Serve) -> None:
    requests = schedule(("low", 0.0, 4, 6), ("high", 0.055, 1, 1), ("high", 0.085, 1, 1))
    trace, _ = serve_schedule(requests, config("recompute", chunk=1), TIMES)
    low = trace.requests[0]
    assert low.num_preemptions == 2
    assert low.recomputed_tokens == 4 + 3 - 1
    assert len(low.token_times_s) == 6


@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize(
    ("arrival_s", "wait_s"),
    [
        pytest.param(0.105, 0.0, id="it comes while memory is short"),
        pytest.param(0.005, 0.1, id="its wait ends while memory is short"),
    ],
)
def test_who_outranks_those_that_wait_for_memory_does_not_wait_with_them(
    serve_schedule: Serve, skips: bool, arrival_s: float, wait_s: float
) -> None:
    # low runs for 0.4 s; normal finds no memory beside it, high does
    shapes = sorted(
        [("low", 0.0, 4, 40), ("normal", 0.015, 9, 9), ("high", arrival_s, 2, 2)],
        key=lambda shape: shape[1],
    )
    settings = config(None, size=3, budget=50, high_wait_s=wait_s)
    trace, _ = serve_schedule(schedule(*shapes), settings, TIMES, skips=skips)
    high = next(r for r in trace.requests if r.class_name == "high")
    normal = next(r for r in trace.requests if r.class_name == "normal")
    assert high.admitted_s == pytest.approx(0.11)
    assert normal.kv_blocked_s == pytest.approx(0.02)
    assert (normal.admitted_s or 0) > 0.4


def test_who_holds_all_memory_goes_on_though_it_is_outranked(serve_schedule: Serve) -> None:
    # high preempts low, then normal wants the memory that low's cache keeps: low must end first
    requests = schedule(("low", 0.0, 5, 10), ("high", 0.025, 2, 2), ("normal", 0.03, 5, 5))
    trace, _ = serve_schedule(requests, config("keep_kv", budget=20), TIMES)
    low, _, normal, _ = trace.requests
    assert [r.status for r in trace.requests] == ["finished"] * 4
    assert (normal.admitted_s or 0) >= (low.finished_s or 0)
