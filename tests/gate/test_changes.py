"""Hypervolume, operating points and who stands on the frontier: before, and now."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from paretobench.gate.goals import operating_point_changes
from paretobench.gate.hypervolumes import hypervolume_ratios
from paretobench.gate.identity import by_key
from paretobench.gate.matching import match_configurations
from paretobench.gate.moves import frontier_moves

Make = Callable[..., Any]
CAP = 1000.0


def ratios(before: Any, after: Any) -> Any:
    matches = match_configurations(before, after, tells_variants=False).matches
    return hypervolume_ratios(matches, before.side.report, CAP)


def test_the_hypervolume_of_one_point_is_its_throughput_times_the_log_of_cap_over_latency(
    make_point: Make, make_side: Make
) -> None:
    before = make_side("baseline", [[make_point(4, 100, 50, seed=s) for s in (1, 2)]])
    after = make_side("candidate", [[make_point(4, 90, 60, seed=s) for s in (1, 2)]])
    (found,) = ratios(before, after)
    assert found.ratio == pytest.approx(90 * math.log(CAP / 60) / (100 * math.log(CAP / 50)))


def test_what_moves_both_runs_of_a_pair_alike_does_not_widen_the_ratio(
    make_point: Make, make_side: Make
) -> None:
    drift = (1.0, 1.3, 0.7)
    before = [[make_point(4, 100 * d, 50, seed=i)] for i, d in enumerate(drift)]
    alike = [[make_point(4, 90 * d, 50, seed=i)] for i, d in enumerate(drift)]
    (found,) = ratios(make_side("baseline", before), make_side("candidate", alike))
    assert found.ratio == pytest.approx(0.9)
    assert found.interval.low == pytest.approx(0.9)
    assert found.interval.high == pytest.approx(0.9)
    apart = [[make_point(4, 90 * d, 50, seed=i)] for i, d in enumerate(drift[::-1])]
    (wide,) = ratios(make_side("baseline", before), make_side("candidate", apart))
    assert wide.interval.low < 0.7
    assert wide.interval.high > 1.1


def test_only_what_both_sides_measured_counts_for_the_hypervolume(
    make_point: Make, make_side: Make
) -> None:
    before = make_side("baseline", [[make_point(4, 100, 50), make_point(8, 500, 20)]])
    after = make_side("candidate", [[make_point(4, 100, 50)]])
    (found,) = ratios(before, after)
    assert found.ratio == pytest.approx(1.0)
    assert found.interval is None  # of one run each without blocks nothing says how they vary


def test_a_candidate_that_wins_nothing_has_the_ratio_0(make_point: Make, make_side: Make) -> None:
    before = make_side("baseline", [[make_point(4, 100, 50)]])
    after = make_side("candidate", [[make_point(4, 100, 2 * CAP)]])
    (found,) = ratios(before, after)
    assert (found.ratio, found.interval) == (0.0, None)
    assert ratios(after, before) == []


def change_of(before: Any, after: Any) -> Any:
    (change,) = operating_point_changes(
        before.side.report,
        after.side.report,
        by_key(after, tells_variants=False),
        tells_variants=False,
    )
    return change


def test_a_point_that_breaks_its_limit_says_so_and_what_the_best_costs(
    make_point: Make, make_side: Make
) -> None:
    before = make_side("baseline", [[make_point(4, 100, 150), make_point(8, 120, 190)]])
    after = make_side("candidate", [[make_point(4, 96, 155), make_point(8, 118, 210)]])
    change = change_of(before, after)
    assert change.before.settings.max_batch_size == 8
    assert change.still_meets is False
    assert change.best_now.settings.max_batch_size == 4
    assert change.cost == pytest.approx(1 - 96 / 120)
    assert change.limits == "p95 E2E ≤ 200 ms"


def test_a_limit_that_is_kept_but_not_shown_is_not_known(make_point: Make, make_side: Make) -> None:
    before = make_side("baseline", [[make_point(4, 100, 150)]])
    change = change_of(before, make_side("candidate", [[make_point(4, 99, 160)]]))
    assert change.still_meets is None
    assert change.note.startswith("not shown")
    gone = [make_point(4, 99, 160, verdict="overloaded", reason="full")]
    change = change_of(before, make_side("candidate", [gone]))
    assert (change.still_meets, change.same_now, change.cost) == (False, None, None)
    assert "overloaded" in change.note


def moves(before: Any, after: Any) -> Any:
    sides = (by_key(s, tells_variants=False) for s in (before, after))
    return frontier_moves(before.side.report, after.side.report, *sides, tells_variants=False)


def test_who_left_the_frontier_is_told_by_whom_it_is_beaten(
    make_point: Make, make_side: Make
) -> None:
    before = make_side("baseline", [[make_point(4, 100, 50), make_point(8, 120, 60)]])
    after = make_side("candidate", [[make_point(4, 100, 70), make_point(8, 120, 60)]])
    joined, left = moves(before, after)
    assert not joined
    assert left[0].label == "batch 4, wait 0 ms, closed loop ×3"
    assert left[0].why == "dominated in the candidate by batch 8, wait 0 ms, closed loop ×3"
    joined, left = moves(after, before)
    assert not left
    assert "dominated in the baseline by batch 8" in joined[0].why


def test_a_move_that_repeats_do_not_settle_is_within_the_noise(
    make_point: Make, make_side: Make
) -> None:
    def runs(shift: float) -> list[Any]:
        noisy = [make_point(4, 100, 59 + shift + d, seed=s) for s, d in ((1, -9), (2, 9), (3, 0))]
        return [*noisy, *(make_point(8, 120, 60, seed=s) for s in (1, 2, 3))]

    _, left = moves(make_side("baseline", [runs(0)]), make_side("candidate", [runs(2)]))
    assert "within the noise: with a probability of" in left[0].why
