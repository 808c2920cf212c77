"""report.html as a file: what is in it, how large it is, and that equal data give equal bytes."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretobench.core.errors import RunFolderError
from paretobench.core.intervals import ESTIMATED, Interval
from paretobench.core.metrics import METRICS
from paretobench.core.points import Point
from paretobench.core.values import TelemetrySample
from paretobench.report.html import report_html
from paretobench.report.html.colours import contrast
from paretobench.report.html.courses import QUANTILES_PCT, timeline
from paretobench.report.model import Report, assemble
from paretobench.results.reader import RunFolder, open_run
from paretobench.results.tables import write_records

Make = Callable[..., Any]
SIZE_LIMIT_BYTES = 6_000_000


def data_of(page: bytes) -> dict[str, Any]:
    found = re.search(rb'<script type="text/plain" id="data">([^<]*)</script>', page)
    assert found is not None
    document: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(found[1])))
    return document


class Watched(RunFolder):
    """A run with a GPU's telemetry of every trial, as if its raw files were there."""

    def trial_ids(self) -> list[str]:
        return [trial["trial_id"] for trial in self.manifest["trials"]]

    def read_telemetry(self, trial_id: str) -> tuple[TelemetrySample, ...]:
        rng = np.random.default_rng(int(trial_id, 16) % 2**32)
        busy, watts = rng.uniform(20, 99, 150), rng.uniform(200, 700, 150)
        return tuple(
            TelemetrySample(
                t_s=0.2 * i,
                gpu_util_pct=float(busy[i]),
                sm_util_pct=float(busy[-i]),
                memory_bytes=int(1e8 * watts[-i]),
                power_w=float(watts[i]),
            )
            for i in range(150)
        )


def full_report(folder: Path, classes: Sequence[str] = ()) -> Report:
    """Return a report in which no figure, interval, request or timeline is missing."""
    rng = np.random.default_rng(0)
    prefixes = ["", *(f"{name}." for name in classes)]
    configurations = []
    report = assemble(open_run(folder))
    for c in report.configurations:
        figures = {f"{of}{name}": rng.uniform(1, 9999) for of in prefixes for name in METRICS}
        intervals = {
            name: Interval(
                low=figures[name] * rng.uniform(0.8, 1),
                high=figures[name] * rng.uniform(1, 1.2),
                method="block_within_run",
            )
            for name in (f"{of}{name}" for of in prefixes for name in ESTIMATED)
        }
        samples = {f"{of}e2e": rng.gamma(4, 0.1, 500) for of in prefixes}
        run = replace(c.runs[0], samples=samples)
        configurations.append(replace(c, figures=figures, intervals=intervals, runs=(run,)))
    run_folder = Watched(path=report.run.path, manifest=report.run.manifest)
    return replace(report, run=run_folder, configurations=tuple(configurations))


