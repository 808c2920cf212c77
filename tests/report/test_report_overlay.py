"""Several runs over one another: names, picture, tables, text, and what is refused."""

import csv
import io
import itertools
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from paretobench.core.errors import RunFolderError, UserInputError
from paretobench.report.figures import overlay_files
from paretobench.report.figures.canvas import render, style
from paretobench.report.figures.overlay import draw_overlay, subtitle
from paretobench.report.model import assemble
from paretobench.report.overlay import Overlay, check_alike, default_folder, run_names
from paretobench.report.overlay_differences import differences
from paretobench.report.overlay_markdown import overlay_markdown
from paretobench.report.overlay_message import message
from paretobench.report.overlay_write import (
    check_overlay_folder,
    overlay_document,
    write_overlay,
)
from paretobench.results.reader import open_run


@pytest.fixture
def curve(make_run, point):
    """Write a run of (throughput, latency) points, each of its own batch size."""

    def write(folder, points, **about):
        found = [
            point(batch=2**i, output_tokens_per_s=float(x), p95_e2e_ms=float(y))
            for i, (x, y) in enumerate(points)
        ]
        return make_run(found, folder=folder, **{"name": Path(folder).name, **about})

    return write


def overlay_of(*folders, names=()):
    runs = [open_run(folder) for folder in folders]
    check_alike(runs)
    return Overlay(names=run_names(runs, names), reports=tuple(assemble(run) for run in runs))


BASE = [(100, 100), (200, 200), (400, 400)]


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([(130, 100), (260, 200), (520, 400)], "b has ×1.3 the throughput of a at equal p95"),
        ([(101, 100), (202, 200), (404, 400)], "b hardly differs from a: ×1.01 throughput at"),
        ([(50, 100), (200, 200), (800, 400)], "b and a cross: ×0.5 to ×2 the throughput at"),
        ([(900, 5000), (990, 9000)], "a at most 400 tokens/s and b at most 990 tokens/s"),
    ],
    ids=["above", "alike", "crossing", "apart"],
)
def test_the_title_says_how_far_the_second_run_lies_from_the_first(curve, points, said):
    assert message(overlay_of(curve("a", BASE), curve("b", points))).startswith(said)


def test_no_ratio_is_given_between_runs_of_different_workloads(curve, make_run, point):
    other = make_run([point(batch=4, workload="other")], folder="b", name="b")
    overlay = overlay_of(curve("a", BASE), other)
    assert overlay.shifts == []
    assert message(overlay).startswith("Different workloads: ")
    assert "workload" in [d.what for d in differences(overlay)]


def long_names(i):
    return f"llama-3.1-8b_chat_on_the_new_machine_{i}_" + "with_long_words_" * 3


def fan(count, *, spread=0.12, goals=None):
    return [[(x * (1 + spread * i), y) for x, y in BASE] for i in range(count)]


@pytest.mark.parametrize(
    ("curves", "name"),
    [
        (fan(2), "{}".format),
        (fan(3, spread=0.004), long_names),
        (fan(6), long_names),
        ([BASE, BASE], long_names),
    ],
    ids=["two", "three-close", "six", "equal"],
)
def test_nothing_in_the_picture_overlaps_and_every_run_is_named_at_its_curve(curve, curves, name):
    folders = [curve(f"run{i}", points, name=name(i)) for i, points in enumerate(curves)]
    overlay = overlay_of(*folders, names=[name(i) for i in range(len(curves))])
    with style():
        figure = draw_overlay(overlay)
        render(figure)
        (axes,) = figure.axes
        labels = [t for t in axes.texts if t.get_gid() == "label"]
        boxes = [t.get_window_extent() for t in (*labels, *axes.get_legend().get_texts())]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
        page = figure.get_tightbbox()
    assert page.x0 >= 0
    assert page.x1 <= figure.get_size_inches()[0]
    named = [t for t in labels if t.get_fontsize() == 10.5]
    assert len(named) == len({t.get_color() for t in named}) == len(curves)


def test_an_overlay_has_every_runs_rows_under_its_name_and_equal_bytes(curve, tmp_path):
    overlay = overlay_of(curve("a", BASE), curve("b", fan(2)[1]))
    first = {file.name: file.read_bytes() for file in write_overlay(overlay, tmp_path / "over")}
    assert first.keys() == {path.name for path in (tmp_path / "over").iterdir()}
    for table in ("points.csv", "frontier.csv"):
        rows = list(csv.DictReader(io.StringIO(first[table].decode())))
        assert [row["run"] for row in rows] == ["a"] * 3 + ["b"] * 3
    assert float(rows[-1]["output_tokens_per_s"]) == pytest.approx(448)
    again = {file.name: file.read_bytes() for file in write_overlay(overlay, tmp_path / "over")}
    assert again == first
    assert b"</svg>" in first["frontier.svg"]


