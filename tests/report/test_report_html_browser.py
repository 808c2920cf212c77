"""report.html in a headless Chromium: it chooses as the report does, and no text in it can act."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.dominance import non_dominated_indices
from paretobench.analysis.frontier import find_frontier
from paretobench.analysis.operating_points import Goal, choose_operating_point
from paretobench.core.intervals import Interval
from paretobench.core.metrics import METRICS
from paretobench.core.values import TelemetrySample
from paretobench.report.html import report_html
from paretobench.report.model import Report, assemble
from paretobench.report.text import number, with_unit
from paretobench.results.reader import open_run
from paretobench.results.tables import write_records

playwright = pytest.importorskip(
    "playwright.sync_api", reason="needs the playwright package, to drive a browser"
)
_CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.skipif(_CHROMIUM is None, reason="needs an installed Chromium"),
]
_ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=_CHROMIUM, args=_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Make:
    """Open the page of reports from disk; `page.faults` are errors, dialogs and requests."""

    def open_(
        reports: Sequence[Report], names: Sequence[str] = (), *, script: str = "", **look: Any
    ) -> Any:
        path = tmp_path / "report.html"
        path.write_bytes(report_html(reports, names or [f"run {i}" for i in range(len(reports))]))
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **look})
        page = context.new_page()
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(f"error: {error}"))
        page.on("dialog", lambda dialog: (page.faults.append("dialog"), dialog.dismiss()))
        page.on(
            "request",
            lambda request: (
                page.faults.append(f"asked for {request.url[:80]}")
                if not request.url.startswith(("file:", "data:", "blob:"))
                else None
            ),
        )
        page.on("console", lambda m: page.faults.append(m.text) if m.type == "error" else None)
        if script:
            page.add_init_script(script)
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready], #broken:not([hidden])", timeout=30_000)
        assert page.is_hidden("#broken") or script, page.inner_text("#broken")
        return page

    return open_


@pytest.fixture
def report_of(make_run: Make) -> Callable[..., Report]:
    def make(points: Any, **about: Any) -> Report:
        return assemble(open_run(make_run(points, **about)))

    return make


@pytest.fixture(scope="module")
def opened() -> dict[str, Any]:
    """Pages that several tests look at: to open one takes a second."""
    return {}


@pytest.fixture
def swept(
    opened: dict[str, Any], open_page: Make, report_of: Make, sweep: Make
) -> Iterator[tuple[Report, Any]]:
    """The report of a sweep, its first configuration watched, and its page as if new."""
    if "swept" not in opened:
        report = watched(report_of(sweep()))
        opened["swept"] = report, open_page([report])
    report, page = opened["swept"]
    page.click("text='Start over'")
    yield report, page
    assert page.faults == []


@pytest.fixture
def tied(
    opened: dict[str, Any], open_page: Make, report_of: Make, sweep: Make
) -> Iterator[tuple[Report, Any]]:
    """A report with many equal figures, and its page."""
    if "tied" not in opened:
        report = with_ties(report_of(sweep(waits=[0, 20, 50, 100, 200])))
        opened["tied"] = report, open_page([report])
    yield opened["tied"]
    assert opened["tied"][1].faults == []


@pytest.fixture
def several(
    opened: dict[str, Any], open_page: Make, report_of: Make, point: Make, sweep: Make
) -> Iterator[Any]:
    """The page of six runs on a phone, two of them with variants, and some names like figures."""
    if "several" not in opened:
        variants_of: list[tuple[str, ...]] = [("inf", "-inf"), (), (), (), (), ("a", "b")]
        reports = [
            report_of(
                [point(batch=8, variant=v) for v in variants]
                or sweep(batches=[4, 64], waits=[0], loads=[0.5]),
                folder=str(at),
                variants=variants,
            )
            for at, variants in enumerate(variants_of)
        ]
        phone = {"viewport": {"width": 375, "height": 812}, "has_touch": True}
        names = ["inf", "b", "c", "d", "e", "f"]
        opened["several"] = open_page(reports, names, color_scheme="dark", **phone)
    yield opened["several"]
    assert opened["several"].faults == []


def watched(report: Report) -> Report:
    """Return the report, its first configuration with requests and telemetry of a GPU.

    That one's p95 has an interval without an upper end, every other's one with both ends.
    """
    first, *others = report.configurations
    trial = report.run.path / "trials" / first.runs[0].settings.trial_id
    trial.mkdir(parents=True)
    (trial / "summary.json").touch()  # its raw files are at hand
    seen = [
        TelemetrySample(t_s=i / 10, gpu_util_pct=50.0, memory_bytes=3 * 2**30, power_w=250.0)
        for i in range(20)
    ]
    write_records(trial / "telemetry.parquet", seen, TelemetrySample)
    runs = (replace(first.runs[0], samples={"e2e": np.linspace(0.1, 0.4, 50)}),)
    first = replace(with_p95(first, 0.9, np.inf), runs=runs)
    return replace(report, configurations=(first, *(with_p95(c, 0.9, 1.2) for c in others)))


def with_p95(configuration: Configuration, low: float, high: float) -> Configuration:
    """Return the configuration with an interval of so many times its p95."""
    p95 = configuration.figures["p95_e2e_ms"]
    assert p95 is not None
    interval = Interval(low=low * p95, high=high * p95, method="block_within_run")
    return replace(configuration, intervals={"p95_e2e_ms": interval})


def with_ties(report: Report) -> Report:
    """Return the report with small whole figures: many equal, some missing, some without end."""
    rng = np.random.default_rng(3)
    configurations = []
    for c in report.configurations:
        figures: dict[str, float | None] = {n: float(rng.integers(1, 9)) for n in METRICS}
        for name in rng.choice(list(METRICS), 8, replace=False):
            figures[str(name)] = None if rng.random() < 0.5 else float("inf")
        configurations.append(replace(c, figures=figures))
    return replace(report, configurations=tuple(configurations))


def places(report: Report, found: Sequence[Configuration]) -> list[int]:
    """Return where configurations stand in the report; each has its own id."""
    ids = [c.settings.configuration_id for c in report.configurations]
    return [ids.index(c.settings.configuration_id) for c in found]


def test_frontier_and_choice_in_the_page_are_those_of_the_analysis(
    tied: tuple[Report, Any],
) -> None:
    report, page = tied
    every = report.configurations
    for x, y in (
        ("output_tokens_per_s", "p95_e2e_ms"),
        ("requests_per_s", "p99_ttft_ms"),
        ("tokens_per_joule", "mean_queue_ms"),
    ):
        shown = page.evaluate(
            """([x, y]) => { Object.assign(paretobench.state, { x, y });
            return paretobench.frontiers(paretobench.points).flat().map(p => p.i); }""",
            [x, y],
        )
        assert shown == places(report, find_frontier(every, throughput=x, latency=y)), (x, y)
    goals = [
        Goal(name="g", objective=objective, maximize=maximize, subject_to=subject_to)
        for limit in np.arange(0.5, 10, 0.5).tolist()
        for objective, maximize, subject_to in (
            ("output_tokens_per_s", True, {"p95_e2e_ms": limit}),
            ("energy_j", False, {"p95_e2e_ms": limit, "goodput_requests_per_s": 6.0}),
            ("requests_per_s", True, {"p95_ttft_ms": limit, "mean_power_w": 0.5}),
        )
    ]
    expected = [choose_operating_point(g, every, latency="p95_e2e_ms") for g in goals]
    chosen = page.evaluate(
        """goals => goals.map(goal => {
        const { best, nearest } = paretobench.choose(goal, paretobench.points, "p95_e2e_ms");
        return [best && best.i, best ? [] : nearest.map(n => [n.name, String(n.value)])]; })""",
        [
            {"objective": g.objective, "maximize": g.maximize, "subject_to": dict(g.subject_to)}
            for g in goals
        ],
    )
    assert any(p.configuration is None for p in expected)
    for goal, point, (place, nearest) in zip(goals, expected, chosen, strict=True):
        best = point.configuration
        assert place == (None if best is None else places(report, [best])[0]), goal
        values = [] if best else [(m.metric, m.value) for m in point.margins]
        assert [(n, float(v.replace("Infinity", "inf"))) for n, v in nearest] == values, goal


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ("mean_power_w", "p95_e2e_ms"),
        ("goodput_requests_per_s", "mean_power_w"),
        ("p95_e2e_ms", "goodput_requests_per_s"),
        ("sla_attainment", "tokens_per_joule"),
    ],
)
def test_the_frontier_of_any_axes_goes_by_what_is_better_of_each(
    tied: tuple[Report, Any], x: str, y: str
) -> None:
    report, page = tied
    page.select_option("#axis-x", x)
    page.select_option("#axis-y", y)
    valid = [i for i, c in enumerate(report.configurations) if c.is_valid]
    figures = [
        [np.nan if (v := report.configurations[i].figures[n]) is None else v for n in (x, y)]
        for i in valid
    ]
    better = [METRICS[n].better == "higher" for n in (x, y)]
    expected = {valid[i] for i in non_dominated_indices(figures, better)}
    shown = page.eval_on_selector_all(
        "#front tr[data-point]", "rows => rows.map(r => +r.dataset.point)"
    )
    assert set(shown) == expected
    assert f"{len(expected)} on the frontier" in page.inner_text("#shown")


def test_what_only_describes_a_trial_has_no_frontier(swept: tuple[Report, Any]) -> None:
    _, page = swept
    page.select_option("#axis-y", "mean_batch_size")
    assert page.locator("#front tr[data-point]").count() == 0
    assert "mean batch size describes a trial and is no goal" in page.inner_text("#shown")


def test_numbers_are_written_as_the_report_writes_them(
    swept: tuple[Report, Any],
) -> None:
    _, page = swept
    values = [0.0, 0.5, 2.125, 2.375, 12.25, 99.96, 100.5, 101.5, 0.3125, 1e-5, 1.25e-5, -3.14159]
    values += [1234.5, 1e9, 999.4999, 0.00012345, *np.random.default_rng(1).lognormal(2, 5, 60)]
    assert page.evaluate("v => v.map(paretobench.number)", values) == [number(v) for v in values]
    shown = page.evaluate("v => v.map(x => paretobench.withUnit('p95_e2e_ms', x))", values)
    assert shown == [with_unit("p95_e2e_ms", v) for v in values]
    assert page.evaluate("[null, Infinity].map(paretobench.number)") == ["—", "∞"]


def test_moving_the_limit_chooses_again_and_says_what_cannot_be_met(
    swept: tuple[Report, Any],
) -> None:
    report, page = swept
    least = min(c.figures["p95_e2e_ms"] for c in report.configurations if c.is_valid)

    def starred(limit: float) -> tuple[str, list[int]]:
        page.fill("#limit-0", str(limit))
        at = "document.getElementById('plot').data[0].customdata"
        frame = "new Promise(requestAnimationFrame)"
        stars = page.evaluate(f"async () => {{ await {frame}; await {frame}; return {at}; }}")
        return page.inner_text("#answer-0"), stars

    for limit in (least, 450.0, 900.0):
        goal = Goal(
            name="chat",
            objective="output_tokens_per_s",
            maximize=True,
            subject_to={"p95_e2e_ms": limit},
        )
        best = choose_operating_point(goal, report.configurations, latency="p95_e2e_ms")
        assert best.configuration is not None
        said, stars = starred(limit)
        assert places(report, [best.configuration])[0] in stars
        assert (
            with_unit("output_tokens_per_s", best.configuration.figures["output_tokens_per_s"])
            in said
        )
    said, stars = starred(least * 0.5)
    assert f"the nearest that can be met is p95 E2E {with_unit('p95_e2e_ms', least)}" in said
    assert len(stars) == 1  # that of `overnight` alone
    page.focus("#slider-0")
    page.keyboard.press("End")  # the loosest
    assert "★" in page.inner_text("#answer-0")


def test_a_filter_leaves_its_points_and_their_own_frontier(
    swept: tuple[Report, Any],
) -> None:
    report, page = swept
    page.click("[data-filter=wait] >> text='50 ms'")
    kept = [c for c in report.configurations if c.settings.max_waiting_time_ms == 50]
    front = find_frontier(kept, throughput=report.throughput, latency=report.latency)
    assert page.inner_text("#shown").startswith(f"{len(kept)} of {len(report.configurations)} ")
    assert page.locator("#front tbody tr").count() == len(front)
    assert page.locator("#all tbody tr").count() == len(kept)


def test_keys_alone_sort_a_table_and_open_a_point(
    swept: tuple[Report, Any],
) -> None:
    _, page = swept
    page.focus("#all th button[data-title='batch']")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert page.get_attribute("#all th:has([data-title=batch])", "aria-sort") == "descending"
    first = page.locator("#all tbody tr").first
    assert first.locator("td").first.inner_text() == "64"
    page.focus("#all tbody tr[tabindex='0']")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "details"
    assert page.inner_text("#details h3").startswith("batch 64")
    assert "raw files of this trial are not at hand" in page.inner_text("#chart-latency")
    page.evaluate("document.querySelector('#all tr[data-point=\"0\"]').click()")
    shown = page.evaluate("document.getElementById('chart-latency').data[0].x")
    assert (shown[0], shown[-1]) == (100, 400)
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, select, input")].filter(e => e.tabIndex < 0
        || !(e.textContent.trim() || e.ariaLabel || e.labels?.length)).map(e => e.outerHTML)"""
    )
    assert unnamed == []
    page.focus("#plot")
    page.keyboard.press("ArrowRight")
    assert page.evaluate("paretobench.state.selected.i") != 0


