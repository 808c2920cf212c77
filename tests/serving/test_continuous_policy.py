"""Who joins a running batch, and when."""

from __future__ import annotations

from paretobench.core.values import BatchingConfig, CloseReason, Request
from paretobench.runners.base import Capacity
from paretobench.serving.policies import (
    Admit,
    Continue,
    ContinuousPolicy,
    Decision,
    Group,
    Hold,
    ServingState,
)
from paretobench.serving.policies.base import ONE_QUEUE
from paretobench.serving.recorder import InFlight


def request(request_id: int, arrival_s: float, class_name: str) -> Request:
    return Request(
        request_id=request_id,
        class_name=class_name,
        arrival_s=arrival_s,
        prompt_tokens=1,
        output_tokens=9,
    )


def decide(
    now_s: float,
    waiting: list[float],
    *,
    classes: str = "",
    running: str = "",
    one_class: bool = False,
    free_slots: int = 64,
    more_will_come: bool = True,
) -> Decision:
    """Decide for a limit of 4 and 50 ms; a class is a letter, `running` one for each that runs."""
    policy = ContinuousPolicy(
        BatchingConfig(policy="continuous", max_batch_size=4, max_waiting_time_s=0.05),
        one_class=one_class,
    )
    classes = classes or "a" * len(waiting)
    queue = [request(i, a, c) for i, (a, c) in enumerate(zip(waiting, classes, strict=True))]
    held = {
        100 + i: InFlight(request(100 + i, 0.0, c), measured=True) for i, c in enumerate(running)
    }
    return policy.decide(
        ServingState(
            now_s=now_s,
            queues={ONE_QUEUE: queue},
            running=held,
            num_running=len(held),
            capacity=Capacity(free_slots=free_slots, max_request_tokens=None),
            more_will_come=more_will_come,
        )
    )


def admit(num_requests: int, reason: CloseReason) -> Admit:
    return Admit(groups=(Group(num_requests=num_requests, reason=reason),))


def test_those_that_fill_all_free_slots_join_those_that_run() -> None:
    assert decide(0.0, [0.0, 0.0, 0.0], running="aa") == admit(2, "full")


def test_no_more_join_than_the_runner_has_slots() -> None:
    assert decide(0.0, [0.0, 0.0, 0.0], free_slots=1) == admit(1, "full")


def test_joiners_are_gathered_until_the_oldest_has_waited() -> None:
    assert decide(0.02, [0.01, 0.02], running="a") == Continue(until_s=0.01 + 0.05)


def test_all_that_wait_join_with_the_oldest_that_has_waited() -> None:
    assert decide(0.07, [0.01, 0.069], running="a") == admit(2, "timeout")


def test_a_full_engine_goes_on_until_somebody_ends() -> None:
    assert decide(9.0, [0.0], running="aaaa") == Continue(until_arrival=False)


def test_an_idle_engine_holds_a_group_that_may_grow() -> None:
    assert decide(0.02, [0.01]) == Hold(until_s=0.01 + 0.05)


def test_those_that_run_go_on_while_nobody_waits() -> None:
    assert decide(0.02, [], running="a") == Continue(until_s=None)


def test_what_waits_joins_when_nothing_more_will_come() -> None:
    assert decide(0.02, [0.02], running="a", more_will_come=False) == admit(1, "drain")


def test_another_class_waits_until_the_batch_is_done() -> None:
    decision = decide(9.0, [0.0], classes="b", running="a", one_class=True)
    assert decision == Continue(until_arrival=False)


def test_a_group_of_one_class_closes_when_another_class_comes() -> None:
    decision = decide(0.01, [0.01, 0.01, 0.01], classes="aab", running="a", one_class=True)
    assert decision == admit(2, "next_class")


def test_classes_mix_unless_they_must_not() -> None:
    assert decide(0.01, [0.01, 0.01], classes="ab", running="aa") == admit(2, "full")
