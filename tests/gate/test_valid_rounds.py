"""Pairs in which one side measured nothing valid: what they say, and what the others still do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paretobench.gate.compare import compare_runs
from paretobench.gate.identity import by_key
from paretobench.gate.interleaving import why_one_pair
from paretobench.gate.matching import match_configurations
from paretobench.gate.moves import frontier_moves
from paretobench.gate.sides import SideRuns
from paretobench.gate.valid_rounds import of_valid_rounds
from paretobench.gate.values import Thresholds

Make = Callable[..., Any]


def match(before: SideRuns, after: SideRuns) -> Any:
    return match_configurations(before, after, tells_variants=False)


OK, BAD, NOISY = "valid", "failed", "disturbed"


@pytest.mark.parametrize(
    ("baseline", "candidate", "verdict", "share"),
    [
        ([OK] * 5, [BAD, NOISY, NOISY, OK, OK], BAD, 0.2),  # a disturbed run has not failed
        ([NOISY] * 3 + [OK] * 2, [BAD] * 5, BAD, 1.0),  # nor did these pairs show that it works
        ([OK] * 5, [BAD] + ["overloaded"] * 3 + [OK], "overloaded", 0.6),  # what decides is told
        ([OK] * 5, [BAD] + ["overloaded"] * 2 + [OK] * 2, BAD, 0.2),
        ([OK] * 4, [NOISY, "throttled", OK, OK], "throttled", 0.5),
    ],
)
def test_the_share_of_a_lost_configuration_is_of_the_rounds_with_its_verdict(
    make_point: Make,
    make_side: Make,
    baseline: list[str],
    candidate: list[str],
    verdict: str,
    share: float,
) -> None:
    sides = (
        make_side(name, [[make_point(4, 100, 50, seed=s, verdict=v)] for s, v in enumerate(told)])
        for name, told in (("baseline", baseline), ("candidate", candidate))
    )
    (lost,) = match(*sides).lost
    assert (lost.verdict, lost.share_of_rounds) == (verdict, share)


def test_one_disturbed_run_of_each_side_takes_a_configuration_off_no_frontier(
    make_point: Make, make_side: Make
) -> None:
    def rounds(disturbed: int, slower: float) -> list[Any]:
        verdicts = {disturbed: "disturbed"}
        return [
            [make_point(4, 100 / slower, 50 * slower, seed=s, verdict=verdicts.get(s, "valid"))]
            for s in range(5)
        ]

    sides = make_side("baseline", rounds(0, 1.0)), make_side("candidate", rounds(1, 1.1))
    before, after = of_valid_rounds(*sides, tells_variants=False)
    (found,) = match(before, after).matches
    assert found.is_gating
    assert found.baseline_rounds == (2, 3, 4)
    for counted, told in ((before, found.before), (after, found.after)):
        (on_front,) = counted.side.report.frontier
        assert (on_front.num_repeats, on_front.figures) == (3, told.figures)
    frames = (by_key(s, tells_variants=False) for s in (before, after))
    reports = (s.side.report for s in (before, after))
    assert frontier_moves(*reports, *frames, tells_variants=False) == ((), ())


def test_a_side_that_did_not_serve_a_configuration_in_most_pairs_has_it_on_no_frontier(
    make_point: Make, make_side: Make
) -> None:
    def rounds(verdicts: list[str]) -> list[Any]:
        return [[make_point(4, 100, 50, seed=s, verdict=v)] for s, v in enumerate(verdicts)]

    full = ["overloaded"] * 3 + ["valid"]
    sides = (
        make_side("baseline", rounds(["disturbed"] + ["valid"] * 3)),
        make_side("c", rounds(full)),
    )
    before, after = of_valid_rounds(*sides, tells_variants=False)
    assert len(before.side.report.frontier) == 1
    assert not after.side.report.frontier
    (lost,) = match(before, after).lost
    assert (lost.verdict, lost.was_on_frontier) == ("overloaded", True)
    assert lost.share_of_rounds == pytest.approx(2 / 3)


def test_one_pair_of_several_does_not_gate_beside_others_and_alone_only_advises(
    make_point: Make, make_side: Make
) -> None:
    def rounds(last: str) -> list[Any]:
        verdicts = ["valid", last, last]
        return [
            [make_point(4, 100, 50, seed=s), make_point(8, 150, 60, seed=s, verdict=v)]
            for s, v in enumerate(verdicts)
        ]

    found = match(
        make_side("baseline", rounds("valid")), make_side("candidate", rounds("disturbed"))
    )
    assert [m.is_gating for m in found.matches] == [True, False]
    assert "in one pair alone, so not in the overall loss: batch 8" in found.warnings[0]
    assert why_one_pair(found.matches) is None
    assert why_one_pair([replace(found.matches[1], is_gating=True)]) is not None


def test_a_comparison_counts_valid_pairs_and_one_of_them_alone_advises(
    make_point: Make, make_side: Make, make_manifest: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def comparison(*, disturbed: list[int]) -> Any:
        times = {
            name: [
                make_manifest(
                    created_at=f"2026-01-01T1{pair}:{start}:00+00:00",
                    finished_at=f"2026-01-01T1{pair}:{start}:30+00:00",
                )
                for pair in range(3)
            ]
            for name, start in (("baseline", 10), ("candidate", 20))
        }
        told = dict.fromkeys(disturbed, "disturbed")
        rounds = [[make_point(4, 98, 51, seed=s, verdict=told.get(s, "valid"))] for s in range(3)]
        before = [[make_point(4, 100, 50, seed=s)] for s in range(3)]
        sides = (
            make_side("baseline", before, times["baseline"]),
            make_side("candidate", rounds, times["candidate"]),
        )
        monkeypatch.setattr("paretobench.gate.compare.read_sides", lambda *_: sides)
        return compare_runs(Path("a"), Path("b"), allow=(), thresholds=Thresholds())

    two = comparison(disturbed=[1])
    assert len(two.candidate.report.frontier) == 1
    assert not two.left
    assert not two.decision.is_advisory
    one = comparison(disturbed=[1, 2])
    assert one.decision.is_advisory
    assert "one pair alone" in one.warnings[0]
