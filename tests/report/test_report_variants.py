"""Several systems in one report: a curve each, one answer over all, and the shift in numbers."""

import json

import pytest

from paretobench.report import frontier_table, report_document, write_report
from paretobench.report.deploy import operating_points_yaml
from paretobench.report.figures.canvas import style
from paretobench.report.figures.encoding import colour_scale
from paretobench.report.figures.frontier import draw_frontier
from paretobench.report.figures.frontier_title import frontier_title
from paretobench.report.figures.series import load_families
from paretobench.report.manifest import device_name, model_name, provenance_line, system
from paretobench.report.model import assemble
from paretobench.report.shift import find_shifts
from paretobench.results.reader import open_run

SYSTEM = {"kind": "torch", "model": "nano", "device_name": "AMD EPYC", "torch": "2.11.0"}
PROVENANCE = {
    "systems": {
        "bfloat16": {**SYSTEM, "dtype": "bfloat16"},
        "float32": {**SYSTEM, "dtype": "float32"},
    }
}


@pytest.fixture
def folder(make_run, point):
    """A baseline, and one of half the latency and twice the throughput, measured first."""
    points = [
        point(
            batch=batch,
            variant=variant,
            output_tokens_per_s=factor * 100.0 * batch,
            p95_e2e_ms=(100.0 + 50 * batch) / factor,
        )
        for variant, factor in (("bfloat16", 2), ("float32", 1))
        for batch in (1, 2, 4, 8)
    ]
    return make_run(points, provenance=PROVENANCE, variants=("float32", "bfloat16"))


def test_each_variant_has_a_frontier_of_its_own_in_the_scenarios_order(folder):
    report = assemble(open_run(folder))
    assert report.variants == ("float32", "bfloat16")
    assert [c.settings.variant for c in report.frontier] == ["float32"] * 4 + ["bfloat16"] * 4


def test_operating_points_are_chosen_over_all_variants_and_say_which(folder):
    text = operating_points_yaml(assemble(open_run(folder))).decode()
    assert text.count("variant: bfloat16") == 2
    report = write_report(folder)
    assert "run bfloat16 and set" in (folder / "report.md").read_text()
    assert frontier_table(report).columns[0].header == "variant"


def test_the_shift_is_from_the_first_of_the_scenario(folder):
    (shift,) = find_shifts(assemble(open_run(folder)))
    assert (shift.variant, shift.baseline) == ("bfloat16", "float32")
    assert shift.latency.start == 200  # the least that both reach
    assert shift.latency.end == 800
    (document,) = report_document(assemble(open_run(folder)))["shifts"]
    assert document["latency_at_equal_throughput"]["ratio"] == shift.latency.ratio
    json.dumps(document, allow_nan=False)


def test_a_shift_that_cannot_be_had_says_why(make_run, point):
    points = [
        point(batch=1, variant="a", output_tokens_per_s=10.0, p95_e2e_ms=10.0),
        point(batch=1, variant="b", output_tokens_per_s=90.0, p95_e2e_ms=90.0),
        point(batch=1, variant="c", verdict="failed", reason="no room"),
    ]
    folder = make_run(points, variants=("a", "b", "c"))
    report = write_report(folder)
    assert report_document(report)["shifts"][0]["throughput_at_equal_latency"] == {
        "ratio": None,
        "reason": "no latency lies on both curves: 10 to 10 against 90 to 90",
    }
    assert "the candidate has no valid point" in (folder / "report.md").read_text()
    assert frontier_title(report) == "nano: at most 10 to 90 tokens/s, by variant"


@pytest.mark.parametrize(
    ("factors", "title"),
    [
        ({"new": 1.8}, "new moves the curve: ×1.8 throughput at equal latency"),
        ({"new": 1.001}, "new hardly moves the curve: ×1 throughput at equal latency"),
        ({"new": 1.8, "bad": 0.5}, "At equal latency: new ×1.8 and bad ×0.5 the throughput of old"),
    ],
)
def test_the_title_says_the_shift(make_run, point, factors, title):
    points = [
        point(
            batch=batch,
            variant=variant,
            output_tokens_per_s=factor * 100.0 * batch,
            p95_e2e_ms=100.0 * batch,
        )
        for variant, factor in {"old": 1.0, **factors}.items()
        for batch in (1, 2, 4, 8)
    ]
    folder = make_run(points, variants=("old", *factors))
    assert frontier_title(assemble(open_run(folder))) == title


def test_where_the_curves_share_few_latencies_the_title_speaks_of_latency(folder, make_run, point):
    points = [
        point(
            batch=batch,
            variant=variant,
            output_tokens_per_s=100.0 * batch,
            p95_e2e_ms=(100.0 + batch) * factor,
        )
        for variant, factor in (("old", 1.0), ("new", 0.96))
        for batch in (1, 2, 4, 8)
    ]
    narrow = assemble(open_run(make_run(points, folder="narrow", variants=("old", "new"))))
    assert frontier_title(narrow) == "new moves the curve: ×0.96 latency at equal throughput"


def test_colour_is_the_variant_and_each_curve_has_it(folder):
    report = assemble(open_run(folder))
    scale = colour_scale(report.configurations, report.variants)
    assert scale.heading == "variant"
    assert [scale.label(value) for value in scale.values] == ["float32", "bfloat16"]
    with style():
        axes = draw_frontier(report).axes[0]
    names = {t.get_text(): t.get_color() for t in axes.texts if t.get_text() in report.variants}
    assert names == {"float32": scale.colours[0], "bfloat16": scale.colours[1]}
    lines = {line.get_color() for line in axes.lines if len(line.get_xdata()) > 4}
    assert set(names.values()) <= lines


def test_other_figures_keep_the_variants_apart(folder):
    report = assemble(open_run(folder))
    families = load_families(report.configurations)
    assert {name.split(" · ")[0] for name in families} == {"float32", "bfloat16"}
    assert len(load_families(report.configurations, by_variant=False)) == 1


def test_provenance_is_what_all_variants_share(folder):
    run = open_run(folder)
    assert system(run) == SYSTEM
    assert device_name(run) == "AMD EPYC"
    assert model_name(run) == "nano"
    assert "bfloat16" not in provenance_line(run)
    write_report(folder)
    text = (folder / "report.md").read_text()
    assert "| Variant bfloat16 | dtype bfloat16 |" in text
    assert "does not say on what system" not in text