_PIXEL = """at => { const { xaxis, yaxis } = document.getElementById("plot")._fullLayout;
    const { left, top } = document.getElementById("plot").getBoundingClientRect();
    const [x, y] = [xaxis.d2p(at[0]) + xaxis._offset, yaxis.d2p(at[1]) + yaxis._offset];
    return [left + x, top + y]; }"""


def test_a_click_on_a_point_tells_where_its_time_went_and_what_the_gpu_did(
    swept: tuple[Report, Any],
) -> None:
    report, page = swept
    first = report.configurations[0]
    figures = [first.figures[name] for name in (report.throughput, report.latency)]
    for setting, value in (("wait", "0 ms"), ("load", first.settings.load)):
        page.click(f"[data-filter={setting}] >> text='{value}'")  # none else lies under the mouse
    page.focus("#plot")  # brings it into view
    at = page.evaluate(_PIXEL, figures)
    page.mouse.move(at[0] + 1, at[1])
    hover = page.text_content("#plot .hoverlayer")
    p95 = with_unit("p95_e2e_ms", first.figures["p95_e2e_ms"])
    assert re.search(rf"p95 E2E: ~{p95} \(\d+–∞\)valid, 1 repeat", hover)
    page.mouse.click(*at)
    assert page.evaluate("paretobench.state.selected.i") == 0
    parts = page.evaluate("document.getElementById('chart-parts').data.map(t => t.x[0])")
    assert len(parts) == 3
    assert parts[0] == pytest.approx(first.figures["mean_queue_ms"], rel=1e-4)
    assert sum(parts) == pytest.approx(first.figures["mean_e2e_ms"], rel=1e-4)
    seen = page.evaluate(
        """Object.fromEntries(document.getElementById('chart-timeline').data
        .map(t => [t.name, [Math.min(...t.y), Math.max(...t.y)]]))"""
    )
    expected = {"GPU busy": [50, 50], "memory": [3, 3], "power": [250, 250]}
    assert seen == {name: pytest.approx(ends, rel=1e-2) for name, ends in expected.items()}


