"""Figures of several policies, arrangements and classes."""

import itertools
import math

import pytest

from paretobench.report import write_report
from paretobench.report.figures.canvas import render, style
from paretobench.report.figures.encoding import colour_scale
from paretobench.report.figures.frontier import draw_frontier
from paretobench.report.figures.latency_by_class import draw_latency_by_class
from paretobench.report.figures.latency_vs_batch_size import draw_latency_vs_batch_size
from paretobench.report.figures.queue_vs_compute import draw_queue_vs_compute
from paretobench.report.figures.series import load_families
from paretobench.report.figures.wait_timeout import draw_wait_timeout
from paretobench.report.model import assemble
from paretobench.results.reader import open_run

POLICIES = ("static", "continuous")
LONG_NAMES = {"c" * 40: {}, "chat": {}, "bulk": {}, "d" * 40: {}, "e": {}}


def every_kind(mixed):
    kinds = itertools.product(POLICIES, ("shared", "priority", "separate"), (0.5, 0.8))
    return [
        mixed(policy=p, arrangement=a, mixes=m, utilisation=u)
        for p, a, u in kinds
        for m in ((False,) if a == "separate" else (False, True))
    ]


def policies(mixed):
    return [
        mixed(policy=p, batch=b, wait_ms=w, utilisation=None)
        for p in POLICIES
        for b in (2, 4, 8, 16, 32, 64, 128)
        for w in (0, 50, 200)
    ]


def controllers(mixed):
    steered = ("threshold, SLA 500 ms", "aimd, p95 SLA 500 ms", "model, SLA 500 ms")
    return [
        *(mixed(policy=p, batch=b) for p in POLICIES for b in (8, 32)),
        *(mixed(policy="adaptive", settings={"controller": name}) for name in steered),
    ]


def many_classes(mixed):
    return [mixed(policy=p, classes=LONG_NAMES) for p in POLICIES]


def one(mixed):
    return [mixed()]


def torn(mixed):
    tails = {"p50_e2e_ms": math.inf, "p95_e2e_ms": math.inf}
    empty = dict.fromkeys(mixed().figures)
    return [
        mixed(policy="static", classes={"chat": tails, "bulk": {}}),
        mixed(policy="continuous", classes={"chat": empty, "bulk": {"p95_e2e_ms": 1e7}}),
        mixed(policy="continuous", verdict="failed", reason="died", utilisation=0.8),
    ]


KINDS = [every_kind, policies, controllers, many_classes, one, torn]


def report_of(make_run, points, about):
    return assemble(open_run(make_run(points, **about)))


def texts_of(axes):
    ticks = [*axes.get_xticklabels(), *axes.get_yticklabels()]
    return [t for t in [*axes.texts, *ticks] if t.get_text().strip() and t.get_visible()]


@pytest.mark.parametrize("points", KINDS, ids=lambda f: f.__name__)
def test_nothing_in_the_picture_by_class_overlaps_or_is_clipped(
    make_run, mixed, mixed_about, points
):
    report = report_of(make_run, points(mixed), mixed_about())
    with style():
        figure = draw_latency_by_class(report)
        render(figure)
        for axes in figure.axes:
            boxes = [t.get_window_extent() for t in texts_of(axes)]
            for a, b in itertools.combinations(boxes, 2):
                assert not a.overlaps(b)
        page = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert page.x0 >= 0
    assert page.y0 >= 0
    assert page.x1 <= width
    assert page.y1 <= height


@pytest.mark.parametrize("points", KINDS, ids=lambda f: f.__name__)
def test_labels_on_a_frontier_of_several_policies_do_not_overlap(
    make_run, mixed, mixed_about, points
):
    report = report_of(make_run, points(mixed), mixed_about())
    with style():
        figure = draw_frontier(report)
        render(figure)
        (axes,) = figure.axes
        boxes = [t.get_window_extent() for t in axes.texts if t.get_gid() == "label"]
        page = figure.get_tightbbox()
    for a, b in itertools.combinations(boxes, 2):
        assert not a.overlaps(b)
    assert page.x1 <= figure.get_size_inches()[0]


