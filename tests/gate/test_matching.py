"""Configurations belong together by what they measured, and their runs by what they served."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from paretobench.gate.identity import content_key
from paretobench.gate.interleaving import why_advisory
from paretobench.gate.log_ratios import log_ratios
from paretobench.gate.matching import match_configurations
from paretobench.gate.sides import SideRuns

Make = Callable[..., Any]


def match(before: SideRuns, after: SideRuns) -> Any:
    return match_configurations(before, after, tells_variants=False)


def test_runs_of_one_schedule_are_paired_in_order_and_the_others_left_out(
    make_point: Make, make_side: Make
) -> None:
    before = [make_point(4, 100 + s, 50 + s, p50=20 + s, seed=s) for s in (1, 2, 3)]
    after = [make_point(4, 90 + s, 60 + s, p50=30 + s, seed=s) for s in (3, 1, 7)]
    (found,) = match(make_side("baseline", [before]), make_side("candidate", [after])).matches
    assert found.is_paired
    assert found.baseline == {
        "throughput": (101, 103),
        "p50_latency": (21, 23),
        "p95_latency": (51, 53),
    }
    assert found.candidate["p95_latency"] == (61, 63)
    assert [run.settings.seed for run in found.after.runs] == [1, 3]


def test_runs_of_other_schedules_all_count_unpaired(make_point: Make, make_side: Make) -> None:
    before = [make_point(4, 100, 50, seed=s) for s in (1, 2)]
    after = [make_point(4, 90, 60, seed=s) for s in (3, 4, 5)]
    found = match(make_side("baseline", [before]), make_side("candidate", [after]))
    (matched,) = found.matches
    assert not matched.is_paired
    assert (len(matched.baseline["throughput"]), len(matched.candidate["throughput"])) == (2, 3)
    assert any("did not serve the same requests" in warning for warning in found.warnings)


def test_a_schedule_pairs_only_within_its_pair_of_runs(make_point: Make, make_side: Make) -> None:
    before = [[make_point(4, 100, 50, seed=1)], [make_point(4, 200, 50, seed=2)]]
    after = [[make_point(4, 101, 50, seed=1)], [make_point(4, 201, 50, seed=2)]]
    (found,) = match(make_side("baseline", before), make_side("candidate", after)).matches
    assert found.is_paired
    assert found.candidate["throughput"] == (101, 201)
    assert found.baseline_rounds == found.candidate_rounds == (0, 1)
    crossed = match(make_side("baseline", before), make_side("candidate", after[::-1])).matches[0]
    assert not crossed.is_paired


def test_a_share_of_the_capacity_and_the_rate_that_it_came_to_are_one_load(
    make_point: Make,
) -> None:
    fraction = make_point(
        4,
        1,
        1,
        load="gamma 0.5 50% of capacity",
        load_kind="gamma",
        concurrency=None,
        offered_requests_per_s=12.5,
        fraction_of_capacity=0.5,
    ).settings
    fixed = replace(fraction, load="gamma 0.5 12.5/s", fraction_of_capacity=None)
    other_shape = replace(fixed, load="gamma 0.25 12.5/s")
    keys = [content_key(s, tells_variants=True) for s in (fraction, fixed, other_shape)]
    assert keys[0] == keys[1] != keys[2]
    assert content_key(replace(fixed, offered_requests_per_s=12.6), tells_variants=True) != keys[0]


def test_a_variants_name_counts_only_where_there_are_several(make_point: Make) -> None:
    settings = make_point(4, 1, 1, variant="fp8").settings
    other = replace(settings, variant="int8", configuration_id="other", seed=9)
    assert content_key(settings, tells_variants=False) == content_key(other, tells_variants=False)
    assert content_key(settings, tells_variants=True) != content_key(other, tells_variants=True)


def test_the_frontier_of_either_side_and_its_neighbours_gate(
    make_point: Make, make_side: Make
) -> None:
    # baseline: 1 and 2 stand on the frontier, so 4 is next to it; candidate: 32 too, so 16 is
    figures = {1: (10, 5), 2: (20, 8), 4: (19, 9), 8: (18, 20), 16: (17, 30), 32: (16, 40)}
    before = [make_point(b, *values) for b, values in figures.items()]
    after = [make_point(b, *values) for b, values in (figures | {32: (99, 40)}).items()]
    found = match(make_side("baseline", [before]), make_side("candidate", [after])).matches
    gating = {m.before.settings.max_batch_size for m in found if m.is_gating}
    assert gating == {1, 2, 4, 16, 32}


def test_what_is_not_on_both_sides_is_named_with_the_rates_that_are(
    make_point: Make, make_side: Make
) -> None:
    def at(rate: float) -> Any:
        load = {"load_kind": "poisson", "concurrency": None, "fraction_of_capacity": 0.5}
        return make_point(
            4, 50, 9, load="poisson 50% of capacity", offered_requests_per_s=rate, **load
        )

    before = [make_point(1, 10, 5), replace_id(at(10.0))]
    after = [make_point(1, 10, 5), replace_id(at(11.0))]
    found = match(make_side("baseline", [before]), make_side("candidate", [after]))
    assert [(u.side, len(found.matches)) for u in found.unmatched] == [
        ("baseline", 1),
        ("candidate", 1),
    ]
    assert "poisson 11/s" in found.unmatched[0].why
    assert "--like" in found.unmatched[0].why
    assert "1 of 2 configurations of the baseline" in found.warnings[0]


def replace_id(point: Any) -> Any:
    settings = replace(point.settings, configuration_id="rate")
    return replace(point, settings=settings)


def test_a_configuration_that_is_valid_no_more_is_lost_and_in_how_many_pairs(
    make_point: Make, make_side: Make
) -> None:
    before = [[make_point(4, 100, 50, seed=s)] for s in (1, 2, 3, 4)]
    after = [
        [make_point(4, 90, 60, seed=s, verdict="overloaded" if s == 2 else "valid", reason="full")]
        for s in (1, 2, 3, 4)
    ]
    found = match(make_side("baseline", before), make_side("candidate", after))
    (lost,) = found.lost
    assert (lost.verdict, lost.reason, lost.share_of_rounds) == ("overloaded", "full", 0.25)
    assert lost.was_on_frontier
    assert found.matches[0].baseline_rounds == (0, 2, 3)  # the other pairs count


def test_not_valid_in_the_baseline_is_nothing_lost(make_point: Make, make_side: Make) -> None:
    before = [make_point(4, 100, 50, verdict="too_short", reason="12 requests")]
    after = [make_point(4, 90, 60)]
    found = match(make_side("baseline", [before]), make_side("candidate", [after]))
    assert not found.lost
    assert not found.matches
    assert found.unmatched[0].side is None
    assert "not valid in the baseline: too short (12 requests)" in found.unmatched[0].why


def test_where_one_side_alone_measured_again_the_first_measurements_of_both_count(
    make_point: Make, make_side: Make
) -> None:
    first = make_point(4, 100, 50, seed=1)
    again = make_point(4, 80, 55, seed=8, stage="confirm")
    only_first = make_point(4, 98, 51, seed=1)
    found = match(make_side("baseline", [[first, again]]), make_side("candidate", [[only_first]]))
    assert found.matches[0].baseline["throughput"] == (100,)
    assert found.matches[0].is_paired
    assert any("measured again by one side alone" in warning for warning in found.warnings)


def test_a_figure_of_zero_has_no_ratio(make_point: Make, make_side: Make) -> None:
    before, after = make_point(4, 0.0, 50), make_point(4, 90, 60)
    found = match(make_side("baseline", [[before]]), make_side("candidate", [[after]]))
    assert not found.matches
    assert "output_tokens_per_s" in found.unmatched[0].why
    pairs = [[[make_point(4, value, 50, seed=s)] for s in (1, 2, 3)] for value in (100, 90)]
    pairs[1][1] = [make_point(4, 0.0, 50, seed=2)]  # of one pair alone: it is left out
    (found,) = match(make_side("baseline", pairs[0]), make_side("candidate", pairs[1])).matches
    assert set(log_ratios(found, "throughput").by_round) == {0, 2}
    assert set(log_ratios(found, "p95_latency").by_round) == {0, 1, 2}


ONE_AFTER_ANOTHER = [(0, 1), (2, 3), (5, 6), (7, 8)]  # baseline, candidate, baseline, candidate


@pytest.mark.parametrize(
    ("times", "is_advisory"),
    [
        (ONE_AFTER_ANOTHER, False),
        ([(0, 1), (5, 6), (2, 3), (7, 8)], True),  # both baselines first
        ([(0, 1), (2, 3), (5, None), (7, 8)], True),  # one that never finished
        (ONE_AFTER_ANOTHER[:2], True),  # one pair
    ],
)
def test_only_pairs_measured_in_turn_are_more_than_advisory(
    make_point: Make, make_side: Make, make_manifest: Make, times: Any, is_advisory: bool
) -> None:
    manifests = [
        make_manifest(
            created_at=f"2026-01-01T10:0{start}:00+00:00",
            finished_at=None if end is None else f"2026-01-01T10:0{end}:00+00:00",
        )
        for start, end in times
    ]
    rounds = [[make_point(4, 100, 50)]] * (len(times) // 2)
    before = make_side("baseline", rounds, manifests[0::2])
    after = make_side("candidate", rounds, manifests[1::2])
    assert (why_advisory(before, after) is not None) == is_advisory
