"""Regret by hand: what a controller gave away against settings known to be good in hindsight."""

from __future__ import annotations

import math

import pytest

from paretobench.analysis.phases import PhaseFigures
from paretobench.analysis.regret import mean_goodput, regret_of
from paretobench.core.profiles import Phase

CALM_S, RUSH_S = 30.0, 10.0


def cycle(
    calm: tuple[float | None, float | None], rush: tuple[float | None, float | None]
) -> tuple[PhaseFigures, ...]:
    """Return a cycle of two phases, `(goodput, p95)` of each."""
    phases = (
        Phase(label="calm", start_s=0.0, end_s=CALM_S),
        Phase(label="rush", start_s=CALM_S, end_s=CALM_S + RUSH_S),
    )
    return tuple(
        PhaseFigures(
            phase=phase,
            num_requests=100,
            requests_per_s=10.0,
            p95_e2e_ms=p95,
            p95_is_low=False,
            goodput_requests_per_s=goodput,
            output_tokens_per_s=100.0,
        )
        for phase, (goodput, p95) in zip(phases, (calm, rush), strict=True)
    )


SMALL = cycle((4.0, 100.0), (2.0, 900.0))
LARGE = cycle((3.0, 200.0), (8.0, 400.0))
FIXED = {"small": SMALL, "large": LARGE}


def test_the_best_of_each_phase_is_another_setting_and_hindsight_has_both() -> None:
    regret = regret_of("c", SMALL, FIXED)
    calm, rush = regret.phases
    assert (calm.best_goodput_by, calm.best_p95_by) == ("small", "small")
    assert (rush.best_goodput_by, rush.best_p95_by) == ("large", "large")
    assert (calm.goodput_regret, calm.p95_regret) == (0.0, 0.0)
    assert rush.goodput_regret == 1 - 2 / 8
    assert rush.p95_regret == 900 / 400 - 1
    assert regret.hindsight_goodput == (4 * CALM_S + 8 * RUSH_S) / 40


def test_a_setting_has_no_regret_against_itself_and_does_not_beat_itself() -> None:
    regret = regret_of("c", LARGE, {"large": LARGE})
    assert regret.goodput_regret == 0.0
    assert [(p.goodput_regret, p.p95_regret) for p in regret.phases] == [(0.0, 0.0)] * 2
    assert regret.beats_best_single is False


def test_regret_is_negative_where_the_controller_did_better_than_all() -> None:
    regret = regret_of("c", cycle((5.0, 50.0), (8.0, 400.0)), FIXED)
    assert regret.phases[0].goodput_regret == 1 - 5 / 4
    assert regret.phases[0].p95_regret == 50 / 100 - 1
    assert regret.goodput_regret is not None
    assert regret.goodput_regret < 0


def test_a_controller_between_the_best_single_setting_and_hindsight_beats_the_single_one() -> None:
    regret = regret_of("c", cycle((4.0, 100.0), (7.0, 500.0)), FIXED)
    assert (regret.best_single, regret.best_single_goodput) == ("large", 4.25)
    assert (regret.goodput, regret.hindsight_goodput) == (4.75, 5.0)
    assert regret.beats_best_single is True
    assert regret.goodput_regret == pytest.approx(0.05)


def test_a_phase_counts_by_its_length() -> None:
    assert mean_goodput(cycle((1.0, None), (9.0, None))) == (1 * CALM_S + 9 * RUSH_S) / 40


def test_of_equal_goodput_the_lower_tail_is_the_best_single_setting() -> None:
    slow = cycle((3.0, 200.0), (8.0, math.inf))
    assert regret_of("c", SMALL, {"slow": slow, "large": LARGE}).best_single == "large"
    assert regret_of("c", SMALL, {"large": LARGE, "slow": slow}).best_single == "large"


def test_a_tail_that_never_ended_is_infinite_regret_unless_the_best_is_infinite_too() -> None:
    never = cycle((0.0, math.inf), (0.0, math.inf))
    assert [p.p95_regret for p in regret_of("c", never, FIXED).phases] == [math.inf] * 2
    assert [p.p95_regret for p in regret_of("c", never, {"n": never}).phases] == [None] * 2
    assert regret_of("c", LARGE, {"n": never}).phases[0].p95_regret is None


def test_without_an_sla_there_is_no_goodput_and_no_verdict_but_a_tail() -> None:
    own = cycle((None, 150.0), (None, 400.0))
    regret = regret_of("c", own, {"f": cycle((None, 100.0), (None, 400.0))})
    assert (regret.goodput, regret.goodput_regret, regret.beats_best_single) == (None, None, None)
    assert [p.goodput_regret for p in regret.phases] == [None, None]
    assert [p.p95_regret for p in regret.phases] == [0.5, 0.0]


def test_a_silent_phase_has_no_regret() -> None:
    silent = cycle((4.0, 100.0), (0.0, None))
    rush = regret_of("c", silent, {"f": silent}).phases[1]
    assert (rush.goodput_regret, rush.p95_regret) == (None, None)