def test_colour_names_the_policy_and_arrangement(make_run, mixed, mixed_about):
    report = report_of(make_run, every_kind(mixed), mixed_about())
    scale = colour_scale(report.configurations)
    assert scale.heading == "policy · arrangement"
    names = [scale.label(value) for value in scale.values]
    assert names[:2] == ["static · shared", "continuous · shared"]
    assert len(set(scale.colours.values())) == len(names) == 6


def test_each_controller_has_a_colour_of_its_own(make_run, mixed, mixed_about):
    report = report_of(make_run, controllers(mixed), mixed_about())
    assert len(set(colour_scale(report.configurations).colours.values())) == 5


def test_a_policy_keeps_its_colour_in_another_run(make_run, mixed, mixed_about):
    def colour_of(points, folder):
        report = assemble(open_run(make_run(points, folder=folder, **mixed_about())))
        scale = colour_scale(report.configurations)
        return {scale.label(v): scale.colours[v] for v in scale.values}["continuous"]

    two = [mixed(policy=p) for p in POLICIES]
    steered = mixed(policy="adaptive", settings={"controller": "model, SLA 500 ms"})
    with_third = [two[1], mixed(policy="static", batch=8), steered]
    for c in with_third[:2]:
        assert c.settings.controller is None
    assert colour_of(two, "two") == colour_of(with_third, "three")


def test_frontier_draws_what_each_policy_reaches_alone(make_run, mixed, mixed_about):
    report = report_of(make_run, policies(mixed), mixed_about())
    scale = colour_scale(report.configurations)
    with style():
        axes = draw_frontier(report).axes[0]
    drawn = {line.get_color() for line in axes.lines}
    assert set(scale.colours.values()) <= drawn


def test_families_are_told_apart_by_policy_and_arrangement(make_run, mixed, mixed_about):
    report = report_of(make_run, every_kind(mixed), mixed_about())
    assert len(load_families(report.configurations)) == 20
    assert len(load_families(report.configurations, by_combination=False)) == 2


def test_limits_of_each_class_have_no_place_on_a_batch_size_axis(make_run, mixed, mixed_about):
    points = [
        mixed(arrangement="priority", batch=b, settings={"max_waiting_time_ms": 0.0})
        for b in (8, 16, 32)
    ]
    report = report_of(make_run, points, mixed_about())
    for draw in (draw_latency_vs_batch_size, draw_wait_timeout):
        assert isinstance(draw(report), str)


def test_wait_timeout_is_not_drawn_where_a_controller_takes_what_waits(
    make_run, mixed, mixed_about
):
    name = {"controller": "model, SLA 500 ms"}
    points = [mixed(policy="adaptive", wait_ms=w, settings=name) for w in (0, 50)]
    report = report_of(make_run, points, mixed_about())
    assert draw_wait_timeout(report) == "no wait timeout acts on all requests"


def test_bars_are_named_by_each_class_limits(make_run, mixed, mixed_about):
    report = report_of(make_run, [mixed(arrangement="priority")], mixed_about())
    with style():
        (axes,) = draw_queue_vs_compute(report).axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["chat 8/50 ms · bulk 32/1 s"]


def test_title_says_what_static_batching_costs_the_short(make_run, mixed, mixed_about):
    points = [
        mixed(policy=p, classes={"chat": {"mean_e2e_ms": ms}, "bulk": {}})
        for p, ms in (("static", 620.0), ("continuous", 100.0))
    ]
    report = report_of(make_run, points, mixed_about())
    with style():
        texts = [t.get_text() for t in draw_latency_by_class(report).texts]
    assert texts[0] == "Static batching: a chat request takes 6.2 × as long on average"


def test_one_class_has_no_picture_by_class(make_run, sweep):
    assert draw_latency_by_class(assemble(open_run(make_run(sweep())))) == (
        "the traffic is of one class"
    )


@pytest.mark.parametrize("points", KINDS, ids=lambda f: f.__name__)
def test_whole_report_is_written(make_run, mixed, mixed_about, points):
    report = write_report(make_run(points(mixed), **mixed_about()))
    assert report.figures
