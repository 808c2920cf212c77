"""What dependent requests are worth, and which of them bounds a percentile."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from paretobench.analysis.effective_size import (
    autocorrelation_time,
    effective_size,
    size_for_percentile,
)
from paretobench.analysis.order_statistics import (
    lower_rank,
    lowest_share,
    size_that_shows,
    upper_rank,
)


def independent(seed: int, runs: int = 3, size: int = 3000) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.exponential(0.1, size) for _ in range(runs)]


def mean_size(runs_of: list[list[np.ndarray]]) -> float:
    return float(np.mean([size_for_percentile(runs, 0.95, 10.0) for runs in runs_of]))


def test_independent_requests_are_worth_most_of_their_number_and_never_more() -> None:
    sizes = [size_for_percentile(independent(seed), 0.95, 10.0) for seed in range(10)]
    assert max(sizes) <= 9000
    assert np.mean(sizes) > 0.5 * 9000  # the least of several estimates errs to the small side


def test_requests_given_twice_are_worth_no_more_than_once() -> None:
    once = [independent(seed) for seed in range(10)]
    twice = [[np.repeat(run, 2) for run in runs] for runs in once]
    assert mean_size(twice) == pytest.approx(mean_size(once), rel=0.05)


def test_batches_of_equal_latencies_count_as_one_request_each() -> None:
    batches = [[np.repeat(run[:400], 8) for run in independent(seed)] for seed in range(10)]
    assert 0.4 * 1200 < mean_size(batches) <= 1200


def test_rounding_errors_do_not_tell_equal_latencies_apart() -> None:
    exact = [np.repeat(np.where(run > 0.05, 0.008, 0.007), 8) for run in independent(1, size=400)]
    noise = [run + np.linspace(0, 1e-12, run.size) for run in exact]
    assert size_for_percentile(noise, 0.95, 1.0) == size_for_percentile(exact, 0.95, 1.0)


def test_runs_that_differ_among_themselves_are_worth_less() -> None:
    runs = independent(0)
    apart = [runs[0], runs[1] * 1.5, runs[2] * 0.7]
    assert size_for_percentile(apart, 0.95, 10.0) < 0.1 * size_for_percentile(runs, 0.95, 10.0)


def test_autocorrelation_time_is_that_of_a_first_order_process() -> None:
    rng = np.random.default_rng(3)
    noise, phi = rng.normal(size=200_000), 0.8
    series = np.empty_like(noise)
    series[0] = noise[0]
    for i in range(1, noise.size):
        series[i] = phi * series[i - 1] + noise[i]
    # (1 + phi) / (1 - phi) = 9, and two standard errors
    assert autocorrelation_time([series]) == pytest.approx(9.0, rel=0.1)


def test_nothing_measured_is_worth_nothing() -> None:
    assert effective_size([np.empty(0, dtype=np.bool_)]) == 0.0


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("size", [60, 299, 500])
def test_ranks_bound_the_quantile_with_95_percent_and_no_rank_nearer_does(
    share: float, size: int
) -> None:
    below = [comb(size, i) * share**i * (1 - share) ** (size - i) for i in range(size + 1)]

    def fewer_than(rank: int) -> float:
        return sum(below[:rank])

    upper, lower = upper_rank(size, share), lower_rank(size, share)
    if upper is None:
        assert fewer_than(size) < 0.95
    else:
        assert fewer_than(upper) >= 0.95 > fewer_than(upper - 1)
    assert lower is not None
    assert fewer_than(lower) <= 0.05 < fewer_than(lower + 1)


@pytest.mark.parametrize("within", [0.96, 0.98, 1.0])
def test_as_many_requests_as_are_said_to_be_needed_show_the_limit(within: float) -> None:
    needed = size_that_shows(0.95, within)
    assert needed is not None
    rank = upper_rank(needed, 0.95)
    assert rank is not None
    assert rank <= within * needed * (1 + 1e-12)
    # the same in the terms of shares: Clopper and Pearson's bound
    assert lowest_share(np.floor(within * needed + 1e-9), needed) >= 0.95
    assert lowest_share(within * needed / 2, needed / 2) < 0.95
