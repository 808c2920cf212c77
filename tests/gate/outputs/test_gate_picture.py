"""compare.png: nothing overlaps or is clipped, the title is the verdict, noise is not a change."""

import itertools
from dataclasses import replace

import pytest

from paretobench.gate.headline import headline
from paretobench.gate.picture import comparison_figure, draw_comparison
from paretobench.gate.picture_panel import direction_of, plane_loss
from paretobench.gate.values import HypervolumeRatio
from paretobench.report.figures.canvas import style


def regressed(compared, slower):
    return compared(pairs=3, change=slower(0.05), gates_all=True)


def improved_in_one_run(compared, slower):
    long = ("main-with-a-name-" * 4, "change-with-a-name-" * 4)
    return compared(pairs=1, change=slower(-0.3), is_advisory=True, outcome="pass", names=long)


def lost_and_joined(compared, slower):
    def change(point):
        if point.settings.max_batch_size == 64:
            return replace(point, verdict="overloaded", reason="waits rose throughout")
        return point

    return compared(pairs=2, change=change)


def nothing_left(compared, slower):
    return compared(
        source="certified_chat", pairs=2, change=lambda p: replace(p, verdict="failed", reason="x")
    )


def of_three_variants(compared, slower):
    return compared(source="shift_the_curve", pairs=1, change=slower(-0.08), outcome="pass")


@pytest.mark.parametrize(
    "case",
    [regressed, improved_in_one_run, lost_and_joined, nothing_left, of_three_variants],
    ids=lambda f: f.__name__,
)
def test_nothing_in_the_picture_overlaps_or_is_clipped(compared, slower, case):
    comparison = case(compared, slower)
    with style():
        figure = comparison_figure(comparison)
        figure.draw_without_rendering()
        boxes = [
            text.get_window_extent()
            for axes in figure.axes
            for text in axes.texts
            if text.get_gid() == "label"
        ]
        legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
        boxes += [t.get_window_extent() for legend in legends for t in legend.get_texts()]
        boxes += [text.get_window_extent() for text in figure.texts]
        page = figure.get_tightbbox()
    assert len(legends) == 1
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)
    width, height = figure.get_size_inches()
    assert min(page.x0, page.y0) >= 0
    assert page.x1 <= width
    assert page.y1 <= height
    title, subtitle = (text.get_text() for text in figure.texts)
    assert title.removesuffix("…") in headline(comparison)
    assert ("ADVISORY" in subtitle) == comparison.decision.is_advisory


def test_only_what_moved_by_more_than_its_noise_and_by_1_percent_has_a_direction(compared, slower):
    def change(point):
        share = {0.3: 0.05, 0.5: -0.05, 0.7: 0.005}[point.settings.fraction_of_capacity]
        return slower(share)(point)

    comparison = compared(source="certified_chat", change=change, noise=0.0005)
    found = {m.before.settings.fraction_of_capacity: m for m in comparison.matches}
    told = {share: direction_of(comparison, match) for share, match in found.items()}
    assert told == {0.3: "worse", 0.5: "better", 0.7: "noise"}


def test_the_legend_names_what_tells_two_curves_apart(compared):
    long = "bfloat16 · prompt 32 to 64 tokens, output 8 to 16 tokens · "
    found = tuple(
        HypervolumeRatio(curve=long + name, ratio=1.0, interval=None) for name in ("eager", "graph")
    )
    comparison = replace(compared(source="certified_chat", pairs=1), hypervolumes=found)
    with style():
        (axes,) = comparison_figure(comparison).axes
        texts = [text.get_text() for text in axes.get_legend().get_texts()]
    assert [t for t in texts if "hypervolume" in t] == [
        "hypervolume eager:\n×1.00",
        "hypervolume graph:\n×1.00",
    ]


def test_a_large_difference_of_noisy_runs_has_no_direction(compared):
    comparison = compared(source="certified_chat", noise=0.1)
    sizes = [abs(plane_loss(comparison, match)) for match in comparison.matches]
    assert max(sizes) > 0.02
    assert {direction_of(comparison, match) for match in comparison.matches} == {"noise"}


def test_where_neither_side_has_a_frontier_the_picture_says_so_and_is_the_same_again(compared):
    comparison = compared(source="certified_chat", pairs=1)
    report = replace(comparison.baseline.report, frontier=(), configurations=())
    empty = replace(
        comparison,
        baseline=replace(comparison.baseline, report=report),
        candidate=replace(comparison.candidate, report=report),
        matches=(),
    )
    with style():
        (axes,) = comparison_figure(empty).axes
        assert axes.texts[0].get_text() == "Nothing to draw"
    assert draw_comparison(empty) == draw_comparison(empty)