def test_an_interval_without_upper_end_keeps_its_lower_arm_and_has_an_arrow(
    swept: tuple[Report, Any],
) -> None:
    report, page = swept
    on_front = page.locator("#front tbody tr").count()
    assert page.locator("#front tr[data-point='0']").count() == 1
    assert page.locator("#plot path.yerror").count() == on_front == len(report.frontier)
    arrows = page.evaluate(
        "document.getElementById('plot').data.find(t => t.name === 'no upper end').y"
    )
    assert arrows == [report.configurations[0].figures["p95_e2e_ms"]] * 2  # its stem and its head
    assert "an arrow where one has no upper end" in page.inner_text("#off-scale")


def test_start_over_puts_the_limits_back(swept: tuple[Report, Any]) -> None:
    _, page = swept
    said = page.inner_text("#goals")
    for place in (0, 2):  # the scenario's, and the free one
        page.fill(f"#limit-{place}", "123")
    assert page.inner_text("#goals") != said
    page.click("text='Start over'")
    assert page.inner_text("#goals") == said
    assert page.input_value("#limit-0") == "500"
    assert page.evaluate("document.getElementById('plot').layout.shapes.map(s => s.y0)") == [500]


_EVIL = "</script><img src=x onerror=alert(1)>\"'><a href=javascript:alert(2)>&amp;<b>"


