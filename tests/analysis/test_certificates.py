"""What is shown of an operating point, what is not yet, and what lies beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta

from paretobench.analysis.certificates import certify, certify_point
from paretobench.analysis.configurations import Configuration, combine_repeats
from paretobench.analysis.neighbours import neighbours_of
from paretobench.analysis.operating_points import Goal, choose_operating_point
from paretobench.analysis.proofs import prove
from paretobench.analysis.sla import ServiceLevels, SlaLimits
from paretobench.analysis.verification import verify
from paretobench.core.intervals import Interval
from paretobench.core.points import Point

MakePoint = Callable[..., Point]
NO_LEVELS = ServiceLevels()
E2E_SLA = ServiceLevels(default=SlaLimits(e2e_s=0.5))


def goal(**subject_to: float) -> Goal:
    return Goal(name="chat", objective="output_tokens_per_s", maximize=True, subject_to=subject_to)


def p95_ms(samples_s: np.ndarray) -> float:
    return float(np.sort(samples_s)[int(np.ceil(0.95 * samples_s.size)) - 1] * 1e3)


@pytest.fixture
def measured(make_point: MakePoint) -> Callable[..., Configuration]:
    """Return a configuration of one run with these E2E latencies in seconds."""

    def make(samples_s: np.ndarray, throughput: float = 100.0, **more: object) -> Configuration:
        figures = {
            "num_measured": samples_s.size,
            "sla_attainment": float(np.mean(samples_s <= 0.5)),
        }
        point = make_point(throughput, p95_ms(samples_s), figures=figures, **more)
        return combine_repeats([replace(point, samples={"e2e": samples_s})])[0]

    return make


def latencies_s(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).exponential(0.1, size)


Measured = Callable[..., Configuration]


def test_the_bound_is_the_order_statistic_of_the_effective_number(measured: Measured) -> None:
    samples_s = latencies_s(2000)
    proof = prove("p95_e2e_ms", 400.0, measured(samples_s), NO_LEVELS)
    assert proof.status == "certified"
    size = int(proof.effective_requests or 0)
    assert 59 < size < 2000
    beyond = float(np.mean(samples_s > (proof.bound or 0) / 1e3))
    # a bound such that, were the truth at it, so few of `size` beyond it had a chance of 5%
    assert beyond == pytest.approx(1 - beta.ppf(0.95, 0.95 * size, 0.05 * size + 1), abs=0.004)
    assert (proof.low or 0) < proof.value < (proof.bound or 0)


def test_more_requests_of_the_same_kind_show_what_some_do_not(measured: Measured) -> None:
    limit_ms = 330.0  # the true p95 is 300 ms
    few = prove("p95_e2e_ms", limit_ms, measured(latencies_s(300)), NO_LEVELS)
    assert few.status == "not_shown"
    assert few.more_requests is not None
    assert "more requests needed" in few.reason
    more_s = np.concatenate([latencies_s(300), latencies_s(2 * few.more_requests, seed=1)])
    assert prove("p95_e2e_ms", limit_ms, measured(more_s), NO_LEVELS).status == "certified"


def test_requests_that_failed_count_as_misses(measured: Measured) -> None:
    samples_s = latencies_s(2000)
    samples_s[::33] = np.inf  # 3%: the p95 is finite, its bound nearer to the end
    with_failed = prove("p95_e2e_ms", 1000.0, measured(samples_s), NO_LEVELS)
    without = prove("p95_e2e_ms", 1000.0, measured(latencies_s(2000)), NO_LEVELS)
    assert (with_failed.bound or 0) > 1.2 * (without.bound or 0)
    samples_s[::15] = np.inf
    assert prove("p95_e2e_ms", 1e9, measured(samples_s), NO_LEVELS).status == "not_met"


def test_a_figure_beyond_the_limit_is_not_met(measured: Measured) -> None:
    certificate = certify(goal(p95_e2e_ms=200.0), measured(latencies_s(2000)), NO_LEVELS)
    assert certificate.status == "not_met"
    assert certificate.more_requests is None


def test_attainment_is_bounded_as_a_share_of_the_effective_number(measured: Measured) -> None:
    proof = prove("sla_attainment", 0.95, measured(latencies_s(2000)), E2E_SLA)
    assert proof.status == "certified"
    size = int(proof.effective_requests or 0)
    hits = int(proof.value * size)
    assert proof.low == pytest.approx(beta.ppf(0.05, hits, size - hits + 1))


def test_other_figures_are_shown_by_the_end_of_their_interval(measured: Measured) -> None:
    configuration = replace(
        measured(latencies_s(1000)),
        intervals={"output_tokens_per_s": Interval(low=94.0, high=106.0, method="t_over_runs")},
    )
    assert prove("output_tokens_per_s", 94.0, configuration, NO_LEVELS).status == "certified"
    close = prove("output_tokens_per_s", 97.0, configuration, NO_LEVELS)
    assert close.status == "not_shown"
    assert close.more_requests == 3000  # half the width takes four times the requests
    assert prove("output_tokens_per_s", 101.0, configuration, NO_LEVELS).status == "not_met"


def test_without_raw_files_nothing_is_shown(make_configuration: Measured) -> None:
    certificate = certify(goal(p95_e2e_ms=500), make_configuration(50, 400), NO_LEVELS)
    assert certificate.status == "not_shown"
    assert certificate.more_requests is None
    assert "raw files" in certificate.proofs[0].reason


def test_a_run_that_measured_no_such_request_is_said_to_be_here(measured: Measured) -> None:
    known = measured(latencies_s(1000)).runs[0]
    rare = {"rare.e2e": latencies_s(100)}
    with_it = replace(
        known,
        samples={**known.samples, **rare},
        figures={**known.figures, "rare.p95_e2e_ms": 300.0},
    )
    without = replace(
        known,
        settings=replace(known.settings, repeat=1),
        samples={**known.samples, "rare.e2e": np.empty(0)},
    )
    (both,) = combine_repeats([with_it, without])
    proof = prove("rare.p95_e2e_ms", 500.0, both, NO_LEVELS)
    assert (proof.status, "measured in one of the runs" in proof.reason) == ("not_shown", True)


def test_a_goal_without_constraints_has_nothing_to_show(make_configuration: Measured) -> None:
    assert certify(goal(), make_configuration(50, 400), NO_LEVELS).status == "no_limit"


def test_the_point_chosen_by_value_names_the_best_that_is_certified(measured: Measured) -> None:
    configurations = [
        measured(latencies_s(4000) * factor, throughput, configuration_id=f"c{throughput}")
        for factor, throughput in ((0.2, 40.0), (0.3, 60.0), (0.97, 80.0), (1.02, 90.0), (2, 99.0))
    ]
    wanted = goal(p95_e2e_ms=p95_ms(latencies_s(4000)) * 1.03)
    point = choose_operating_point(wanted, configurations, latency="p95_e2e_ms")
    certificate = certify_point(point, configurations, NO_LEVELS, latency="p95_e2e_ms")
    assert certificate is not None
    assert point.configuration is configurations[3]
    assert certificate.status == "not_shown"
    assert certificate.runner_up is not None
    assert certificate.runner_up.configuration is configurations[2]
    assert certificate.alternative is not None
    assert certificate.alternative.configuration is configurations[1]


def test_neighbours_are_one_swept_step_away_in_batch_or_wait(make_point: MakePoint) -> None:
    grid = {
        (size, wait, load): combine_repeats(
            [
                make_point(
                    1.0, 1.0, max_batch_size=size, max_waiting_time_ms=wait, load=load,
                    load_kind="closed_loop" if load == "clients" else "poisson",
                    concurrency=size if load == "clients" else None,
                )
            ]
        )[0]
        for size in (1, 4, 16, 64) for wait in (0.0, 10.0, 50.0) for load in ("clients", "poisson")
    }  # fmt: skip
    for load in ("clients", "poisson"):
        found = neighbours_of(grid[4, 0.0, load], list(grid.values()))
        steps = {(n.setting, n.step): n.configuration for n in found}
        assert steps == {
            ("max_batch_size", "down"): grid[1, 0.0, load],
            ("max_batch_size", "up"): grid[16, 0.0, load],
            ("max_waiting_time_ms", "up"): grid[4, 10.0, load],
        }


def test_clients_that_think_are_no_neighbours_of_clients_that_do_not(make_point: MakePoint) -> None:
    found = [
        combine_repeats(
            [
                make_point(
                    1.0, 1.0, max_batch_size=size, concurrency=size, load_kind="closed_loop",
                    load=f"closed loop ×{size}{think}",
                )
            ]
        )[0]
        for size in (4, 8, 16) for think in ("", ", think 100 ms")
    ]  # fmt: skip
    for at in (2, 3):
        near = neighbours_of(found[at], found)
        assert [n.configuration for n in near] == [found[at - 2], found[at + 2]]


def test_an_objective_that_fell_beyond_doubt_does_not_hold(measured: Measured) -> None:
    def with_interval(throughput: float, half: float) -> Configuration:
        ends = Interval(low=throughput - half, high=throughput + half, method="t_over_runs")
        return replace(
            measured(latencies_s(1000), throughput), intervals={"output_tokens_per_s": ends}
        )

    def outcome(after: Configuration | None) -> str:
        return verify(goal(), with_interval(100, 2), after, NO_LEVELS, []).outcome

    assert outcome(with_interval(99, 1)) == "holds"
    assert outcome(with_interval(90, 3)) == "does_not_hold"
    assert outcome(with_interval(95, 6)) == "inconclusive"
    assert outcome(replace(with_interval(100, 1), verdict="overloaded")) == "does_not_hold"
    assert outcome(replace(with_interval(100, 1), verdict="disturbed")) == "inconclusive"
    assert outcome(None) == "inconclusive"
