"""The best configuration inside every constraint, or which one binds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.operating_points import Goal, OperatingPoint, choose_operating_point

Make = Callable[..., Configuration]


def goal(**subject_to: float) -> Goal:
    return Goal(name="chat", objective="output_tokens_per_s", maximize=True, subject_to=subject_to)


def choose(goal: Goal, configurations: list[Configuration]) -> OperatingPoint:
    return choose_operating_point(goal, configurations, latency="p95_e2e_ms")


def test_the_fastest_inside_the_limit_is_chosen_with_its_margin(make_configuration: Make) -> None:
    slow, fast, late = (make_configuration(t, p) for t, p in ((10, 100), (50, 400), (90, 600)))
    point = choose(goal(p95_e2e_ms=500), [slow, late, fast])
    assert point.configuration is fast
    assert point.margins[0].share == pytest.approx(0.2)
    assert "2 of 3 valid" in point.reason


def test_a_limit_met_exactly_is_met(make_configuration: Make) -> None:
    point = choose(goal(p95_e2e_ms=500), [make_configuration(10, 500)])
    assert point.configuration is not None


def test_without_constraints_the_highest_wins(make_configuration: Make) -> None:
    best = make_configuration(90, 9000)
    assert choose(goal(), [make_configuration(10, 1), best]).configuration is best


def test_of_equals_the_lower_latency_wins(make_configuration: Make) -> None:
    low = make_configuration(90, 300)
    assert choose(goal(), [make_configuration(90, 400), low]).configuration is low


def test_nothing_is_relaxed_when_no_point_meets_the_limit(make_configuration: Make) -> None:
    point = choose(goal(p95_e2e_ms=50), [make_configuration(10, 100), make_configuration(50, 400)])
    assert point.configuration is None
    assert point.reason == "p95_e2e_ms ≤ 50 binds: the nearest that can be met is 100"


def test_of_two_constraints_the_one_that_binds_is_named(make_configuration: Make) -> None:
    configurations = [
        make_configuration(10, 100, figures={"requests_per_s": 1.0}),
        make_configuration(50, 400, figures={"requests_per_s": 9.0}),
    ]
    point = choose(goal(p95_e2e_ms=450, requests_per_s=20), configurations)
    assert [margin.metric for margin in point.margins] == ["requests_per_s"]
    assert point.margins[0].value == 9.0


def test_constraints_that_exclude_each_other_are_both_named(make_configuration: Make) -> None:
    configurations = [
        make_configuration(10, 100, figures={"requests_per_s": 1.0}),
        make_configuration(50, 400, figures={"requests_per_s": 9.0}),
    ]
    point = choose(goal(p95_e2e_ms=200, requests_per_s=5), configurations)
    assert {margin.metric for margin in point.margins} == {"p95_e2e_ms", "requests_per_s"}


def test_overloaded_points_are_never_chosen(make_configuration: Make) -> None:
    point = choose(goal(), [make_configuration(90, 10, verdict="overloaded")])
    assert point.configuration is None
    assert "no valid trial" in point.reason


def test_an_infinite_tail_meets_no_limit(make_configuration: Make) -> None:
    point = choose(goal(p95_e2e_ms=500), [make_configuration(10, float("inf"))])
    assert point.configuration is None
