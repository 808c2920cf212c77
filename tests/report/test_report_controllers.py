"""Controllers against fixed settings, from a simulated run folder to what a report says."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from paretobench.core.errors import RunFolderError
from paretobench.core.points import Point
from paretobench.core.values import Trial
from paretobench.report import write_report
from paretobench.report.controllers import find_contests
from paretobench.report.courses import load_courses
from paretobench.report.document import report_document
from paretobench.report.figures.adaptive import draw_adaptive
from paretobench.report.figures.canvas import style
from paretobench.report.markdown_controllers import controller_lines
from paretobench.report.model import assemble
from paretobench.report.points import load_points
from paretobench.results import open_run
from paretobench.scenario import scenario_from_mapping
from paretobench.sweep.plan import plan_trials
from paretobench.sweep.run import Sweep
from paretobench.targets.simulated import simulated_target

RUNNER = {
    "kind": "latency_model",
    "prefill": {"base_ms": 10},
    "decode": {"base_ms": 10, "per_sequence_ms": 1},
}
STEPS = {
    "kind": "steps",
    "requests_per_s": 60,
    "phases": [
        {"duration_s": 4, "factor": 0.3},
        {"duration_s": 4, "factor": 1.3},
        {"duration_s": 4, "factor": 0.3},
    ],
}
CONTROLLERS = [{"kind": "threshold"}, {"kind": "aimd", "initial_batch_size": 4}, {"kind": "model"}]
DATA: dict[str, Any] = {
    "name": "adaptive",
    "runner": RUNNER,
    "workload": {
        "prompt_tokens": {"kind": "fixed", "value": 8},
        "output_tokens": {"kind": "uniform", "low": 2, "high": 6},
    },
    "batching": {
        "policy": ["static", "adaptive"],
        "max_batch_size": [2, 8],
        "controller": CONTROLLERS,
    },
    "load": STEPS,
    "measure": {"requests": 20, "timeout_s": 30, "confirm": False},
    "sla": {"e2e_ms": 300},
}


class Quiet:
    def pilot_started(self) -> None:
        pass

    def trial_started(self, trial: Trial) -> None:
        pass

    def trial_done(self, trial: Trial, point: Point, duration_s: float) -> None:
        pass


def simulate(folder: Path, **changes: Any) -> Path:
    """Measure a scenario on a latency model into the folder."""
    scenario = scenario_from_mapping({**DATA, **changes})
    target = simulated_target(scenario)
    Sweep(scenario, plan_trials(scenario), target, Quiet()).run(folder, resume=False)
    return folder


def batching(**changes: Any) -> dict[str, Any]:
    return {"batching": {**DATA["batching"], **changes}}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = simulate(tmp_path_factory.mktemp("controllers") / "run")
    write_report(folder)
    return folder


@pytest.fixture
def copied(measured: Path, tmp_path: Path) -> Path:
    """A run folder of one's own."""
    return Path(shutil.copytree(measured, tmp_path / "run"))


@pytest.fixture
def committed(copied: Path) -> Path:
    """A run folder as it is committed: without raw files."""
    shutil.rmtree(copied / "trials")
    return copied


def courses_of(folder: Path) -> list[Any]:
    run = open_run(folder)
    return load_courses(run, load_points(run))


def test_a_folder_without_raw_files_has_the_same_courses(measured: Path, committed: Path) -> None:
    courses = courses_of(measured)
    assert len(courses) == 2 + 3
    assert sum(len(course.limit_changes) for course in courses) > 10
    assert courses_of(committed) == courses
    before = files_of(committed)
    write_report(committed)
    assert files_of(committed) == before


def files_of(folder: Path) -> dict[str, bytes]:
    """Return a report's files but report.html, which shows the raw files' own course of time."""
    files = [p for p in folder.iterdir() if p.is_file() and p.name != "report.html"]
    return {p.name: p.read_bytes() for p in files}


def _drop_last_row(text: str) -> str:
    return "".join(text.splitlines(keepends=True)[:-1])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("phases.csv", lambda text: text.replace("trial_id", "trial")),
        ("phases.csv", lambda text: text.replace("×1.3", "×1.4", 1)),
        ("phases.csv", _drop_last_row),
        ("phases.csv", lambda text: text.replace(",4.0,8.0,", ",four,8.0,", 1)),
        ("limit_changes.csv", lambda text: f"{text}abc,1\n".replace("trial_id", "t")),
    ],
)
def test_a_damaged_csv_is_one_error(
    committed: Path, name: str, damage: Callable[[str], str]
) -> None:
    file = committed / name
    text = file.read_text(encoding="utf-8")
    file.write_text(damage(text), encoding="utf-8")
    assert file.read_text(encoding="utf-8") != text
    with pytest.raises(RunFolderError, match=r"phases\.csv and limit_changes\.csv.*restore them"):
        courses_of(committed)


def test_changes_that_are_gone_are_an_error_and_not_a_limit_that_never_moved(
    committed: Path,
) -> None:
    (committed / "limit_changes.csv").unlink()
    with pytest.raises(RunFolderError, match="restore them"):
        courses_of(committed)


def test_every_change_stands_in_the_table_with_its_cause(measured: Path) -> None:
    for course in courses_of(measured):
        limits = [c.before for c in course.limit_changes[:1]]
        for change in course.limit_changes:
            assert change.before == limits[-1]
            assert change.cause
            limits.append(change.after)
        assert all(1 <= limit <= 8 for limit in limits)


