"""How sure the frontier is, wherever the report says it: tables, JSON, picture."""

import csv
import itertools
import math
from dataclasses import replace

import pytest

from paretobench.core.intervals import Interval
from paretobench.report import report_document, write_report
from paretobench.report.figures.canvas import style
from paretobench.report.figures.frontier import draw_frontier
from paretobench.report.frontier_uncertainty import near_frontier, probability_text
from paretobench.report.markdown import report_markdown
from paretobench.report.model import assemble
from paretobench.report.terminal import frontier_table
from paretobench.results.reader import open_run

NOISE = (0.99, 1.0, 1.01)
OBJECTIVES = {"throughput": "output_tokens_per_s", "latency": "p95_e2e_ms"}


def runs_of(point, batch, throughput, latency, *, repeats=3, **figures):
    """Return repeats of one configuration whose mean is as given."""
    return [
        point(
            batch=batch,
            repeat=repeat,
            output_tokens_per_s=throughput * noise,
            p95_e2e_ms=latency * (2 - noise),
            **figures,
        )
        for repeat, noise in enumerate(NOISE[:repeats])
    ]


def text_of(report):
    return report_markdown(report).decode()


@pytest.fixture
def close(point):
    """Return two configurations far apart, and one that is 1% behind the second."""
    return [
        *runs_of(point, 1, 100.0, 100.0),
        *runs_of(point, 8, 800.0, 400.0),
        *runs_of(point, 9, 795.0, 405.0),
    ]


def test_who_may_belong_on_the_frontier_is_listed_with_a_probability(make_run, close):
    folder = make_run(close)
    report = assemble(open_run(folder))
    (near,) = report_document(report)["near_frontier"]
    assert near["max_batch_size"] == 9
    assert near["on_epsilon_front"]
    assert 0.05 < near["probability_on_frontier"] < 0.95
    text = text_of(report)
    cell = probability_text(near["probability_on_frontier"])
    (row,) = [line for line in text.splitlines() if line.startswith("| closed loop ×9 | 9 |")]
    assert row.endswith(f" | {cell} | yes |")


def test_csv_and_json_agree_on_the_probabilities(make_run, close):
    folder = make_run(close)
    document = report_document(write_report(folder))
    with (folder / "frontier.csv").open(newline="") as file:
        in_csv = {r["max_batch_size"]: r["probability_on_frontier"] for r in csv.DictReader(file)}
    in_json = {str(r["max_batch_size"]): r["probability_on_frontier"] for r in document["frontier"]}
    assert {size: float(cell) for size, cell in in_csv.items()} == in_json
    assert in_json["1"] == 1.0
    everyone = {c.settings.configuration_id for c in assemble(open_run(folder)).configurations}
    assert set(document["probabilities"]) == everyone
    assert in_json["8"] < 1.0


def test_hypervolume_is_said_with_its_interval_unit_and_reference(make_run, point):
    objectives = {**OBJECTIVES, "latency_cap": 1000.0}
    folder = make_run(
        [*runs_of(point, 1, 100.0, 100.0), *runs_of(point, 8, 300.0, 1000.0 / math.e)],
        objectives=objectives,
    )
    report = assemble(open_run(folder))
    (found,) = report_document(report)["hypervolumes"]
    assert found["value"] == pytest.approx(100.0 * math.log(10) + 200.0)
    assert found["low"] < found["value"] < found["high"]
    assert found["reference"] == {"output_tokens_per_s": 0.0, "p95_e2e_ms": 1000.0}
    assert found["unit"] == "tokens/s × ln(1 s / p95 E2E)"
    assert "Hypervolume: 430 (" in text_of(report)
    assert "hypervolume: 430 (" in str(frontier_table(report).caption)


def test_with_one_repeat_nothing_is_said_of_probabilities(make_run, point):
    folder = make_run([point(batch=b) for b in (1, 4)])
    report = assemble(open_run(folder))
    document = report_document(report)
    assert [row["probability_on_frontier"] for row in document["frontier"]] == [None, None]
    (volume,) = document["hypervolumes"]
    assert (volume["low"], volume["high"]) == (None, None)
    assert "on the frontier |" not in text_of(report)
    with style():
        axes = draw_frontier(report).axes[0]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert not any("95%" in label for label in labels)


