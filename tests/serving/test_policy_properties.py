"""What must hold whatever comes, under whatever settings: judged by what the runner was asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretobench.core.controllers import AimdController, ModelController, ThresholdController
from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, ClassBatching, Request, RequestRecord, Trace
from paretobench.targets.engines import engine_batching

Serve = Callable[..., tuple[Trace, Sequence[Any]]]
Schedule = tuple[Request, ...]
CLASSES = {"low": 0, "normal": 3, "high": 7}  # the name and its priority
CONTROLLERS = (
    ThresholdController(latency_sla_s=0.05, initial_batch_size=2, step=1, min_queue_depth=1),
    AimdController(latency_sla_s=0.1, recent=4),
    ModelController(latency_sla_s=0.1),
)
TIMES = (
    StepTimes(prefill_base_s=0.01, decode_base_s=0.002),
    StepTimes(
        prefill_base_s=0.004,
        prefill_per_sequence_s=0.001,
        prefill_per_token_s=0.0003,
        decode_base_s=0.007,
        decode_per_sequence_s=0.001,
        decode_per_kv_token_s=0.0001,
    ),
    StepTimes(prefill_per_token_s=0.001, decode_base_s=0.003),
)
sizes = st.integers(1, 5)
waits_s = st.sampled_from([0.0, 0.004, 0.03, 0.3])
maybe_chunked = st.sampled_from([None, None, 1, 3, 10])
maybe_budget = st.sampled_from([None, None, 18, 30, 60])


@st.composite
def schedules(draw: st.DrawFn) -> tuple[Request, ...]:
    gap = st.sampled_from([0.0, 0.0, 0.001, 0.01, 0.02, 0.1, 0.5])
    shape = st.tuples(gap, st.sampled_from(list(CLASSES)), st.integers(1, 12), st.integers(1, 8))
    drawn = draw(st.lists(shape, min_size=1, max_size=24))
    arrivals_s = accumulate(gap_s for gap_s, *_ in drawn)
    return tuple(
        Request(
            request_id=i,
            class_name=class_name,
            arrival_s=arrival_s,
            prompt_tokens=prompt,
            output_tokens=output,
        )
        for i, (arrival_s, (_, class_name, prompt, output)) in enumerate(
            zip(arrivals_s, drawn, strict=True)
        )
    )


@st.composite
def one_queue(draw: st.DrawFn) -> BatchingConfig:
    policy = draw(st.sampled_from(["static", "continuous", "adaptive"]))
    return BatchingConfig(
        policy=policy,
        max_batch_size=draw(sizes),
        max_waiting_time_s=0.0 if policy == "adaptive" else draw(waits_s),
        kv_budget_tokens=draw(maybe_budget),
        max_prefill_tokens_per_step=draw(maybe_chunked),
        controller=draw(st.sampled_from(CONTROLLERS)) if policy == "adaptive" else None,
        mix_classes=draw(st.booleans()),
    )


@st.composite
def priorities(draw: st.DrawFn) -> BatchingConfig:
    policy = draw(st.sampled_from(["static", "continuous", "continuous"]))
    preemption = draw(st.sampled_from([None, "recompute", "keep_kv"]))
    return BatchingConfig(
        policy=policy,
        max_batch_size=draw(sizes),
        max_waiting_time_s=0.0,
        kv_budget_tokens=draw(maybe_budget),
        max_prefill_tokens_per_step=draw(maybe_chunked),
        arrangement="priority",
        classes=tuple(
            ClassBatching(
                name=name,
                max_batch_size=draw(sizes),
                max_waiting_time_s=draw(waits_s),
                priority=priority,
                device_share=1 / 3,
            )
            for name, priority in CLASSES.items()
        ),
        mix_classes=draw(st.booleans()),
        aging_s=draw(st.sampled_from([None, 0.02, 0.1, 1.0])),
        preemption=preemption if policy == "continuous" else None,
    )


@st.composite
def engines(draw: st.DrawFn) -> BatchingConfig:
    config = replace(draw(priorities()), arrangement="separate", aging_s=None, preemption=None)
    return engine_batching(config, draw(st.sampled_from(list(CLASSES))))


any_config = st.one_of(one_queue(), priorities(), priorities(), engines())
some = settings(max_examples=200, deadline=None, derandomize=True)


@dataclass(frozen=True, kw_only=True)
class Moment:
    """A step, and who waited for it, by arrival, joiners included."""

    seen: Any
    waiting: list[RequestRecord]
    left_waiting: list[RequestRecord]
    idle_since_s: float | None  # the runner held nobody from then on until this step
    taken_s: Mapping[int, float]  # when each that has a slot took it
    free_kv_tokens: float


def moments(config: BatchingConfig, trace: Trace, steps: Sequence[Any]) -> Iterator[Moment]:
    """Play a trial back from the runner's account; of the records it takes shapes and arrivals."""
    records = {r.request_id: r for r in trace.requests}
    queued = [r for r in trace.requests if r.status != "rejected"]
    budget = np.inf if config.kv_budget_tokens is None else config.kv_budget_tokens
    taken_s: dict[int, float] = {}
    aside: set[int] = set()
    end_s = 0.0
    for seen in steps:
        aside = (aside | set(seen.preempted)) - set(seen.joined)
        taken_s |= dict.fromkeys(seen.joined, seen.start_s)
        absent = seen.gone | (set(seen.held) - set(seen.joined))
        waiting = [r for r in queued if r.arrival_s <= seen.start_s and r.request_id not in absent]
        holders = {*seen.held, *(aside if config.preemption == "keep_kv" else ())}
        yield Moment(
            seen=seen,
            waiting=waiting,
            left_waiting=[r for r in waiting if r.request_id not in seen.joined],
            idle_since_s=end_s if len(seen.held) == len(seen.joined) else None,
            taken_s=taken_s,
            free_kv_tokens=budget - sum(tokens(records[i]) for i in holders),
        )
        end_s = seen.end_s


