"""The figures: readable, deterministic, and left out with a reason."""

import itertools
from typing import get_args, get_type_hints

import pytest

from paretobench.core.workloads import ArrivalProcess
from paretobench.report import write_report
from paretobench.report.figures import FIGURES
from paretobench.report.figures.canvas import render, style
from paretobench.report.figures.encoding import colour_scale, load_marker, load_name
from paretobench.report.figures.frontier import draw_frontier, staircase
from paretobench.report.figures.frontier_title import frontier_title
from paretobench.report.figures.series import load_families
from paretobench.report.model import assemble
from paretobench.results.reader import open_run

LONG = {
    "a very long name of an operating point " * 3: {
        "maximize": "output_tokens_per_s",
        "subject_to": {"p95_e2e_ms": 700.0},
    },
    "price $x$ 日本\n": {"minimize": "p95_e2e_ms", "subject_to": {"p95_e2e_ms": 5_000_000.0}},
    "chat": {"maximize": "requests_per_s", "subject_to": {"p95_e2e_ms": 690.0}},
}


def one(point, sweep):
    return [point(batch=4)]


def usual(point, sweep):
    return sweep()


def clustered(point, sweep):
    return [
        point(
            batch=100 + i,
            wait_ms=i % 5 * 10,
            output_tokens_per_s=1000 + 6 * i + i * 37 % 11,
            p95_e2e_ms=500 + 3 * i + i * 13 % 7,
        )
        for i in range(40)
    ]


def on_one_spot(point, sweep):
    return [point(batch=b, output_tokens_per_s=900.0, p95_e2e_ms=600.0) for b in range(1, 30)]


def huge_range(point, sweep):
    return [
        point(batch=2**i, wait_ms=w, p95_e2e_ms=2 * 8.0**i + w, output_tokens_per_s=5 * 4.0**i + w)
        for i in range(9)
        for w in (0, 5)
    ]


def overload(point, sweep):
    lost = [point(batch=b, verdict="out_of_memory", reason="x" * 300) for b in (256, 512)]
    return [*sweep(waits=(0, 1, 2, 5, 10, 20, 50, 100, 200), loads=(None, 0.6, 0.9)), *lost]


def shapes(point, sweep):
    kinds = ("poisson", "constant", "gamma", "trace")
    return [
        p
        for i in range(5)
        for kind in kinds
        for p in sweep(
            workload=f"prompt lognormal mean {i}, cv 1, 16–2048, output {i * 100}",
            kind=kind,
            waits=(0, 50),
            loads=(None, 0.5),
            tokens=32 + 8 * i,
        )
    ]


def variants(point, sweep):
    looks = {"float32": 1.0, "bfloat16": 0.55, "int8": 0.4, "a variant of a long name " * 2: 0.9}
    return [
        p
        for variant, factor in looks.items()
        for p in sweep(waits=(0, 50), variant=variant, step_ms=9 * factor, row_ms=0.45 * factor)
    ]


def variants_and_shapes(point, sweep):
    return [
        p
        for variant, factor in (("float32", 1.0), ("bfloat16", 0.97))
        for tokens in (32, 48)
        for p in sweep(
            variant=variant,
            step_ms=9 * factor,
            tokens=tokens,
            waits=(0,),
            workload=f"output {tokens}",
        )
    ]


def repeated(point, sweep):
    return sweep(repeats=3)


def nothing_valid(point, sweep):
    return [
        point(batch=b, verdict="failed", reason="worker died: " + "y" * 900) for b in range(1, 9)
    ]


@pytest.mark.parametrize("goals", [None, LONG], ids=["usual-names", "long-names"])
@pytest.mark.parametrize(
    "points",
    [
        one,
        usual,
        clustered,
        on_one_spot,
        huge_range,
        overload,
        shapes,
        variants,
        variants_and_shapes,
        repeated,
        nothing_valid,
    ],
    ids=lambda f: f.__name__,
)
def test_nothing_in_the_frontier_picture_overlaps_or_is_clipped(
    make_run, point, sweep, points, goals
):
    folder = make_run(points(point, sweep), goals=goals, model="org/" + "m" * 60)
    report = assemble(open_run(folder))
    with style():
        figure = draw_frontier(report)
        render(figure)
        (axes,) = figure.axes
        boxes = [t.get_window_extent() for t in axes.texts if t.get_gid() == "label"]
        legend = axes.get_legend()
        if legend is not None:
            boxes += [text.get_window_extent() for text in legend.get_texts()]
        for a, b in itertools.combinations(boxes, 2):
            assert not a.overlaps(b)
        page = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert page.x0 >= 0
    assert page.y0 >= 0
    assert page.x1 <= width
    assert page.y1 <= height


