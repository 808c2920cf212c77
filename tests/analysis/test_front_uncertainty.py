"""Probability, band, hypervolume and energy against what theory says of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from paretobench.analysis.configurations import Configuration, combine_repeats
from paretobench.analysis.front_uncertainty import (
    CurveUncertainty,
    attainment_band,
    curve_uncertainties,
)
from paretobench.core.points import Point

MakePoint = Callable[..., Point]
Runs = Callable[..., list[Configuration]]


def uncertain(configurations: list[Configuration], seed: int = 0) -> CurveUncertainty:
    (found,) = curve_uncertainties(
        configurations,
        throughput="output_tokens_per_s",
        latency="p95_e2e_ms",
        cap=1000.0,
        rng=np.random.default_rng(seed),
    )
    return found


@pytest.fixture
def runs(make_point: MakePoint) -> Runs:
    """Return configurations of the given runs, each (throughput, latency)."""

    def make(**found: list[tuple[float, float]]) -> list[Configuration]:
        points = [
            make_point(*pair, configuration_id=name, repeat=repeat)
            for name, pairs in found.items()
            for repeat, pair in enumerate(pairs)
        ]
        return combine_repeats(points)

    return make


def test_probability_is_that_of_the_mean_of_as_many_runs_being_ahead(runs: Runs) -> None:
    # equal latency: who has more throughput stands, the other does not
    found = uncertain(
        runs(
            a=[(100.0 + 2 * i, 10.0) for i in range(10)],
            b=[(101.0 + 2 * i, 10.0) for i in range(10)][::-1],
        )
    )
    # a mean of 10 runs is spread by √(110 / 3 / 10) · 2.262 / 1.96 = 2.21 (9 degrees of freedom),
    # so b leads by 1 where leads are spread by 3.12
    assert found.probability["b"] == pytest.approx(0.626, abs=0.04)
    assert found.probability["a"] + found.probability["b"] == pytest.approx(1.0, abs=0.05)


def test_runs_far_apart_leave_no_doubt(runs: Runs) -> None:
    found = uncertain(
        runs(
            low=[(100.0, 10.0), (101.0, 10.1)],
            high=[(200.0, 20.0), (202.0, 20.2)],
            beaten=[(90.0, 19.0), (91.0, 19.1)],
        )
    )
    assert found.probability == {"low": 1.0, "high": 1.0, "beaten": 0.0}


def test_one_run_with_nothing_about_how_it_varies_gives_no_probability(runs: Runs) -> None:
    found = uncertain(runs(a=[(100.0, 10.0)], b=[(200.0, 20.0), (202.0, 20.2)]))
    assert found.probability == {}
    assert found.band is None
    assert found.hypervolume is not None
    assert (found.hypervolume.low, found.hypervolume.high) == (None, None)
    assert found.hypervolume.value == pytest.approx(
        100 * np.log(1000 / 10) + 101 * np.log(1000 / 20.1)
    )


def test_the_hypervolume_of_one_configuration_has_its_t_interval(runs: Runs) -> None:
    # one configuration: its hypervolume is throughput × ln(cap / latency), here throughput × 2
    latency = 1000.0 / np.e**2
    throughputs = [990.0, 1000.0, 1010.0, 1004.0, 996.0]
    found = uncertain(runs(a=[(t, latency) for t in throughputs]))
    assert found.hypervolume is not None
    assert found.hypervolume.low is not None
    assert found.hypervolume.high is not None
    half = 2.776 * np.std(throughputs, ddof=1) / np.sqrt(5)  # t, 4 degrees of freedom
    assert found.hypervolume.high - found.hypervolume.low == pytest.approx(2 * 2 * half, rel=0.1)


def test_the_band_is_that_of_the_draws_staircases() -> None:
    rng = np.random.default_rng(3)
    gain, cost = rng.normal(100, 10, (400, 6)), rng.lognormal(3, 0.3, (400, 6))
    band = attainment_band(gain, cost)
    for level in (0, 40, 120, 199):
        x = band.throughput[level]
        least = sorted(
            min((c for g, c in zip(gains, costs, strict=True) if g >= x), default=np.inf)
            for gains, costs in zip(gain, cost, strict=True)
        )
        assert band.low[level] == least[int(0.025 * 399)]
        assert band.high[level] == least[int(np.ceil(0.975 * 399))]


def test_what_stands_by_energy_alone_is_told(make_point: MakePoint) -> None:
    def one(name: str, throughput: float, latency: float, energy: float | None) -> Point:
        figures = {} if energy is None else {"tokens_per_joule": energy}
        return make_point(throughput, latency, figures=figures, configuration_id=name)

    frugal = [one("fast", 200, 10, 1.0), one("frugal", 150, 12, 3.0), one("neither", 140, 13, 0.5)]
    by_energy = uncertain(combine_repeats(frugal)).by_energy
    assert by_energy is not None
    assert [c.settings.configuration_id for c in by_energy] == ["frugal"]
    unknown = [*frugal, one("unknown", 10, 90, None)]
    assert uncertain(combine_repeats(unknown)).by_energy is None


def test_invalid_configurations_do_not_compete(runs: Runs, make_point: MakePoint) -> None:
    lucky = [
        make_point(900.0, 1.0, configuration_id="lucky", repeat=r, verdict="overloaded")
        for r in range(2)
    ]
    found = uncertain([*runs(a=[(100.0, 10.0), (101.0, 10.1)]), *combine_repeats(lucky)])
    assert found.probability == {"a": 1.0}
    assert [c.settings.configuration_id for c in found.epsilon_front] == ["a"]


def test_equal_seeds_give_equal_answers(runs: Runs) -> None:
    configurations = runs(a=[(100.0, 10.0), (104.0, 12.0)], b=[(102.0, 10.5), (99.0, 11.0)])
    assert uncertain(configurations) == uncertain(configurations)
    assert uncertain(configurations, seed=1).probability != uncertain(configurations).probability