def tokens(r: Request | RequestRecord) -> int:
    return r.prompt_tokens + r.output_tokens


def lanes_of(config: BatchingConfig, waiting: Sequence[RequestRecord]) -> list[list[RequestRecord]]:
    """Return who waits with whom."""
    if config.arrangement != "priority":
        return [list(waiting)]
    return [[r for r in waiting if r.class_name == c.name] for c in config.classes]


def limits_of(config: BatchingConfig, class_name: str) -> tuple[int, float]:
    """Return the size and the wait, in seconds, that a class's group closes at."""
    for own in config.classes:
        if own.name == class_name:
            return min(own.max_batch_size, config.max_batch_size), own.max_waiting_time_s
    return config.max_batch_size, config.max_waiting_time_s


@given(schedule=schedules(), config=any_config, times=st.sampled_from(TIMES))
@some
def test_no_request_is_lost_or_served_twice(
    serve_schedule: Serve, schedule: Schedule, config: BatchingConfig, times: StepTimes
) -> None:
    trace, steps = serve_schedule(schedule, config, times)
    assert trace.outcome == "completed"
    assert [r.request_id for r in trace.requests] == [r.request_id for r in schedule]
    joins = Counter(i for seen in steps for i in seen.joined)
    budget = config.kv_budget_tokens
    for record in trace.requests:
        fits = budget is None or tokens(record) <= budget
        assert record.status == ("finished" if fits else "rejected")
        assert joins[record.request_id] == (1 + record.num_preemptions if fits else 0)


@given(schedule=schedules(), config=any_config, times=st.sampled_from(TIMES))
@some
def test_no_batch_is_over_any_limit(
    serve_schedule: Serve, schedule: Schedule, config: BatchingConfig, times: StepTimes
) -> None:
    trace, steps = serve_schedule(schedule, config, times)
    class_of = {r.request_id: r.class_name for r in schedule}
    for moment in moments(config, trace, steps):
        held = [class_of[i] for i in moment.seen.held]
        assert len(held) <= config.max_batch_size
        assert all(count <= limits_of(config, name)[0] for name, count in Counter(held).items())
        assert config.mix_classes or len(set(held)) <= 1
        assert moment.free_kv_tokens >= 0
        assert moment.seen.result.prompt_tokens <= (config.max_prefill_tokens_per_step or np.inf)