def test_two_reports_of_a_folder_have_the_same_bytes(make_run, sweep):
    folder = make_run(sweep(gpu=True, repeats=2), provenance="h200")

    def content():
        write_report(folder)
        return {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}

    first = content()
    of_special_runs = {"adaptive.png", "latency_by_class.png"}
    assert {p.file_name for p in FIGURES} - first.keys() == of_special_runs
    assert content() == first
    assert all(b"Software" not in data for name, data in first.items() if name.endswith("png"))
    pictures = {name.removesuffix(".png") for name in first if name.endswith(".png")}
    assert pictures == {name.removesuffix(".svg") for name in first if name.endswith(".svg")}
    assert b"<title>nano" in first["frontier.svg"]  # the message, for those who cannot see it


def test_a_figure_that_cannot_be_drawn_is_removed_and_its_line_says_why(make_run, sweep):
    folder = make_run(sweep(waits=(0,)))
    stale = [folder / f"wait_timeout.{kind}" for kind in ("png", "svg")]
    for file in stale:
        file.write_bytes(b"of an earlier report")
    report = write_report(folder)
    assert report.left_out == (
        "wait_timeout.png: one wait timeout was swept",
        "latency_by_class.png: the traffic is of one class",
        "gpu_utilization.png: no GPU utilisation was measured",
    )
    assert not any(file.exists() for file in stale)
    assert "one wait timeout was swept" in (folder / "report.md").read_text()


def test_staircase_joins_points_by_level_and_upright_lines_only(make_run, sweep):
    report = assemble(open_run(make_run(sweep())))
    xs, ys = staircase(report.frontier, report)
    for (x0, y0), (x1, y1) in itertools.pairwise(zip(xs, ys, strict=True)):
        assert x0 == x1 or y0 == y1


def test_where_only_the_kv_budget_varies_colour_shows_it(make_run, point):
    report = assemble(
        open_run(
            make_run([point(batch=b, kv_budget_tokens=kv) for b in (4, 16) for kv in (96, 768)])
        )
    )
    scale = colour_scale(report.configurations)
    assert scale.heading == "KV budget"
    assert [scale.label(value) for value in scale.values] == ["96 tokens", "768 tokens"]
    assert len({scale.of(c) for c in report.configurations}) == 2
    assert len(load_families(report.configurations)) == 2
    assert len(load_families(report.configurations, by_limits=False)) == 1


def test_where_waits_vary_too_colour_shows_the_wait(make_run, point):
    report = assemble(
        open_run(
            make_run(
                [
                    point(batch=4, wait_ms=w, kv_budget_tokens=kv)
                    for w in (0, 50)
                    for kv in (96, 768)
                ]
            )
        )
    )
    assert colour_scale(report.configurations).heading == "wait timeout"


def test_title_gives_both_ends_of_the_frontier(make_run, point):
    ends = [
        point(batch=1, output_tokens_per_s=96.0, p95_e2e_ms=320.0),
        point(batch=64, output_tokens_per_s=1050.0, p95_e2e_ms=1200.0),
    ]
    report = assemble(open_run(make_run(ends)))
    assert frontier_title(report) == "nano: 1,050 tokens/s at p95 1.2 s, or 96 tokens/s at 320 ms"


def test_overloaded_trials_do_not_stretch_the_axes(make_run, point):
    calm = [point(batch=b) for b in (1, 4)]
    flood = [
        point(batch=8 + i, verdict="overloaded", p95_e2e_ms=1e6, output_tokens_per_s=300.0)
        for i in range(5)
    ]
    report = assemble(open_run(make_run([*calm, *flood])))
    with style():
        axes = draw_frontier(report).axes[0]
    assert axes.get_ylim()[1] < 1000
    legend = " ".join(text.get_text() for text in axes.get_legend().get_texts())
    assert "overloaded, off scale: 5" in legend


def test_every_metric_can_be_an_objective(make_run, sweep):
    objectives = {"throughput": "sla_attainment", "latency": "num_failed"}
    points = sweep()
    for i, p in enumerate(points):
        p.figures.update(sla_attainment=1 - i / 100, num_failed=i)  # type: ignore[attr-defined]
    report = write_report(make_run(points, objectives=objectives))
    assert report.frontier


def test_every_kind_of_load_has_a_marker_of_its_own():
    kinds = get_args(get_type_hints(ArrivalProcess)["kind"])
    markers = [load_marker(kind) for kind in (*kinds, "closed_loop", "trace")]
    assert len(set(markers)) == len(markers)
    assert {load_name(kind) for kind in ("steps", "sine", "burst")} == {"steps", "sine", "burst"}