def test_the_report_says_who_does_not_beat_the_best_fixed_setting(measured: Path) -> None:
    (contest,) = assemble(open_run(measured)).contests
    lines = (measured / "report.md").read_text(encoding="utf-8").splitlines()
    assert {r.controller for r in contest.regrets} == {"threshold ≤ 8", "aimd ≤ 8", "model ≤ 8"}
    assert set(contest.fixed) == {"static 2", "static 8"}
    assert {r.beats_best_single for r in contest.regrets} >= {False}
    for regret in contest.regrets:
        (line,) = (text for text in lines if text.startswith(f"- {regret.controller}"))
        assert ("does NOT beat" in line) == (not regret.beats_best_single)
        assert f"({regret.best_single})" in line


def test_the_document_has_what_the_table_has(measured: Path) -> None:
    report = assemble(open_run(measured))
    found = report_document(report)["controllers"]
    assert [entry["controller"] for entry in found] == [
        regret.controller for regret in report.contests[0].regrets
    ]
    assert [phase["phase"] for phase in found[0]["phases"]] == ["×0.3", "×1.3", "×0.3"]
    assert found[0]["goodput_regret"] == report.contests[0].regrets[0].goodput_regret


def test_there_is_a_contest_only_where_both_sides_are(measured: Path) -> None:
    courses = courses_of(measured)
    fixed = [c for c in courses if c.point.settings.controller is None]
    adaptive = [c for c in courses if c.point.settings.controller is not None]
    assert find_contests(fixed) == find_contests(adaptive) == find_contests([]) == []
    assert len(find_contests([*fixed, adaptive[0]])) == 1


def test_controllers_that_differ_in_a_constant_are_both_there(tmp_path: Path) -> None:
    controllers = [{"kind": "threshold"}, {"kind": "threshold", "step": 1}]
    folder = simulate(tmp_path / "run", **batching(controller=controllers))
    (contest,) = assemble(open_run(folder)).contests
    assert set(contest.controllers) == {"threshold ≤ 8", "threshold ≤ 8, step 1"}


def test_each_variant_and_load_has_a_contest_over_its_repeats(tmp_path: Path) -> None:
    folder = simulate(
        tmp_path / "run",
        runner=[{**RUNNER, "name": "a"}, {**RUNNER, "name": "b", "prefill": {"base_ms": 5}}],
        load=[STEPS, {"kind": "burst", "requests_per_s": 20, "factor": 3, "burst_s": 1,
                      "period_s": 6}],
        measure={"requests": 20, "timeout_s": 30, "repeats": 2, "confirm": False},
        **batching(controller=[{"kind": "aimd"}]),
    )  # fmt: skip
    contests = assemble(open_run(folder)).contests
    assert {(c.variant, c.load.split()[0]) for c in contests} == {
        (variant, load) for variant in ("a", "b") for load in ("steps", "burst")
    }
    once = [c for c in courses_of(folder) if c.point.settings.repeat == 0]
    rushes = {c.label: c.controllers["aimd ≤ 8"][1].num_requests for c in contests}
    assert all(rushes[c.label] > c.controllers["aimd ≤ 8"][1].num_requests
               for c in find_contests(once))  # fmt: skip
    text = "\n".join(controller_lines(tuple(contests)))
    assert all(f"Under {variant}, burst" in text for variant in ("a", "b"))


MANY = [{"duration_s": 1, "factor": 0.3 + 0.1 * (i % 5)} for i in range(30)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"load": {**STEPS, "phases": MANY}},
        {"load": {"kind": "sine", "requests_per_s": 50, "amplitude": 0.9, "period_s": 10}},
        {"sla": {}, **batching(controller=[{"kind": "model", "latency_sla_ms": 300}])},
        {
            "runner": [
                {**RUNNER, "name": "a very long name of one of two systems"},
                {**RUNNER, "name": "b", "prefill": {"base_ms": 5}},
            ]
        },
        batching(controller=[{"kind": "threshold", "step": s, "high": 1 + s} for s in range(1, 9)]),
    ],
)
def test_everything_drawn_lies_on_the_page(tmp_path: Path, changes: dict[str, Any]) -> None:
    report = assemble(open_run(simulate(tmp_path / "run", **changes)))
    with style():
        figure = draw_adaptive(report)
        assert figure is not None
        figure.draw_without_rendering()
        page = figure.bbox
        box = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
        assert page.x0 <= box.x0 <= box.x1 <= page.x1
        assert page.y0 <= box.y0 <= box.y1 <= page.y1
        for axes in figure.axes:
            labels = [t.get_window_extent() for t in axes.get_xticklabels() if t.get_text()]
            assert all(a.x1 <= b.x0 for a, b in itertools.pairwise(labels))


def test_a_tail_that_never_ended_is_drawn_at_the_edge(tmp_path: Path) -> None:
    load = {**STEPS, "requests_per_s": 150}
    report = assemble(open_run(simulate(tmp_path / "run", load=load)))
    assert any(f.p95_e2e_ms == float("inf") for fs in report.contests[0].controllers.values()
               for f in fs)  # fmt: skip
    with style():
        figure = draw_adaptive(report)
        assert figure is not None
        texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "∞" in texts
    assert any(text.endswith("stuck at 1") for text in texts)


def test_the_figure_of_an_earlier_report_is_removed(tmp_path: Path) -> None:
    folder = simulate(tmp_path / "run", batching={"max_batch_size": [2, 8]})
    (folder / "adaptive.png").write_bytes(b"of an earlier report")
    write_report(folder)
    assert not (folder / "adaptive.png").exists()