@given(schedule=schedules(), config=one_queue(), times=st.sampled_from(TIMES))
@some
def test_a_batch_is_never_over_the_limit_that_the_controller_set(
    serve_schedule: Serve, schedule: Schedule, config: BatchingConfig, times: StepTimes
) -> None:
    controller = config.controller or CONTROLLERS[0]
    config = replace(config, policy="adaptive", max_waiting_time_s=0.0, controller=controller)
    trace, steps = serve_schedule(schedule, config, times)
    initial = min(controller.initial_batch_size, config.max_batch_size)
    limits = [initial, *(c.after for c in trace.limit_changes)]
    assert [c.before for c in trace.limit_changes] == limits[:-1]
    assert all(before != after for before, after in pairwise(limits))
    assert all(1 <= limit <= config.max_batch_size for limit in limits)
    assert all(c.cause for c in trace.limit_changes)
    for seen in steps:
        if seen.joined:
            moved = sum(c.at_s <= seen.start_s for c in trace.limit_changes)
            assert len(seen.joined) <= limits[moved]


@given(schedule=schedules(), config=any_config, times=st.sampled_from(TIMES))
@some
def test_an_idle_runner_starts_the_moment_a_batch_is_due_and_not_before(
    serve_schedule: Serve, schedule: Schedule, config: BatchingConfig, times: StepTimes
) -> None:
    trace, steps = serve_schedule(schedule, config, times)
    for moment in moments(config, trace, steps):
        if moment.idle_since_s is None:
            continue
        due_s = [
            due
            for lane in lanes_of(config, moment.waiting)
            if lane
            for due in due_times_s(config, lane, schedule[-1].arrival_s)
        ]
        assert moment.seen.start_s == pytest.approx(max(moment.idle_since_s, min(due_s)), abs=1e-9)


def due_times_s(
    config: BatchingConfig, lane: Sequence[RequestRecord], last_arrival_s: float
) -> Iterator[float]:
    """Yield when a lane's group may go: none further comes, the oldest waited, it is complete."""
    size, wait_s = limits_of(config, lane[0].class_name)
    yield max(last_arrival_s, lane[0].arrival_s)
    yield lane[0].arrival_s + wait_s
    if len(lane) >= size:
        yield lane[size - 1].arrival_s
    if config.arrangement != "priority" and not config.mix_classes:
        others = [r.arrival_s for r in lane if r.class_name != lane[0].class_name]
        yield min(others, default=np.inf)


@given(schedule=schedules(), config=one_queue(), times=st.sampled_from(TIMES))
@some
def test_with_one_queue_those_join_that_the_two_limits_and_memory_allow(
    serve_schedule: Serve, schedule: Schedule, config: BatchingConfig, times: StepTimes
) -> None:
    policy = "continuous" if config.policy == "adaptive" else config.policy
    config = replace(config, policy=policy, controller=None)
    trace, steps = serve_schedule(schedule, config, times)
    for moment in moments(config, trace, steps):
        kept = set(moment.seen.held) - set(moment.seen.joined)
        expected = expected_joiners(config, moment, kept, schedule)
        assert list(moment.seen.joined) == [r.request_id for r in expected]


def expected_joiners(
    config: BatchingConfig, moment: Moment, kept: set[int], schedule: Schedule
) -> list[RequestRecord]:
    free = config.max_batch_size - len(kept)
    if not moment.waiting or not free or (kept and config.policy == "static"):
        return []
    classes = {r.class_name for r in schedule if r.request_id in kept} or {
        moment.waiting[0].class_name
    }
    group = moment.waiting[:free]
    if not config.mix_classes:
        stop = next((i for i, r in enumerate(group) if {r.class_name} != classes), len(group))
        group = group[:stop]
    if not group:
        return []
    now_s = moment.seen.start_s
    due_s = [schedule[-1].arrival_s, group[0].arrival_s + config.max_waiting_time_s]
    if len(group) < free and len(group) == len(moment.waiting) and now_s < min(due_s):
        return []
    budget = (
        moment.free_kv_tokens
        + sum(tokens(r) for r in moment.waiting)
        - sum(tokens(r) for r in moment.left_waiting)
    )
    needed = accumulate(tokens(r) for r in group)
    return [r for r, sum_tokens in zip(group, needed, strict=True) if sum_tokens <= budget]


def rank(config: BatchingConfig, record: RequestRecord, at_s: float) -> int:
    """Return a request's rank had it waited until then, ranks counted from 0."""
    aging_s = config.aging_s or np.inf
    start = list(CLASSES).index(record.class_name)
    rises = sum(at_s >= record.arrival_s + n * aging_s for n in (1, 2))
    return min(start + rises, len(CLASSES) - 1)


