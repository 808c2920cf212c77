"""Each configuration against its device's limit: the table, the picture, and what is beyond."""

from __future__ import annotations

import itertools
import json
import math
import sys
from dataclasses import replace

import numpy as np
import pytest

from paretobench.analysis.conditions import counts_entry
from paretobench.analysis.counts import count_model
from paretobench.analysis.limit_line import LimitLine
from paretobench.analysis.request_work import request_work
from paretobench.cli import main
from paretobench.core.ceilings import Ceiling, Ceilings
from paretobench.core.intervals import Interval
from paretobench.report import report_document, write_report
from paretobench.report.figures.canvas import render, style
from paretobench.report.figures.frontier import draw_frontier
from paretobench.report.figures.frontier_limit import BEYOND_COLOUR
from paretobench.report.limits import find_limits
from paretobench.report.model import assemble
from paretobench.report.text import number
from paretobench.results.reader import open_run
from paretobench.scenario.presets import PRESETS

COUNTS = count_model(PRESETS["nano"], dtype="float32")
WORKLOAD = "prompt 64, output 32"  # of the points made up in conftest
LENGTHS = np.array([[64, 32]])


def ceilings(share: float = 1.0) -> Ceilings:
    def row(quantity, rate):
        return Ceiling(
            quantity=quantity, dtype="float32", method="", shape="", unit="", best_per_s=rate
        )

    rows = (row("read_bandwidth", share * 3e10), row("matmul", share * 1e11))
    return Ceilings(system={}, rows=rows)


def about(share: float = 1.0, cv: float = 0.0) -> dict:
    """Return what a manifest holds of a device with this share of the rates."""
    facts = {"stated_mean": None, "cv": cv, "share_capped": 0.0}
    return {
        "conditions": {
            "ceilings_before": ceilings(share).to_dict(),
            "ceilings_after": None,
            "counts": {"": counts_entry(COUNTS)},
        },
        "workloads": [
            {
                "workload": WORKLOAD, "class": "default", "share": 1.0,
                "prompt_tokens": {**facts, "mean": 64.0, "max": 64},
                "output_tokens": {**facts, "mean": 32.0, "max": 32},
            }
        ],
    }  # fmt: skip


def the_line() -> LimitLine:
    work = request_work(LENGTHS, COUNTS, ceilings())
    assert work is not None
    return LimitLine(work, LENGTHS, throughput="output_tokens_per_s", latency="p95_e2e_ms")


def near(point, share: float = 0.6, slower: float = 1.5, **look):
    """Return points at a share of the line's throughput and so many times its least latency."""
    line = the_line()
    return [
        point(
            batch=batch,
            output_tokens_per_s=share * line.at_batch_size(batch)[0],
            p95_e2e_ms=slower * (1 + 0.1 * batch) * line.least_latency,
            **look,
        )
        for batch in (1, 2, 4, 8)
    ]


def report_of(path):
    return assemble(open_run(path))


def test_a_distance_is_the_share_of_the_line_in_both_directions(make_run, point):
    report = report_of(make_run(near(point), **about()))
    line = the_line()
    assert [d.configuration.settings.max_batch_size for d in report.limits.distances] == [
        1,
        2,
        4,
        8,
    ]
    for d in report.limits.distances:
        assert d.share == pytest.approx(d.throughput / line.throughput_at(d.latency))
        assert d.latency_share == pytest.approx(line.latency_at(d.throughput) / d.latency)
        assert not d.is_beyond
    assert report.limits.nearest == max(d.nearest_share for d in report.limits.distances)


def test_the_report_has_a_row_for_each_valid_configuration_and_json_the_same(make_run, point):
    lost = point(batch=64, verdict="overloaded")
    path = make_run([*near(point), lost], **about())
    report = write_report(path)
    text = (path / "report.md").read_text()
    section = text.split("## Distance to the limit")[1].split("\n## ")[0]
    assert section.count("\n| batch") == 4
    assert "BEYOND" not in text
    line = report.limits.lines[None, report.workloads[0]]
    assert f" or more: {number(line.greatest_throughput)}." in section
    found = json.loads(json.dumps(report_document(report)))["limit"]
    assert [len(found[key]) for key in ("lines", "distances", "why_none")] == [1, 4, 0]
    assert [b["batch_size"] for b in found["lines"][0]["by_batch_size"]] == [1, 2, 4, 8, 64]


def test_a_run_that_knows_nothing_of_its_device_says_nothing_of_limits(make_run, point):
    path = make_run(near(point))
    report = write_report(path)
    assert report.limits.why_none == report.limits.lines == {}
    assert "Distance to the limit" not in (path / "report.md").read_text()


