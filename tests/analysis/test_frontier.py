"""The frontier against brute force, ties and all."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from paretobench.analysis.configurations import Configuration, combine_repeats
from paretobench.analysis.frontier import find_frontier, frontier_indices
from paretobench.core.points import Point

Make = Callable[..., Configuration]
# few values: ties of every kind are common
VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0, float("nan"), float("inf")])
POINTS = st.lists(st.tuples(VALUES, VALUES), max_size=12)
OBJECTIVES = {"throughput": "output_tokens_per_s", "latency": "p95_e2e_ms"}


def brute_force(points: list[tuple[float, float]]) -> set[int]:
    usable = [i for i, p in enumerate(points) if np.isfinite(p).all()]
    front = set()
    for i in usable:
        gain, cost = points[i]
        beaten = any(
            g >= gain and c <= cost and (g > gain or c < cost)
            for g, c in (points[j] for j in usable)
        )
        first = not any(points[j] == points[i] for j in usable if j < i)
        if not beaten and first:
            front.add(i)
    return front


@given(POINTS)
def test_the_frontier_is_that_of_brute_force(points: list[tuple[float, float]]) -> None:
    front = frontier_indices([p[0] for p in points], [p[1] for p in points])
    assert set(front) == brute_force(points)
    assert len(front) == len(set(front))


@given(POINTS, st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(
    points: list[tuple[float, float]], random: object
) -> None:
    shuffled = list(points)
    random.shuffle(shuffled)  # type: ignore[attr-defined]

    def front(of: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return [of[i] for i in frontier_indices([p[0] for p in of], [p[1] for p in of])]

    assert front(points) == front(shuffled)


@given(POINTS)
def test_both_axes_rise_along_the_frontier(points: list[tuple[float, float]]) -> None:
    front = [points[i] for i in frontier_indices([p[0] for p in points], [p[1] for p in points])]
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(front))


def test_of_equal_points_the_first_stands() -> None:
    assert frontier_indices([2, 2, 2], [1, 1, 1]) == [0]


def test_a_dominated_tie_is_dropped() -> None:
    assert frontier_indices([3, 3], [5, 4]) == [1]


def test_a_point_that_is_not_valid_never_stands(make_configuration: Make) -> None:
    good = make_configuration(100.0, 10.0, configuration_id="a")
    overloaded = make_configuration(900.0, 5.0, configuration_id="b", verdict="overloaded")
    assert find_frontier([good, overloaded], **OBJECTIVES) == [good]


def test_workload_shapes_do_not_compete(make_configuration: Make) -> None:
    short = make_configuration(900.0, 5.0, workload="prompt 32", configuration_id="a")
    long = make_configuration(100.0, 50.0, workload="prompt 512", configuration_id="b")
    assert find_frontier([short, long], **OBJECTIVES) == [short, long]


def test_variants_do_not_compete(make_configuration: Make) -> None:
    fast = make_configuration(900.0, 5.0, variant="bfloat16", configuration_id="a")
    slow = make_configuration(100.0, 50.0, variant="float32", configuration_id="b")
    assert find_frontier([fast, slow], **OBJECTIVES) == [fast, slow]


def test_repeats_stand_as_their_mean_not_as_the_lucky_run(
    make_point: Callable[..., Point],
) -> None:
    points = [
        make_point(100.0, 10.0, configuration_id="a", repeat=0),
        make_point(140.0, 30.0, configuration_id="a", repeat=1),
        make_point(125.0, 20.0, configuration_id="b", repeat=0),
    ]
    steady, mean = combine_repeats(points)[1], combine_repeats(points)[0]
    assert mean.figures["output_tokens_per_s"] == 120.0
    assert mean.num_repeats == 2
    assert find_frontier([mean, steady], **OBJECTIVES) == [steady]


def test_one_bad_repeat_spoils_the_configuration(make_point: Callable[..., Point]) -> None:
    points = [
        make_point(100.0, 10.0, configuration_id="a", repeat=0),
        make_point(
            90.0, 99.0, configuration_id="a", repeat=1, verdict="overloaded", reason="too hot"
        ),
    ]
    configuration = combine_repeats(points)[0]
    assert (configuration.verdict, configuration.reason) == ("overloaded", "too hot")