@given(schedule=schedules(), config=priorities(), times=st.sampled_from(TIMES))
@some
def test_nobody_joins_past_a_higher_rank_and_no_place_stays_empty_for_those_due(
    serve_schedule: Serve, schedule: Schedule, config: BatchingConfig, times: StepTimes
) -> None:
    trace, steps = serve_schedule(schedule, config, times)
    records = {r.request_id: r for r in trace.requests}
    for moment in moments(config, trace, steps):
        now_s, held = moment.seen.start_s, [records[i] for i in moment.seen.held]
        if config.policy == "static" and not moment.seen.joined:
            continue
        kept = set(moment.seen.held) - set(moment.seen.joined)
        firsts = first_of_due_lanes(config, moment, schedule[-1].arrival_s)
        for key, first in sorted((order(config, r, now_s), r) for r in firsts):
            own = [r for r in held if r.class_name == first.class_name]
            if len(own) >= limits_of(config, first.class_name)[0]:
                continue  # its class is full
            is_aside = config.preemption == "keep_kv" and was_out(steps, first, now_s)
            needed = 0 if is_aside else tokens(first)
            if needed > moment.free_kv_tokens:
                break  # it waits for memory, and those behind with it
            joiners = [order(config, records[i], now_s) for i in moment.seen.joined]
            # a batch of one class is as good as its best, the others take nobody's place
            pick = max if config.mix_classes else min
            assert not joiners or pick(joiners) < key
            others = [records[i] for i in kept if records[i].class_name != first.class_name]
            if config.mix_classes or not (joiners or others):
                assert len(held) == config.max_batch_size, "a place is free"
            if config.preemption is not None and (config.mix_classes or len(others) == len(held)):
                ranks = [rank(config, r, moment.taken_s[r.request_id]) for r in others]
                assert max(ranks, default=9) >= -key[0], "a lower class keeps its slots"
                assert not config.mix_classes or min(ranks, default=9) >= -key[0]
            break


def order(config: BatchingConfig, record: RequestRecord, now_s: float) -> tuple[int, float, int]:
    return -rank(config, record, now_s), record.arrival_s, record.request_id


def first_of_due_lanes(
    config: BatchingConfig, moment: Moment, last_arrival_s: float
) -> Iterator[RequestRecord]:
    """Yield the first left waiting of each lane whose group was due when the step began."""
    left = {r.request_id for r in moment.left_waiting}
    for lane in lanes_of(config, moment.waiting):
        # who was preempted right before the step did not wait when it was decided
        lane = [r for r in lane if r.request_id not in moment.seen.preempted]
        rest = [r for r in lane if r.request_id in left]
        if rest and min(due_times_s(config, lane, last_arrival_s)) <= moment.seen.start_s:
            yield rest[0]


def was_out(steps: Sequence[Any], record: RequestRecord, now_s: float) -> bool:
    return any(record.request_id in seen.preempted for seen in steps if seen.start_s <= now_s)


@given(schedule=schedules(), config=priorities(), times=st.sampled_from(TIMES))
@some
def test_a_slot_is_given_up_only_to_a_higher_rank_of_another_class(
    serve_schedule: Serve, schedule: Schedule, config: BatchingConfig, times: StepTimes
) -> None:
    preemption = config.preemption or "recompute"
    config = replace(config, policy="continuous", preemption=preemption)
    trace, steps = serve_schedule(schedule, config, times)
    records = {r.request_id: r for r in trace.requests}
    taken_s: dict[int, float] = {}
    held: list[int] = []
    for seen in steps:
        if seen.preempted:
            assert not set(seen.preempted) & set(seen.joined), "nobody comes back at once"
            assert len(seen.joined) >= (len(seen.preempted) if config.mix_classes else 1)
        ranks = {i: rank(config, records[i], taken_s[i]) for i in held}
        for out in seen.preempted:
            takers = [records[i] for i in seen.joined]
            assert any(
                r.class_name != records[out].class_name
                and rank(config, r, seen.start_s) > ranks[out]
                for r in takers
            )
            # of a class that kept any, it was of the lowest rank, and there the last to join
            for kept in set(seen.held) - set(seen.joined):
                if records[kept].class_name == records[out].class_name:
                    assert (ranks[kept], -held.index(kept)) >= (ranks[out], -held.index(out))
        taken_s |= dict.fromkeys(seen.joined, seen.start_s)
        held = list(seen.held)


