"""Intervals on their way through CSV, tables, JSON and figures."""

import csv
import io
import math
from dataclasses import replace

import pytest

from paretobench.analysis.intervals import t_interval
from paretobench.core.errors import RunFolderError
from paretobench.core.intervals import INTERVAL_BOUNDS, METHOD_COLUMN, Interval
from paretobench.report.document import report_document
from paretobench.report.figures.latency_vs_batch_size import draw_latency_vs_batch_size
from paretobench.report.markdown import report_markdown
from paretobench.report.model import assemble
from paretobench.report.points import frontier_csv, points_csv, read_points
from paretobench.report.terminal import frontier_table
from paretobench.results.reader import open_run


def blocks(low: float, high: float) -> Interval:
    return Interval(low=low, high=high, method="block_within_run")


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def without(path, dropped):
    """Write the CSV again without some of its columns, as an earlier version did."""
    rows = rows_of(path)
    kept = [name for name in rows[0] if name not in dropped]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, kept, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def test_csv_round_trips_the_intervals_of_all_requests_and_of_each_class(tmp_path, mixed):
    intervals = {
        "output_tokens_per_s": blocks(0.1 + 0.2, 7.0),
        "chat.p95_e2e_ms": blocks(3.0, math.inf),
    }
    points = [replace(mixed(), intervals=intervals)]
    path = tmp_path / "points.csv"
    path.write_bytes(points_csv(points))
    every, chat, _ = rows_of(path)
    assert (every["p95_e2e_ms_high"], chat["p95_e2e_ms_high"]) == ("", "inf")
    assert read_points(path)[0].intervals == intervals


def test_a_csv_of_before_there_were_intervals_is_read_without_any(tmp_path, point):
    path = tmp_path / "points.csv"
    path.write_bytes(points_csv([point(batch=4)]))
    without(path, {*INTERVAL_BOUNDS, METHOD_COLUMN})
    assert read_points(path) == [point(batch=4)]


def test_bounds_by_an_unknown_method_are_refused(tmp_path, point):
    path = tmp_path / "points.csv"
    damaged = replace(point(batch=4), intervals={"requests_per_s": blocks(1.0, 2.0)})
    path.write_bytes(points_csv([damaged]).replace(b"block_within_run", b"guess"))
    with pytest.raises(RunFolderError, match=r"interval_method.*expected one of.*'guess'"):
        read_points(path)


def test_frontier_csv_and_tables_have_the_interval_of_the_repeats(make_run, point):
    repeats = [
        point(batch=4, repeat=r, output_tokens_per_s=2000.0 + 40 * r, p95_e2e_ms=100.0 + r)
        for r in range(3)
    ]
    report = assemble(open_run(make_run(repeats)))
    expected = t_interval([2000.0, 2040.0, 2080.0])
    (row,) = csv.DictReader(io.StringIO(frontier_csv(report.frontier, lambda _: None).decode()))
    assert float(row["output_tokens_per_s_low"]) == expected.low
    assert row[METHOD_COLUMN] == "t_over_runs"
    cell = f"2,040 ({expected.low:,.0f}–{expected.high:,.0f})"
    assert cell in report_markdown(report).decode()
    table = frontier_table(report)
    assert cell in list(table.columns[3].cells)
    assert "t-intervals over the repeats" in table.caption
    entry = report_document(report)["frontier"][0]
    assert entry["output_tokens_per_s_high"] == expected.high


def test_an_interval_that_is_not_to_be_believed_is_said_to_be_so(make_run, point):
    crowded = {"busy_fraction": 0.97, "batch_occupancy": 0.97}
    open_loop = point(batch=8, utilisation=0.5, verdict="valid", **crowded)
    folder = make_run([open_loop, point(batch=4)])
    text = report_markdown(assemble(open_run(folder))).decode()
    assert text.count("utilisation too high for this length: 94% of the slots in use") == 1
    assert "One run alone" in text


def test_a_bar_is_as_long_as_its_interval_and_an_arrow_stands_for_an_end_unknown(make_run, point):
    points = [
        replace(point(batch=b, p95_e2e_ms=100.0 + b), intervals={"p95_e2e_ms": blocks(90.0, high)})
        for b, high in ((1, 150.0), (4, math.inf))
    ]
    figure = draw_latency_vs_batch_size(assemble(open_run(make_run(points))))
    axes, legend = figure.axes[0], figure.axes[1].get_legend()
    lines = [line.get_ydata() for line in axes.get_lines()]
    bars = [tuple(ys) for ys in lines if 90.0 in list(ys)]
    assert bars == [(90.0, 150.0), (90.0, 104.0)]
    assert [text.xy for text in axes.texts if getattr(text, "arrow_patch", None)] == [(1, 104.0)]
    named = [text.get_text() for text in legend.get_texts()]
    assert {"95% interval\nwithin one run", "↑ no upper\nbound known"} <= set(named)