def test_the_text_says_that_the_machines_differ_and_links_each_run(curve, tmp_path):
    overlay = overlay_of(curve("a", BASE), curve("b c", BASE, provenance="h200"))
    write_overlay(overlay, tmp_path / "over")
    text = (tmp_path / "over" / "report.md").read_text()
    assert "measured on different devices" in text
    assert "| device | AMD EPYC 7763 64-Core Processor | NVIDIA H200 |" in text
    (link,) = re.findall(r"\[b c\]\(<(.*?)/report.md>\)", text)
    assert link == "../b%20c"
    assert text.count("| chat | a |") == 1  # the same goal of both runs stands side by side
    document = overlay_document(overlay, tmp_path / "over", [tmp_path / "over" / "report.md"])
    assert [run["run"] for run in document["runs"]] == ["a", "b c"]
    json.dumps(document, allow_nan=False)


def test_other_loads_and_policies_are_said_in_picture_table_and_text(curve, make_run, point):
    (found,) = [point(batch=4, utilisation=0.5)]
    other = replace(found, settings=replace(found.settings, policy="continuous"))
    overlay = overlay_of(curve("a", BASE), make_run([other], folder="b", name="b"))
    assert subtitle(overlay).startswith("The runs differ in policy and loads; a: ")
    text = overlay_markdown(overlay, {"a": "a", "b": "b"}).decode()
    assert "measured under different loads. They batched by different policies: how far" in text
    assert "| policy | static | continuous |" in text
    same = overlay_of(curve("a", BASE), curve("c", BASE[::-1]))
    assert differences(same) == []


def test_what_is_left_out_of_a_run_for_damage_is_said_above_the_picture(curve):
    overlay = overlay_of(curve("a", BASE), curve("b", BASE))
    intact, report = overlay.reports
    overlay = replace(overlay, reports=(intact, replace(report, damaged=("x 8: trials/12 <",))))
    top = overlay_markdown(overlay, {"a": "a", "b": "b"}).decode().partition("![The frontiers")[0]
    assert "In b:\n\n**1 of 4 trials left out" in top
    assert "- x 8: trials/12 &lt;." in top
    assert "In a:" not in top


def test_a_run_with_nothing_valid_is_named_and_the_others_are_drawn(curve, make_run, point):
    lost = make_run([point(batch=4, verdict="failed", reason="died")], folder="b", name="b")
    overlay = overlay_of(curve("a", BASE), lost)
    assert message(overlay) == "a at most 400 tokens/s"
    assert b"no valid trial" in overlay_files(overlay)["frontier.svg"]


def test_runs_of_one_name_are_told_apart_by_as_much_of_their_paths_as_it_takes(curve):
    paths = [curve(f, BASE, name="chat") for f in ("old/chat", "new/chat", "new/other")]
    runs = [open_run(path) for path in paths]
    assert run_names(runs) == ("old/chat", "new/chat", "new/other")
    assert run_names(runs[1:]) == ("chat", "other")
    assert run_names(runs[1:], ["x", "y"]) == ("x", "y")


def test_a_long_name_makes_a_folder_that_a_file_system_takes(tmp_path):
    (tmp_path / default_folder(["長" * 90, "b"])).mkdir(parents=True)
    assert default_folder(["長" * 90, "b"]) != default_folder(["長" * 90, "c"])


@pytest.mark.parametrize("given", [["x"], ["x", "x"], ["x", " "]])
def test_names_that_do_not_fit_the_runs_are_refused(curve, given):
    runs = [open_run(curve(f, BASE)) for f in "ab"]
    with pytest.raises(UserInputError, match="--name: expected"):
        run_names(runs, given)


def test_runs_with_other_objectives_or_given_twice_are_refused(curve):
    objectives = {"throughput": "requests_per_s", "latency": "p95_e2e_ms"}
    a, b = (open_run(p) for p in (curve("a", BASE), curve("b", BASE, objectives=objectives)))
    with pytest.raises(UserInputError, match=r"b: .* output_tokens_per_s, found requests_per_s"):
        check_alike([a, b])
    with pytest.raises(UserInputError, match="given twice"):
        check_alike([a, replace(a, path=a.path / ".." / "a")])


def test_an_overlay_is_written_over_itself_alone(curve, tmp_path):
    run = open_run(curve("a", BASE))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    for taken in (run.path / "over", run.path, tmp_path / "full"):
        with pytest.raises(RunFolderError, match="another --output-dir"):
            check_overlay_folder(taken, [run])
    for impossible in (tmp_path / "full" / "notes.txt" / "over", tmp_path / ("x" * 300)):
        with pytest.raises(RunFolderError, match=r"cannot be made.*another --output-dir"):
            check_overlay_folder(impossible, [run])
    (tmp_path / "full" / "overlay.json").write_text("{}")
    check_overlay_folder(tmp_path / "full", [run])
