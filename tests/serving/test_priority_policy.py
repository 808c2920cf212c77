"""Which class goes first, who gives up a slot, and how waiting raises a request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, ClassBatching, Request, Trace
from paretobench.runners.base import Capacity
from paretobench.serving.policies import Admit, Continue, Decision, Hold, ServingState, make_policy
from paretobench.serving.recorder import InFlight

Serve = Callable[..., tuple[Trace, object]]
CONFIG = BatchingConfig(
    policy="continuous",
    max_batch_size=4,
    max_waiting_time_s=0.0,
    arrangement="priority",
    classes=tuple(
        ClassBatching(
            name=name, max_batch_size=4, max_waiting_time_s=0.0, priority=priority, device_share=0.3
        )
        for name, priority in (("low", 0), ("normal", 1), ("high", 2))
    ),
    mix_classes=True,
)


def waits(request_id: int, class_name: str, arrival_s: float = 0.0, tokens: int = 10) -> Request:
    return Request(
        request_id=request_id,
        class_name=class_name,
        arrival_s=arrival_s,
        prompt_tokens=tokens - 5,
        output_tokens=5,
    )


def runs(request_id: int, class_name: str, joined_s: float = 0.0) -> InFlight:
    in_flight = InFlight(waits(request_id, class_name), measured=True)
    in_flight.join(joined_s)
    return in_flight


def decide(
    config: BatchingConfig,
    waiting: Sequence[Request],
    running: Sequence[InFlight] = (),
    *,
    now_s: float = 1.0,
    free_kv_tokens: int | None = None,
    set_aside: frozenset[int] = frozenset(),
) -> Decision:
    queues: dict[str, list[Request]] = {}
    for r in waiting:
        queues.setdefault(r.class_name, []).append(r)
    return make_policy(config).decide(
        ServingState(
            now_s=now_s,
            queues=queues,
            running={f.request.request_id: f for f in running},
            num_running=len(running),
            capacity=Capacity(
                free_slots=64, max_request_tokens=None, free_kv_tokens=free_kv_tokens
            ),
            more_will_come=True,
            set_aside=set_aside,
        )
    )


def joining(decision: Decision) -> list[tuple[str, int]]:
    assert isinstance(decision, Admit)
    return [(group.lane, group.num_requests) for group in decision.groups]


def with_class(config: BatchingConfig, name: str, **changes: float) -> BatchingConfig:
    own = (replace(c, **changes) if c.name == name else c for c in config.classes)
    return replace(config, classes=tuple(own))


def test_the_higher_class_goes_first() -> None:
    waiting = [waits(0, "low"), waits(1, "normal"), waits(2, "high"), waits(3, "high")]
    decision = decide(replace(CONFIG, max_batch_size=3), waiting)
    assert joining(decision) == [("high", 2), ("normal", 1)]


def test_of_equal_ranks_the_first_to_come_goes_first() -> None:
    config = with_class(CONFIG, "normal", priority=2)
    waiting = [waits(0, "high", 0.1), waits(1, "normal", 0.2), waits(2, "high", 0.3)]
    assert joining(decide(config, waiting)) == [("high", 1), ("normal", 1), ("high", 1)]


@pytest.mark.parametrize(("now_s", "first"), [(0.99, "normal"), (1.0, "low")])
def test_waiting_raises_a_request_by_a_class_every_aging_s(now_s: float, first: str) -> None:
    config = replace(CONFIG, aging_s=1.0, max_batch_size=1)
    waiting = [waits(0, "low", 0.0), waits(1, "normal", 0.5)]
    assert joining(decide(config, waiting, now_s=now_s)) == [(first, 1)]


def test_at_the_top_nobody_rises_further_and_the_first_to_come_goes_first() -> None:
    config = replace(CONFIG, aging_s=1.0, max_batch_size=1)
    waiting = [waits(0, "high", 1.0), waits(1, "low", 2.0)]
    assert joining(decide(config, waiting, now_s=50.0)) == [("high", 1)]


def test_a_class_takes_no_more_than_its_own_limit_and_lets_others_have_the_rest() -> None:
    config = with_class(CONFIG, "high", max_batch_size=1)
    waiting = [waits(0, "high"), waits(1, "high"), waits(2, "low")]
    assert joining(decide(config, waiting)) == [("high", 1), ("low", 1)]


def test_the_lowest_rank_gives_up_its_slot_and_of_one_rank_the_last_to_join() -> None:
    config = replace(CONFIG, preemption="recompute")
    running = [runs(10, "low"), runs(11, "normal"), runs(12, "low"), runs(13, "normal")]
    decision = decide(config, [waits(0, "high"), waits(1, "high"), waits(2, "high")], running)
    assert isinstance(decision, Admit)
    assert decision.preempt == (12, 10, 13)


def test_an_equal_rank_keeps_its_slot() -> None:
    config = replace(CONFIG, preemption="recompute", max_batch_size=1)
    decision = decide(config, [waits(0, "high")], [runs(10, "high")])
    assert decision == Continue(until_s=None)


def test_a_class_does_not_preempt_its_own_though_waiting_raised_it() -> None:
    config = replace(CONFIG, preemption="recompute", max_batch_size=1, aging_s=0.5)
    decision = decide(config, [waits(1, "low")], [runs(0, "low")], now_s=0.7)
    assert isinstance(decision, Continue)


def test_without_preemption_nobody_joins_past_a_higher_rank_that_found_no_place() -> None:
    running = [runs(i, "low") for i in range(4)]
    assert decide(CONFIG, [waits(5, "high"), waits(6, "low")], running) == Continue(until_s=None)


@pytest.mark.parametrize("preemption", ["recompute", "keep_kv"])
def test_nobody_gives_up_a_slot_in_vain(preemption: str) -> None:
    config = replace(CONFIG, preemption=preemption, max_batch_size=1)  # type: ignore[arg-type]
    frees = 10 if preemption == "recompute" else 0
    for free_kv_tokens, goes in ((20 - frees, True), (19 - frees, False)):
        decision = decide(
            config, [waits(0, "high", tokens=20)], [runs(1, "low")], free_kv_tokens=free_kv_tokens
        )
        assert isinstance(decision, Admit) == goes


@pytest.mark.parametrize("mixes", [True, False])
def test_who_still_holds_its_cache_needs_no_memory_to_come_back(mixes: bool) -> None:
    config = replace(CONFIG, preemption="keep_kv", max_batch_size=1, mix_classes=mixes)
    decision = decide(
        config, [waits(0, "high")], [runs(1, "low")], free_kv_tokens=0, set_aside=frozenset({0})
    )
    assert isinstance(decision, Admit)
    assert decision.preempt == (1,)


def test_an_unmixed_batch_grows_by_its_own_class_alone() -> None:
    config = replace(CONFIG, mix_classes=False)
    waiting = [waits(0, "normal"), waits(1, "low"), waits(2, "normal")]
    assert joining(decide(config, waiting, [runs(9, "normal")])) == [("normal", 2)]


def test_an_unmixed_batch_waits_for_its_end_where_another_class_is_next() -> None:
    config = replace(CONFIG, mix_classes=False)
    decision = decide(config, [waits(0, "high"), waits(1, "low")], [runs(9, "low")])
    assert decision == Continue(until_s=None)


def test_an_unmixed_batch_gives_way_whole_to_a_class_that_outranks_it() -> None:
    config = replace(CONFIG, mix_classes=False, preemption="keep_kv")
    decision = decide(config, [waits(0, "high")], [runs(8, "low"), runs(9, "low")])
    assert joining(decision) == [("high", 1)]
    assert isinstance(decision, Admit)
    assert decision.preempt == (9, 8)


def test_an_unmixed_batch_stays_if_any_of_it_is_not_outranked() -> None:
    config = replace(CONFIG, mix_classes=False, preemption="keep_kv", aging_s=1.0)
    running = [runs(8, "low", joined_s=0.0), runs(9, "low", joined_s=2.0)]  # of ranks 0 and 2
    decision = decide(config, [waits(0, "high", 2.9)], running, now_s=3.0)
    assert isinstance(decision, Continue)


def test_a_static_batch_runs_to_its_end() -> None:
    config = replace(CONFIG, policy="static")
    decision = decide(config, [waits(0, "high")], [runs(9, "low")])
    assert decision == Continue(until_arrival=False)


def test_each_class_is_held_for_its_own_wait() -> None:
    config = with_class(
        with_class(CONFIG, "low", max_waiting_time_s=9.0), "high", max_waiting_time_s=2.0
    )
    assert decide(config, [waits(0, "low", 0.5), waits(1, "high", 0.8)]) == Hold(until_s=2.8)


def test_those_that_run_go_on_to_the_next_rise() -> None:
    config = replace(CONFIG, aging_s=1.0, max_batch_size=1)
    waiting = [waits(0, "low", 0.5), waits(1, "low", 0.6), waits(2, "high", 0.0)]
    assert decide(config, waiting, [runs(9, "high")], now_s=1.6) == Continue(until_s=2.5)


@pytest.mark.parametrize("policy", ["static", "continuous"])
@pytest.mark.parametrize("mixes", [True, False])
def test_aging_ends_the_wait_that_an_endless_stream_of_higher_classes_makes(
    serve_schedule: Serve, policy: str, mixes: bool
) -> None:
    config = replace(CONFIG, policy=policy, mix_classes=mixes, max_batch_size=2, aging_s=0.5)
    times = StepTimes(prefill_base_s=0.01, decode_base_s=0.01)
    solo_s, gap_s = 0.05, 0.01  # a batch of 2 takes 50 ms, ten requests come in that time
    schedule = [waits(i, "high", i * gap_s) for i in range(400)]
    schedule[20] = replace(schedule[20], class_name="low")
    low = schedule[20]
    trace, _ = serve_schedule(schedule, config, times)
    raised_s = low.arrival_s + 2 * 0.5  # it is of the highest class then: only those before it
    before = [r for r in trace.requests[:20] if (r.finished_s or 0) > raised_s]
    admitted_s = trace.requests[20].admitted_s or 0
    running_s = 2 * solo_s + gap_s
    assert raised_s - running_s <= admitted_s <= raised_s + len(before) * solo_s + running_s
    without, _ = serve_schedule(schedule, replace(config, aging_s=None), times)
    last_high_s = max(r.admitted_s or 0 for r in without.requests if r.class_name == "high")
    assert (without.requests[20].admitted_s or 0) >= last_high_s
