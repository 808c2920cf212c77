"""Dominance and hypervolume against moocore, ties and all."""

from __future__ import annotations

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretobench.analysis.dominance import (
    epsilon_front,
    non_dominated_in_each,
    non_dominated_indices,
)
from paretobench.analysis.frontier import frontier_indices
from paretobench.analysis.hypervolume import hypervolume

# few values: ties of every kind are common
VALUES = st.sampled_from([1.0, 2.0, 3.0, 4.0, 5.0])
DIRECTIONS = [[True, False], [True, False, True]]
NEAR = {"gain_epsilon": 0.02, "cost_epsilon": 0.05}


def points_of(num_objectives: int) -> st.SearchStrategy[np.ndarray]:
    row = st.tuples(*[VALUES] * num_objectives)
    return st.lists(row, min_size=1, max_size=14).map(np.array)


@pytest.mark.parametrize("maximise", DIRECTIONS, ids=["two", "three"])
@given(data=st.data())
def test_who_is_non_dominated_is_who_moocore_says(
    maximise: list[bool], data: st.DataObject
) -> None:
    points = data.draw(points_of(len(maximise)))
    expected = moocore.is_nondominated(points, maximise=maximise)
    assert non_dominated_indices(points, maximise) == np.flatnonzero(expected).tolist()


@given(points_of(2))
def test_the_frontier_of_two_objectives_is_that_of_moocore(points: np.ndarray) -> None:
    expected = moocore.is_nondominated(points, maximise=[True, False])
    front = frontier_indices(points[:, 0], points[:, 1])
    assert sorted(front) == np.flatnonzero(expected).tolist()


@given(points_of(2))
def test_in_each_draw_equal_points_stand_together(points: np.ndarray) -> None:
    expected = moocore.is_nondominated(points, maximise=[True, False], keep_weakly=True)
    draws = np.stack([points, points[::-1]])
    found = non_dominated_in_each(draws[..., 0], draws[..., 1])
    assert found[0].tolist() == expected.tolist()
    assert found[1].tolist() == expected[::-1].tolist()


@given(points_of(2), st.sampled_from([0.5, 2.0, 3.5, 10.0]))
def test_hypervolume_is_that_of_moocore_with_log_latency(points: np.ndarray, cap: float) -> None:
    logs = np.column_stack([points[:, 0], np.log(points[:, 1])])
    expected = moocore.hypervolume(logs, ref=[0.0, np.log(cap)], maximise=[True, False])
    assert hypervolume(points[:, 0], points[:, 1], cap=cap) == pytest.approx(expected, abs=1e-12)


def test_what_is_not_finite_neither_stands_nor_beats() -> None:
    nan, inf = float("nan"), float("inf")
    points = np.array([[1.0, 5.0], [inf, 1.0], [9.0, nan], [9.0, inf]])
    assert non_dominated_indices(points, [True, False]) == [0]
    assert non_dominated_in_each(points[None, :, 0], points[None, :, 1])[0].tolist() == [
        True,
        False,
        False,
        False,
    ]
    assert epsilon_front(points[:, 0], points[:, 1], **NEAR) == [0]
    assert hypervolume(points[[0, 3], 0], points[[0, 3], 1], cap=5.0 * np.e) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("throughput", "latency", "belongs"),
    [
        (98.1, 10.0, True),  # within 2% of the throughput
        (98.0, 10.0, False),
        (100.0, 10.5, True),  # within 5% of the latency
        (100.0, 10.6, False),
        (98.5, 10.4, True),  # within both at once
        (100.0, 900.0, False),  # equal throughput excuses no latency
    ],
)
def test_the_epsilon_front_reaches_two_and_five_percent_and_no_further(
    throughput: float, latency: float, belongs: bool
) -> None:
    front = epsilon_front([100.0, throughput], [10.0, latency], **NEAR)
    assert front == ([0, 1] if belongs else [0])