@given(schedule=schedules(), config=any_config, times=st.sampled_from(TIMES))
@some
def test_tokens_are_conserved_across_preemption(
    serve_schedule: Serve, schedule: Schedule, config: BatchingConfig, times: StepTimes
) -> None:
    trace, steps = serve_schedule(schedule, config, times)
    served = [r for r in trace.requests if r.status == "finished"]
    for r in served:
        assert len(r.token_times_s) == r.output_tokens
        assert all(a < b for a, b in pairwise(r.token_times_s))
        assert r.admitted_s < r.first_token_s == r.token_times_s[0]
        assert r.token_times_s[-1] <= r.finished_s
        if config.policy == "continuous":
            assert r.token_times_s[-1] == r.finished_s
    assert sum(s.new_tokens for s in trace.steps) == sum(r.output_tokens for r in served)
    had: Counter[int] = Counter()
    recomputed: Counter[int] = Counter()
    out_s: dict[int, float] = {}
    away_s: Counter[int] = Counter()
    num_resumed = 0  # with tokens, whose cache is computed again: a prompt's step yields the next
    shapes = {r.request_id: r for r in schedule}
    for seen in steps:
        for i in seen.preempted:
            out_s[i] = seen.start_s
        for i in seen.joined:
            if i in out_s:
                away_s[i] += seen.start_s - out_s.pop(i)
                if config.preemption == "recompute" and had[i]:
                    num_resumed += 1
                    recomputed[i] += shapes[i].prompt_tokens + had[i] - 1
        had.update(i for i, _ in seen.result.tokens)
    for r in served:
        assert r.preempted_s == pytest.approx(away_s[r.request_id])
    if config.max_prefill_tokens_per_step is None:
        assert {r.request_id: r.recomputed_tokens for r in served} == {
            r.request_id: recomputed[r.request_id] for r in served
        }
        prompts = sum(r.prompt_tokens for r in served)
        computed = sum(s.prompt_tokens for s in trace.steps)
        assert computed == prompts + sum(recomputed.values()) + num_resumed
        rows = sum(s.decode_rows - s.padded_tokens for s in trace.steps)
        assert rows == sum(r.output_tokens - 1 for r in served) - num_resumed


@given(schedule=schedules(), config=any_config, times=st.sampled_from(TIMES))
@some
def test_steps_taken_as_one_tell_the_same_story_as_single_steps(
    serve_schedule: Serve, schedule: Schedule, config: BatchingConfig, times: StepTimes
) -> None:
    single, _ = serve_schedule(schedule, config, times)
    skipped, _ = serve_schedule(schedule, config, times, skips=True)
    assert skipped.requests == single.requests
    assert skipped.limit_changes == single.limit_changes
    for name in ("num_steps", "joined", "decode_rows", "prompt_tokens", "new_tokens", "kv_tokens"):
        assert figure(skipped, name) == figure(single, name)
    assert figure(skipped, "padded_tokens") == figure(single, "padded_tokens")
    assert figure(skipped, "duration_s") == pytest.approx(figure(single, "duration_s"))
    slots_s = [sum(s.batch_size * s.duration_s for s in t.steps) for t in (single, skipped)]
    assert slots_s[0] == pytest.approx(slots_s[1])


def figure(trace: Trace, name: str) -> float:
    return sum(getattr(step, name) for step in trace.steps)


@given(
    arrival_s=st.floats(0, 1e4),
    wait_s=st.floats(0, 100),
    config=any_config.filter(lambda c: c.policy != "adaptive"),
)
@some
def test_a_lone_request_leaves_at_exactly_its_wait_limit(
    serve_schedule: Serve, arrival_s: float, wait_s: float, config: BatchingConfig
) -> None:
    lone = Request(
        request_id=0, class_name="low", arrival_s=arrival_s, prompt_tokens=3, output_tokens=2
    )
    later = replace(lone, request_id=1, arrival_s=arrival_s + wait_s + 1000.0)
    config = replace(
        config,
        max_batch_size=5,
        max_waiting_time_s=wait_s,
        classes=tuple(
            replace(c, max_waiting_time_s=wait_s, max_batch_size=5) for c in config.classes
        ),
    )
    trace, _ = serve_schedule((lone, later), config, TIMES[1])
    assert trace.requests[0].admitted_s == arrival_s + wait_s