def test_what_stands_for_its_energy_alone_has_a_section(make_run, point):
    points = [
        point(batch=1, output_tokens_per_s=100.0, p95_e2e_ms=100.0, tokens_per_joule=1.0),
        point(batch=2, output_tokens_per_s=90.0, p95_e2e_ms=200.0, tokens_per_joule=5.0),
        point(batch=3, output_tokens_per_s=80.0, p95_e2e_ms=300.0, tokens_per_joule=0.5),
    ]
    folder = make_run(points)
    report = assemble(open_run(folder))
    frugal = points[1].settings.configuration_id
    assert report_document(report)["energy_frontier"] == [frugal]
    section = text_of(report).split("## With energy as a third objective")[1]
    rows = [line for line in section.split("## ")[0].splitlines() if line.startswith("| closed")]
    assert rows == ["| closed loop ×2 | 2 | 0 ms | 90 | ~200 | 5 |"]


def test_where_energy_is_not_known_of_all_there_is_no_section(make_run, point):
    folder = make_run([point(batch=1, tokens_per_joule=1.0), point(batch=4)])
    report = assemble(open_run(folder))
    assert report_document(report)["energy_frontier"] is None
    assert "third objective" not in text_of(report)


def test_bars_reach_from_end_to_end_of_the_intervals(make_run, point):
    report = assemble(open_run(make_run(runs_of(point, 8, 800.0, 400.0))))
    (configuration,) = report.configurations
    across = configuration.intervals["output_tokens_per_s"]
    up = configuration.intervals["p95_e2e_ms"]
    with style():
        axes = draw_frontier(report).axes[0]
    drawn = [[list(xs), list(ys)] for xs, ys in (line.get_data() for line in axes.lines)]
    middle = [configuration.figures[name] for name in ("output_tokens_per_s", "p95_e2e_ms")]
    assert [[across.low, across.high], [middle[1]] * 2] in drawn
    assert [[middle[0]] * 2, [up.low, up.high]] in drawn


def test_an_interval_without_an_upper_end_is_drawn_below_the_figure_with_an_arrow(make_run, point):
    one_sided = Interval(low=90.0, high=math.inf, method="block_within_run")
    lone = replace(point(batch=4, p95_e2e_ms=100.0), intervals={"p95_e2e_ms": one_sided})
    with style():
        axes = draw_frontier(assemble(open_run(make_run([lone])))).axes[0]
    assert [90.0, 100.0] in [list(line.get_ydata()) for line in axes.lines]
    x = lone.figures["output_tokens_per_s"]
    assert [text.xy for text in axes.texts if getattr(text, "arrow_patch", None)] == [(x, 100.0)]
    named = [text.get_text() for text in axes.get_legend().get_texts()]
    assert {"95% interval within one run", "↑ no upper\nbound known"} <= set(named)


def test_the_band_has_level_and_upright_edges_only(make_run, close):
    report = assemble(open_run(make_run(close)))
    with style():
        axes = draw_frontier(report).axes[0]
    (band,) = [c for c in axes.collections if c.get_alpha() == pytest.approx(0.13)]
    (path,) = band.get_paths()
    corners = [tuple(corner) for corner in path.vertices]
    for (x0, y0), (x1, y1) in itertools.pairwise(corners):
        assert x0 == pytest.approx(x1) or y0 == pytest.approx(y1)


def test_no_curve_takes_doubt_from_another(make_run, point):
    alone = runs_of(point, 8, 700.0, 500.0, variant="bfloat16")
    rivals = [
        *runs_of(point, 8, 800.0, 400.0, variant="float32"),
        *runs_of(point, 9, 795.0, 405.0, variant="float32"),
    ]
    report = assemble(open_run(make_run([*alone, *rivals], variants=("bfloat16", "float32"))))
    assert {c.settings.variant for c in near_frontier(report)} == {"float32"}
    by_curve = {
        found.curve[0]: sorted(found.probability.values()) for found in report.uncertainties
    }
    assert by_curve["bfloat16"] == [1.0]
    assert by_curve["float32"][0] < 1.0