def many(sweep: Make, count: int) -> list[Point]:
    waits = [float(w) for w in range(0, 5 * count // 40, 5)]
    loads = [None, 0.3, 0.5, 0.7, 0.8]
    return list(sweep(batches=[1, 2, 4, 8, 16, 32, 64, 128], waits=waits, loads=loads))


def size_of(
    sweep: Make, make_run: Make, count: int, classes: Sequence[str] = ()
) -> tuple[int, int]:
    """Return the bytes of a page of so many points, and how many of them are the points'."""
    points = many(sweep, count)
    assert len(points) == count
    page = report_html([full_report(make_run(points), classes)], ["full"])
    return len(page), len(page) - len(report_html([assemble(open_run(make_run([])))], ["none"]))


def test_each_point_adds_little_enough_that_2000_fit(sweep: Make, make_run: Make) -> None:
    whole, data = size_of(sweep, make_run, 200)
    assert whole - data + data / 200 * 2000 < SIZE_LIMIT_BYTES
    assert data > 200 * 100  # it holds them at all


@pytest.mark.slow
@pytest.mark.parametrize("classes", [(), ("chat", "bulk")])
def test_2000_points_with_everything_fit_in_6_mb(
    sweep: Make, make_run: Make, classes: tuple[str, ...]
) -> None:
    whole, data = size_of(sweep, make_run, 2000, classes)
    print(f"{whole:,} bytes, {data:,} of them for 2,000 points")
    assert whole <= SIZE_LIMIT_BYTES


def test_equal_data_give_equal_bytes(sweep: Make, make_run: Make) -> None:
    one, two = (
        report_html([assemble(open_run(make_run(sweep(), folder=name)))], ["run"])
        for name in ("one", "two")
    )
    assert one == two


def test_the_page_holds_figures_as_measured_and_the_objectives_exactly(
    point: Make, make_run: Make
) -> None:
    exact = 1234.56789012345
    folder = make_run(
        [point(batch=8, output_tokens_per_s=exact, p50_e2e_ms=98.7654321, p99_e2e_ms=float("inf"))]
    )
    run = data_of(report_html([assemble(open_run(folder))], ["a"]))["runs"][0]
    assert run["figures"]["output_tokens_per_s"] == [exact]
    assert run["figures"]["p50_e2e_ms"] == [98.765]
    assert run["figures"]["p99_e2e_ms"] == [{"infinite": 1}]
    assert "mfu" not in run["figures"]  # nothing measured it


def test_a_distribution_is_of_the_requests_of_all_repeats(sweep: Make, make_run: Make) -> None:
    report = assemble(open_run(make_run(sweep(batches=[4], waits=[0], loads=[None], repeats=2))))
    (c,) = report.configurations
    samples = [np.array([0.1, 0.3]), np.array([0.2, np.inf])]
    runs = tuple(replace(r, samples={"e2e": s}) for r, s in zip(c.runs, samples, strict=True))
    report = replace(report, configurations=(replace(c, runs=runs),))
    digest = data_of(report_html([report], ["a"]))["runs"][0]["digests"][""][0]
    at = {share: digest[QUANTILES_PCT.index(share)] for share in (0, 50, 75, 100)}
    assert at == {0: 100, 50: 200, 75: 300, 100: {"infinite": 1}}


def test_a_timeline_is_of_means_and_leaves_out_what_was_not_reported(
    point: Make, make_run: Make
) -> None:
    folder = make_run([point(batch=8)])
    report = assemble(open_run(folder))
    trial = folder / "trials" / report.points[0].settings.trial_id
    trial.mkdir(parents=True)
    samples = [TelemetrySample(t_s=i / 10, cpu_util_pct=100.0 * (i >= 50)) for i in range(100)]
    write_records(trial / "telemetry.parquet", samples, TelemetrySample)
    found = timeline(report.run, report.configurations[0], 4)
    assert found is not None
    assert found["series"] == {"cpu_util_pct": [0, 0, 100, 100]}
    (trial / "telemetry.parquet").write_bytes(b"damaged")
    with pytest.raises(RunFolderError, match=r"telemetry\.parquet: expected"):
        report.run.read_telemetry(trial.name)


@pytest.mark.parametrize(("count", "is_open"), [(3, True), (4, False)])
def test_trials_left_out_for_damage_are_named_as_text(
    point: Make, make_run: Make, count: int, is_open: bool
) -> None:
    sound = assemble(open_run(make_run([point(batch=8)])))
    damaged = tuple(f"trial {i}: <b>summary.json</b>\nis gone" for i in range(count))
    pages = [[replace(sound, damaged=damaged)], [sound, replace(sound, damaged=damaged)]]
    for reports in pages:
        page = report_html(reports, ["a", "b"][: len(reports)]).decode()
        (said,) = re.findall(r'<details class="warning"( open)?>(.*?)</details>', page)
        assert bool(said[0]) == is_open
        assert f"{count} of {count + 1} trials left out: raw files are damaged" in said[1]
        named = [f"<li>{escape(d.replace(chr(10), ' '))}</li>" for d in damaged]
        assert re.findall("<li>.*?</li>", said[1]) == named
    assert b'<details class="warning"' not in report_html([sound], ["a"])


def test_every_text_is_readable_on_either_paper() -> None:
    css = (files("paretobench.report.html") / "assets" / "page.css").read_text()
    themes = re.findall(r"--paper: (#\w+); --panel: (#\w+); --ink: (#\w+); --muted: (#\w+)", css)
    colours = re.findall(r"--accent: (#\w+); --danger: (#\w+); --good: (#\w+)", css)
    assert len(themes) == len(colours) == 3  # light, dark by the system, dark by the button
    assert themes[1] == themes[2]
    assert colours[1] == colours[2]
    for (paper, panel, *inks), others in zip(themes, colours, strict=True):
        assert min(contrast(a, b) for a in (*inks, *others) for b in (paper, panel)) >= 4.5
