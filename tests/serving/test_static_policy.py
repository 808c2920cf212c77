"""When a static batch closes, and why."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from paretobench.core.values import BatchingConfig, CloseReason, Request
from paretobench.runners.base import Capacity
from paretobench.scenario import batching
from paretobench.serving.policies import (
    POLICIES,
    Admit,
    Continue,
    Group,
    Hold,
    ServingState,
    StaticPolicy,
)
from paretobench.serving.policies.base import ONE_QUEUE


def policy(max_batch_size: int = 4, max_waiting_time_s: float = 0.05) -> StaticPolicy:
    return StaticPolicy(
        BatchingConfig(
            policy="static",
            max_batch_size=max_batch_size,
            max_waiting_time_s=max_waiting_time_s,
        )
    )


def state(
    now_s: float, arrivals: list[float], num_running: int = 0, more_will_come: bool = True
) -> ServingState:
    queue = [
        Request(request_id=i, arrival_s=a, prompt_tokens=1, output_tokens=1)
        for i, a in enumerate(arrivals)
    ]
    return ServingState(
        now_s=now_s,
        queues={ONE_QUEUE: queue},
        running={},
        num_running=num_running,
        capacity=Capacity(free_slots=64, max_request_tokens=None),
        more_will_come=more_will_come,
    )


def admit(num_requests: int, reason: CloseReason) -> Admit:
    return Admit(groups=(Group(num_requests=num_requests, reason=reason),))


def test_a_full_batch_goes_at_once_and_takes_no_more_than_its_size() -> None:
    assert policy().decide(state(0.0, [0.0] * 6)) == admit(4, "full")


def test_a_partial_batch_is_held_until_the_oldest_has_waited() -> None:
    assert policy().decide(state(0.02, [0.01, 0.02])) == Hold(until_s=0.01 + 0.05)


def test_a_partial_batch_goes_when_the_oldest_has_waited() -> None:
    decision = policy().decide(state(0.07, [0.01, 0.055]))
    assert decision == admit(2, "timeout")


def test_a_wait_of_zero_never_holds() -> None:
    decision = policy(max_waiting_time_s=0.0).decide(state(0.3, [0.3]))
    assert decision == admit(1, "timeout")


def test_nothing_joins_while_a_batch_runs() -> None:
    assert policy().decide(state(9.0, [0.0] * 8, num_running=1)) == Continue(until_arrival=False)


def test_a_partial_batch_goes_when_nothing_more_will_come() -> None:
    decision = policy().decide(state(0.01, [0.01], more_will_come=False))
    assert decision == admit(1, "drain")


def test_an_empty_queue_waits_for_the_next_arrival() -> None:
    assert policy().decide(state(1.0, [])) == Hold(until_s=None)


@given(
    arrival_s=st.floats(0, 1e6, allow_nan=False),
    wait_s=st.floats(0, 1e4, allow_nan=False),
)
def test_the_moment_that_a_hold_names_releases_the_batch(arrival_s: float, wait_s: float) -> None:
    decision = policy(max_waiting_time_s=wait_s).decide(state(arrival_s, [arrival_s]))
    if isinstance(decision, Hold):
        assert decision.until_s is not None
        later = policy(max_waiting_time_s=wait_s).decide(state(decision.until_s, [arrival_s]))
        assert later == admit(1, "timeout")


def test_the_scenario_knows_the_policies_that_there_are() -> None:
    assert set(batching.POLICIES) == set(POLICIES)