def test_without_raw_files_only_requests_that_are_all_alike_have_a_line(make_run, point):
    path = make_run(near(point), **about(cv=0.3))
    assert not write_report(path).limits.lines
    section = (path / "report.md").read_text().split("## Distance to the limit")[1]
    assert section.split()[:2] == ["No", "limit:"]
    assert "raw files" in section


def test_a_planted_counting_error_is_said_first_and_loudly(make_run, point, monkeypatch, capsys):
    # measured at 60% of the true line and counted against a third of the device
    path = make_run(near(point, slower=1.1), **about(share=1 / 3))
    monkeypatch.setattr(sys, "argv", ["paretobench", "report", str(path)])
    with pytest.raises(SystemExit):
        main()
    assert "warning: BEYOND THE LIMIT of the device: 4 configurations" in capsys.readouterr().err
    lines = (path / "report.md").read_text().splitlines()
    assert lines[2].startswith("**BEYOND THE LIMIT of the device")
    assert "counted wrong" in lines[2]


@pytest.mark.parametrize("figure", ["mfu", "mbu"])
def test_needing_more_than_the_device_has_is_beyond_the_limit(make_run, point, figure):
    points = [*near(point), point(batch=16, **{figure: 1.01})]
    beyond = report_of(make_run(points, **about())).limits.beyond
    assert [d.configuration.settings.max_batch_size for d in beyond] == [16]


def test_noise_excuses_a_point_as_far_as_its_interval_reaches(make_run, point):
    line = the_line()
    latency = 1.5 * line.least_latency
    best = line.throughput_at(latency)
    across = point(batch=8, output_tokens_per_s=1.05 * best, p95_e2e_ms=latency)
    run = open_run(make_run([across], **about()))
    (configuration,) = assemble(run).configurations

    def is_beyond(low: float) -> bool:
        interval = Interval(low=low * best, high=1.1 * best, method="t_over_runs")
        with_interval = replace(configuration, intervals={"output_tokens_per_s": interval})
        (distance,) = find_limits(run, [with_interval]).distances
        return distance.is_beyond

    assert (is_beyond(0.99), is_beyond(1.01)) == (False, True)


def test_a_latency_without_an_upper_end_excuses_nothing(make_run, point):
    # the p95 of one run of few batches: only the floor and the wall were checked
    line = the_line()
    best = 0.8 * line.greatest_throughput
    latency = line.latency_at(best)
    across = point(batch=8, output_tokens_per_s=1.05 * best, p95_e2e_ms=latency)
    run = open_run(make_run([across], **about()))
    (configuration,) = assemble(run).configurations

    def is_beyond(high: float) -> bool:
        interval = Interval(low=0.9 * latency, high=high, method="block_within_run")
        with_interval = replace(configuration, intervals={"p95_e2e_ms": interval})
        (distance,) = find_limits(run, [with_interval]).distances
        return distance.is_beyond

    assert (is_beyond(math.inf), is_beyond(2.0 * latency)) == (True, False)


def test_the_picture_rings_what_is_beyond_and_nothing_in_it_overlaps(make_run, point):
    for share, num_rings in ((1.0, 0), (1 / 3, 4)):
        path = make_run(near(point, slower=1.1), folder=f"at {share:.1f}", **about(share=share))
        with style():
            figure = draw_frontier(report_of(path))
            render(figure)
            (axes,) = figure.axes
            boxes = [t.get_window_extent() for t in axes.texts if t.get_gid() == "label"]
            assert any("limit of this device" in t.get_text() for t in axes.texts)
            assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
            rings = [c for c in axes.collections if ringed(c)]
            assert len(rings) == num_rings


def ringed(collection) -> bool:
    from matplotlib.colors import to_hex

    edges = collection.get_edgecolor()
    return len(edges) == 1 and to_hex(edges[0]) == BEYOND_COLOUR


def test_a_limit_that_is_far_off_is_named_and_squashes_nothing(make_run, point):
    path = make_run(near(point, share=0.05, slower=30), **about())
    with style():
        (axes,) = draw_frontier(report_of(path)).axes
    texts = [t.get_text() for t in axes.texts]
    assert any("× to the right" in text for text in texts)
    measured = max(d.throughput for d in report_of(path).limits.distances)
    assert axes.get_xlim()[1] < 1.5 * measured


def test_what_binds_survives_the_csv(make_run, point):
    points = [replace(p, binds="kv") for p in near(point)]
    report = report_of(make_run(points, **about()))
    assert {p.binds for p in report.points} == {c.binds for c in report.configurations} == {"kv"}
