"""The distance between two frontiers: exact where it is known, symmetric, and refused where not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretobench.analysis.shift import Shift, latency_shift, throughput_shift

VALUES = st.floats(0.1, 1000.0)
CURVES = st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=8)
SHIFTS = [throughput_shift, latency_shift]


@pytest.mark.parametrize("shift", SHIFTS)
@given(curve=CURVES)
def test_a_curve_has_not_moved_from_itself(shift, curve) -> None:
    found = shift(curve, curve)
    assert (found.ratio, found.lowest, found.highest) == (1, 1, 1)


@given(CURVES, st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_scaling_every_throughput_is_the_shift(curve, factor) -> None:
    found = throughput_shift(curve, [(factor * gain, cost) for gain, cost in curve])
    assert (found.ratio, found.lowest, found.highest) == (factor, factor, factor)


@given(CURVES, st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_scaling_every_latency_is_the_shift(curve, factor) -> None:
    found = latency_shift(curve, [(gain, factor * cost) for gain, cost in curve])
    assert (found.ratio, found.lowest, found.highest) == (factor, factor, factor)


@pytest.mark.parametrize("shift", SHIFTS)
@given(one=CURVES, other=CURVES)
def test_there_and_back_is_no_shift(shift, one, other) -> None:
    there, back = shift(one, other), shift(other, one)
    assert isinstance(there, str) == isinstance(back, str)
    if isinstance(there, Shift):
        assert there.ratio * back.ratio == pytest.approx(1)
        assert there.lowest * back.highest == pytest.approx(1)
        assert there.lowest <= there.ratio <= there.highest
        assert (there.start, there.end) == (back.start, back.end)


# points that nothing dominates at either end: two of these overlap whatever lies between
ENDS = st.tuples(st.floats(0.01, 0.05), st.floats(2000.0, 5000.0))
WIDE_CURVES = st.builds(lambda curve, ends: [*curve, *((end, end) for end in ends)], CURVES, ENDS)


@given(WIDE_CURVES, WIDE_CURVES)
def test_the_integral_is_that_of_a_fine_grid(one, other) -> None:
    found = throughput_shift(one, other)
    assert isinstance(found, Shift)
    grid = np.exp(np.linspace(np.log(found.start), np.log(found.end), 20_001))
    grid = np.sqrt(grid[1:] * grid[:-1])

    def best(curve):
        gains, costs = np.array(curve).T
        return np.where(costs[:, None] <= grid, gains[:, None], -np.inf).max(axis=0)

    steps = 2 * (len(one) + len(other)) * math.log(1e6) / 20_000  # cells that hold a step
    expected = np.log(best(other) / best(one)).mean()
    width = math.log(found.end / found.start)
    assert math.log(found.ratio) == pytest.approx(expected, abs=1e-9 + steps / min(width, 1))


def test_the_mean_weighs_each_stretch_by_its_length_on_a_logarithmic_axis() -> None:
    # at latencies 10 to 100 it is 2 against 1, at 100 to 1000 it is 8 against 1
    base, other = [(1, 10), (1.5, 1000)], [(2, 10), (8, 100), (12, 1000)]
    found = throughput_shift(base, other)
    assert isinstance(found, Shift)
    assert found.ratio == pytest.approx(4)
    assert (found.lowest, found.highest) == (2, 8)
    assert (found.start, found.end) == (10, 1000)


def test_only_the_range_of_both_counts() -> None:
    base, other = [(1, 10), (2, 20), (3, 40)], [(4, 15), (6, 20), (9, 80)]
    found = throughput_shift(base, other)
    assert isinstance(found, Shift)
    assert (found.start, found.end) == (15, 40)
    assert latency_shift(base, other) == (
        "no throughput lies on both curves: 1 to 3 against 4 to 9"
    )


def test_dominated_points_do_not_count() -> None:
    base, other = [(1, 10), (2, 20)], [(2, 10), (4, 20)]
    assert throughput_shift([*base, (0.5, 30)], [*other, (1, 15)]) == throughput_shift(base, other)


@pytest.mark.parametrize("shift", SHIFTS)
@pytest.mark.parametrize(
    ("base", "other", "reason"),
    [
        ([], [(1, 1)], "the baseline has no valid point"),
        ([(1, 1)], [(math.nan, 1)], "the candidate has no valid point"),
        ([(1, 1)], [(1, 0)], "the candidate has a figure of 0 or less"),
    ],
)
def test_without_a_ratio_there_is_a_reason(shift, base, other, reason) -> None:
    assert reason in shift(base, other)
