"""How much of the plane the candidate's frontier wins, over the baseline's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.hypervolume import hypervolume, hypervolume_of_each
from paretobench.analysis.resampling import (
    NORMAL_975,
    counted,
    knows_how_runs_differ,
    resample,
)
from paretobench.analysis.run_intervals import t_quantile
from paretobench.core.intervals import Interval
from paretobench.gate.values import HypervolumeRatio, Match
from paretobench.report.model import Report

Floats: TypeAlias = NDArray[np.float64]
NUM_RESAMPLES = 1000
_SEED = 0
_ENDS = (0.025, 0.975)


def hypervolume_ratios(
    matches: Sequence[Match], before: Report, cap: float
) -> list[HypervolumeRatio]:
    """Return the ratio of each curve, from what is valid on both sides, over one reference point.

    Where there are several pairs, whole pairs are drawn again, the same for both sides and for
    every configuration; else runs, a run with its partner. The interval is as wide as the
    t-distribution of so few asks. A curve of which the baseline wins nothing has no ratio; where
    the candidate wins nothing it is 0, without an interval.
    """
    curves: dict[tuple[str | None, str], list[Match]] = {}
    for match in matches:
        settings = match.before.settings
        curves.setdefault((settings.variant, settings.workload), []).append(match)
    found = []
    for (variant, workload), of_curve in curves.items():
        several = len(curves) > 1
        name = " · ".join(part for part in (variant, workload) if part) if several else ""
        ratio = _ratio(name, of_curve, (before.throughput, before.latency), cap)
        if ratio is not None:
            found.append(ratio)
    return found


def _ratio(
    name: str, matches: Sequence[Match], objectives: tuple[str, str], cap: float
) -> HypervolumeRatio | None:
    usable = [m for m in matches if all(_is_positive(c, objectives) for c in (m.before, m.after))]
    before, after = (
        _hypervolume([getattr(m, side) for m in usable], objectives, cap)
        for side in ("before", "after")
    )
    if before <= 0:
        return None
    if after <= 0:
        return HypervolumeRatio(curve=name, ratio=0.0, interval=None)
    ratio = after / before
    return HypervolumeRatio(
        curve=name, ratio=ratio, interval=_interval(ratio, usable, objectives, cap)
    )


def _interval(
    ratio: float, matches: Sequence[Match], objectives: tuple[str, str], cap: float
) -> Interval | None:
    """Return the interval of the ratio; None where nothing says how a figure varies."""
    if not all(
        knows_how_runs_differ(c) or all(name in c.intervals for name in objectives)
        for m in matches
        for c in (m.before, m.after)
    ):
        return None
    rng = np.random.default_rng(_SEED)
    num_rounds = len({number for m in matches for number in m.baseline_rounds})
    draws = [_draws(m, objectives, rng, num_rounds) for m in matches]
    before, after = (np.stack([pair[side] for pair in draws], axis=1) for side in (0, 1))
    usable = (before[..., 1] > 0).all(axis=1) & (after[..., 1] > 0).all(axis=1)
    areas = [
        hypervolume_of_each(side[usable][..., 0], side[usable][..., 1], cap=cap)
        for side in (before, after)
    ]
    wins = (areas[0] > 0) & (areas[1] > 0)
    if not wins.any():
        return None
    logs = np.log(areas[1][wins] / areas[0][wins])
    least = num_rounds if num_rounds > 1 else min(len(m.baseline_rounds) for m in matches)
    centre, wider = math.log(ratio), 1.0
    if least > 1:  # see front_uncertainty: n runs drawn again vary less than n new ones
        wider = t_quantile(least - 1) / NORMAL_975 / math.sqrt(1 - 1 / least)
    low, high = (math.exp(centre + wider * (q - centre)) for q in np.quantile(logs, _ENDS))
    return Interval(low=low, high=high, method="t_over_runs" if least > 1 else "block_within_run")


def _draws(
    match: Match, objectives: tuple[str, str], rng: np.random.Generator, num_rounds: int
) -> tuple[Floats, Floats]:
    """Return the figures of both sides where runs are drawn again, each [draws, objectives]."""
    sides = (match.before, match.after)
    rounds = (match.baseline_rounds, match.candidate_rounds)
    if num_rounds > 1:
        drawn = np.random.default_rng(_SEED).multinomial(
            num_rounds, np.full(num_rounds, 1 / num_rounds), size=NUM_RESAMPLES
        )  # the same pairs for every configuration
        numbers = sorted({*match.baseline_rounds, *match.candidate_rounds})
        before, after = (
            counted(c, objectives, drawn[:, [numbers.index(n) for n in of_side]])
            for c, of_side in zip(sides, rounds, strict=True)
        )
        return before, after
    if match.is_paired and knows_how_runs_differ(match.before):
        counts = rng.multinomial(
            len(rounds[0]), np.full(len(rounds[0]), 1 / len(rounds[0])), size=NUM_RESAMPLES
        )
        return counted(sides[0], objectives, counts), counted(sides[1], objectives, counts)
    before, after = (resample(c, objectives, rng, NUM_RESAMPLES) for c in sides)
    return before, after


def _hypervolume(
    configurations: Sequence[Configuration], objectives: tuple[str, str], cap: float
) -> float:
    gain, cost = ([c.figures[name] or 0.0 for c in configurations] for name in objectives)
    return hypervolume(gain, cost, cap=cap) if configurations else 0.0


def _is_positive(configuration: Configuration, objectives: tuple[str, str]) -> bool:
    values = [configuration.figures.get(name) for name in objectives]
    return all(value is not None and 0 < value < math.inf for value in values)
