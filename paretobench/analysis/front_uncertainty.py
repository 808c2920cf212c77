"""How sure a frontier is: who may belong on it, where it may lie, how much it wins.

The runs of every configuration are drawn again, with replacement, many times over; each draw has a
frontier of its own. Configurations are drawn independently. Nothing is fitted between points.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.dominance import (
    Floats,
    epsilon_front,
    non_dominated_in_each,
    non_dominated_indices,
)
from paretobench.analysis.frontier import curve_of
from paretobench.analysis.hypervolume import hypervolume, hypervolume_of_each
from paretobench.analysis.resampling import NORMAL_975, knows_how_runs_differ, resample
from paretobench.analysis.run_intervals import t_quantile

GAIN_EPSILON = 0.02
COST_EPSILON = 0.05
ENERGY = "tokens_per_joule"
NUM_RESAMPLES = 1000
_NUM_LEVELS = 200  # throughputs at which the band is worked out
_LOW, _HIGH = 0.025, 0.975


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """Where the frontier lies in 95% of the draws, at each throughput by itself.

    `low` and `high` are of the least latency that any configuration has with at least `throughput`
    (rising): the 2.5% and the 97.5% attainment surface. inf: no configuration has as much.
    """

    throughput: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hypervolume:
    """What a curve wins over throughput 0 and latency `cap`, in throughput × ln(cap / latency).

    `low` and `high` are the ends of its 95% interval, None where it is not known.
    """

    value: float
    low: float | None
    high: float | None
    cap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveUncertainty:
    """What is known of one curve's frontier beside who stands on it.

    `probability` is that of each valid configuration to be non-dominated, by its id; it is empty,
    and there is no band, where a configuration has one run alone and nothing says how it varies.
    `from_one_run` says that of some configuration there is one run alone, so that its draws do not
    know how runs differ.
    `by_energy` are those that are non-dominated only with tokens per joule as a third objective;
    None where not every energy is known. `hypervolume` is None where a latency is not positive.
    """

    curve: tuple[str | None, str]
    epsilon_front: tuple[Configuration, ...]
    by_energy: tuple[Configuration, ...] | None
    hypervolume: Hypervolume | None
    probability: Mapping[str, float]
    band: Band | None
    from_one_run: bool


def curve_uncertainties(
    configurations: Sequence[Configuration],
    *,
    throughput: str,
    latency: str,
    cap: float,
    rng: np.random.Generator,
) -> list[CurveUncertainty]:
    """Return the uncertainty of each curve that has a valid configuration with both objectives.

    `throughput` and `latency` name the two figures, `cap` is the reference latency in the unit of
    the latter.
    """
    found = []
    for curve in dict.fromkeys(map(curve_of, configurations)):
        rivals = [
            c
            for c in configurations
            if curve_of(c) == curve and c.is_valid and _has(c, throughput) and _has(c, latency)
        ]
        if rivals:
            found.append(_curve_uncertainty(curve, rivals, (throughput, latency), cap, rng))
    return found


def attainment_band(throughput: Floats, latency: Floats) -> Band:
    """Return the band of the staircases of many draws; both are [draws, points].

    >>> band = attainment_band(np.array([[1.0, 2.0], [1.0, 2.0]]), np.array([[5.0, 9], [6, 8]]))
    >>> band.throughput, band.low, band.high
    ((1.0, 2.0), (5.0, 8.0), (6.0, 9.0))
    """
    usable = np.isfinite(throughput) & np.isfinite(latency)
    gain = np.where(usable, throughput, -np.inf)
    order = np.argsort(gain, axis=-1, kind="stable")  # rising
    gain = np.take_along_axis(gain, order, axis=-1)
    cost = np.take_along_axis(np.where(usable, latency, np.inf), order, axis=-1)
    best = np.minimum.accumulate(cost[:, ::-1], axis=-1)[:, ::-1]  # of all with as much or more
    best = np.concatenate([best, np.full((len(best), 1), np.inf)], axis=-1)
    # steps lie where draws have points: as many levels in each share of those
    levels = np.unique(
        np.quantile(throughput[usable], np.linspace(0, 1, _NUM_LEVELS), method="inverted_cdf")
    )
    least = np.array([b[np.searchsorted(g, levels)] for g, b in zip(gain, best, strict=True)])
    low = np.quantile(least, _LOW, axis=0, method="lower")  # no mean of a number and inf
    high = np.quantile(least, _HIGH, axis=0, method="higher")
    return Band(
        throughput=tuple(levels.tolist()), low=tuple(low.tolist()), high=tuple(high.tolist())
    )


def _curve_uncertainty(
    curve: tuple[str | None, str],
    rivals: Sequence[Configuration],
    objectives: tuple[str, str],
    cap: float,
    rng: np.random.Generator,
) -> CurveUncertainty:
    gain, cost = (np.array([_value(c, name) for c in rivals]) for name in objectives)
    near = epsilon_front(gain, cost, gain_epsilon=GAIN_EPSILON, cost_epsilon=COST_EPSILON)
    draws = _draws(rivals, objectives, rng)
    stands = None if draws is None else non_dominated_in_each(*draws).mean(axis=0)
    return CurveUncertainty(
        curve=curve,
        epsilon_front=tuple(rivals[i] for i in near),
        by_energy=_by_energy(rivals, gain, cost),
        hypervolume=_hypervolume(gain, cost, draws, cap),
        probability={}
        if stands is None
        else {c.settings.configuration_id: float(p) for c, p in zip(rivals, stands, strict=True)},
        band=None if draws is None else attainment_band(*draws),
        from_one_run=draws is not None and not all(map(knows_how_runs_differ, rivals)),
    )


def _draws(
    rivals: Sequence[Configuration], objectives: tuple[str, str], rng: np.random.Generator
) -> tuple[Floats, Floats] | None:
    """Return throughput and latency, each [draws, rivals]; None where nothing says how one
    varies."""
    if not all(_varies(rival, objectives) for rival in rivals):
        return None
    found = np.empty((NUM_RESAMPLES, len(rivals), len(objectives)))
    for i, rival in enumerate(rivals):
        figures = np.array([_value(rival, name) for name in objectives])
        drawn = resample(rival, objectives, rng, NUM_RESAMPLES)
        found[:, i] = _widened(drawn, figures, len(rival.runs))
    return found[..., 0], found[..., 1]


def _varies(configuration: Configuration, objectives: Sequence[str]) -> bool:
    return knows_how_runs_differ(configuration) or all(
        name in configuration.intervals for name in objectives
    )


def _widened(drawn: Floats, figures: Floats, num_runs: int) -> Floats:
    """Return the draws [draws, objectives] as far from the figures as their t-intervals reach.

    n runs drawn again vary √(1 − 1/n) times as much as n new runs would, and know their spread no
    better than n − 1 degrees of freedom allow (Hesterberg 2015). Distances are ratios, so that
    nothing falls below 0.
    """
    if num_runs < 2:
        return drawn
    wider = t_quantile(num_runs - 1) / NORMAL_975 / math.sqrt(1 - 1 / num_runs)
    positive = figures > 0
    ratios = np.maximum(drawn / np.where(positive, figures, 1.0), 0.0)
    widened: Floats = np.where(positive, figures * ratios**wider, drawn)
    return widened


def _by_energy(
    rivals: Sequence[Configuration], gain: Floats, cost: Floats
) -> tuple[Configuration, ...] | None:
    if not all(_has(c, ENERGY) for c in rivals):
        return None
    energy = np.array([_value(c, ENERGY) for c in rivals])
    maximise = [True, False, True]
    without = non_dominated_indices(np.column_stack([gain, cost]), maximise[:2])
    with_energy = non_dominated_indices(np.column_stack([gain, cost, energy]), maximise)
    return tuple(rivals[i] for i in with_energy if i not in without)


def _hypervolume(
    gain: Floats, cost: Floats, draws: tuple[Floats, Floats] | None, cap: float
) -> Hypervolume | None:
    if (cost <= 0).any() or (draws is not None and (draws[1] <= 0).any()):
        return None
    value = hypervolume(gain, cost, cap=cap)
    low = high = None
    if draws is not None:
        least, most = np.quantile(hypervolume_of_each(*draws, cap=cap), [_LOW, _HIGH])
        # noise only ever adds to a frontier: the draws lie as far above the value as it does
        # above the truth, so they are mirrored at it (the basic bootstrap interval)
        low, high = max(0.0, 2 * value - float(most)), max(0.0, 2 * value - float(least))
    return Hypervolume(value=value, low=low, high=high, cap=cap)


def _has(configuration: Configuration, metric: str) -> bool:
    value = configuration.figures.get(metric)
    return value is not None and math.isfinite(value)


def _value(configuration: Configuration, metric: str) -> float:
    value = configuration.figures[metric]
    assert value is not None
    return value