def test_text_from_scenarios_and_errors_does_nothing(
    open_page: Make, report_of: Make, mixed: Make, mixed_about: Make
) -> None:
    about = mixed_about()
    goals = {_EVIL: about.pop("goals")["mixed"]}
    classes = {"chat": {}, _EVIL: {}}
    points = [
        mixed(batch=b, variant=v, reason=_EVIL, verdict=verdict, classes=classes, workload=_EVIL)
        for b, v, verdict in ((8, _EVIL, "valid"), (16, "b", "valid"), (32, _EVIL, "failed"))
    ]
    about["sections"]["classes"][_EVIL] = {"share": 0.1, "latency_sla_ms": None}
    about["objectives"] = {"throughput": "output_tokens_per_s", "latency": "chat.p95_e2e_ms"}
    about["variants"] = [_EVIL, "b"]
    report = report_of(points, name=_EVIL, goals=goals, model=_EVIL, **about)
    page = open_page([report, report], [_EVIL, "b"])
    page.select_option("#class", f"={_EVIL}")
    page.click("#all tbody tr[data-point='2']")
    page.evaluate("Plotly.Fx.hover('plot', [{ curveNumber: 0, pointNumber: 0 }])")
    page.fill("#limit-0", "1")
    added = (
        "document.querySelectorAll('img, iframe, object, svg a[*|href], main a, header a').length"
    )
    assert page.evaluate(added) == 0
    assert _EVIL in page.inner_text("#details h3")
    assert page.evaluate("document.title").endswith(f"{_EVIL} and b")
    assert page.faults == []


def test_a_phone_reads_it_without_scrolling_sideways_in_either_theme(several: Any) -> None:
    page = several
    assert page.evaluate("document.documentElement.scrollWidth") <= 375
    paper = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(paper) == "rgb(20, 23, 28)"
    page.click("#theme")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"


def test_runs_and_variants_look_apart_and_any_name_is_but_a_name(several: Any) -> None:
    page = several
    named = page.evaluate(
        """document.getElementById('plot').data.filter(t => t.legendgroup && t.x[0] === null)
        .map(t => [t.name, t.marker.color, t.marker.symbol])"""
    )
    assert [name for name, *_ in named] == [
        "inf · inf", "inf · -inf", "b", "c", "d", "e", "f · a", "f · b",
    ]  # fmt: skip
    assert len({colour for _, colour, _ in named}) == 7  # as many as there are: one is met again
    assert len({(colour, symbol) for _, colour, symbol in named}) == len(named) == 8
    drawn = page.evaluate(
        """document.getElementById('plot').data.filter(t => t.mode === 'lines')
        .map(t => t.line.color)"""
    )
    assert drawn == [colour for _, colour, _ in named]
    for limit, num_kept in ((9000, 6), (900, 2), (1, 0)):  # each run answers for itself
        page.fill("#limit-0", str(limit))
        said = page.inner_text("#answer-0")
        assert (said.count("★"), said.count("none meets it")) == (num_kept, 6 - num_kept)


def test_a_run_with_nothing_valid_says_why(open_page: Make, report_of: Make, point: Make) -> None:
    failed = point(batch=8, verdict="failed", reason="the worker died")
    page = open_page([report_of([failed])])
    assert "the worker died" in page.inner_text("header")
    assert "none meets" in page.inner_text("#goals") or "no valid" in page.inner_text("#goals")
    assert page.faults == []


def test_a_browser_that_cannot_unpack_the_data_is_told_so(
    open_page: Make, report_of: Make, point: Make
) -> None:
    page = open_page([report_of([point(batch=8)])], script="delete window.DecompressionStream")
    assert "lacks DecompressionStream" in page.inner_text("#broken")


def test_the_browser_is_forbidden_network_and_foreign_scripts(swept: tuple[Report, Any]) -> None:
    _, page = swept
    refused = """attempt => new Promise(done => {
        const heard = event => done(event.effectiveDirective);
        document.addEventListener("securitypolicyviolation", heard, { once: true });
        if (attempt === "fetch") return fetch("http://127.0.0.1:9/").catch(() => {});
        const script = document.createElement("script");
        script.textContent = "1";
        document.body.append(script);
    })"""
    assert page.evaluate(refused, "fetch") == "connect-src"
    assert page.evaluate(refused, "script") == "script-src-elem"
    page.faults.clear()  # what was refused
