"""A raw file that cannot be read costs its trial, is named, and never the report."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from paretobench.analysis.metrics import summarize
from paretobench.analysis.sla import ServiceLevels
from paretobench.cli import main
from paretobench.core.errors import RunFolderError
from paretobench.core.points import Settings
from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, Trial
from paretobench.core.workloads import ClosedLoop, FixedLength, WorkloadSpec
from paretobench.report.model import assemble
from paretobench.report.points import load_points, points_csv
from paretobench.results import RunWriter, open_run
from paretobench.targets.simulated import SimulatedTarget

FIRST = Trial(
    batching=BatchingConfig(policy="static", max_batch_size=2, max_waiting_time_s=0.0),
    load=ClosedLoop(concurrency=2),
    workload=WorkloadSpec(prompt_tokens=FixedLength(value=4), output_tokens=FixedLength(value=3)),
    num_requests=40,
    num_warmup=2,
    min_duration_s=0.0,
    timeout_s=60.0,
    repeat=0,
    seed=3,
)
AGAIN = replace(FIRST, repeat=1, seed=4)
OTHER = replace(FIRST, batching=replace(FIRST.batching, max_batch_size=1))
TRIALS = (FIRST, AGAIN, OTHER)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two configurations, the first with two repeats."""
    folder = tmp_path_factory.mktemp("sound") / "run"
    writer = RunWriter.create(folder, name="t", scenario={}, scenario_hash="abc")
    writer.plan(TRIALS)
    target = SimulatedTarget(StepTimes(prefill_base_s=0.01, decode_base_s=0.01))
    for trial in TRIALS:
        trace = target.measure(trial)
        writer.add_trial(trace, summarize(Settings.of(trial), trace, ServiceLevels()))
    writer.finish("complete")
    writer.close()
    return folder


@pytest.fixture
def run(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "run"))


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flipped(path: Path) -> None:
    """Flip a bit of the first page's data, which Parquet alone need not notice."""
    content = bytearray(path.read_bytes())
    content[len(content) // 4] ^= 1
    path.write_bytes(bytes(content))


def without_a_column(path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pq.read_table(path).drop_columns(["arrival_s"]), path)


def of_another_type(path: Path) -> None:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    place = table.column_names.index("duration_s")
    pq.write_table(table.set_column(place, "duration_s", table.column("phase")), path)


def not_json(path: Path) -> None:
    path.write_text(path.read_text()[:-40])


def another_document(path: Path) -> None:
    path.write_text("[]")


def with_value(section: str, name: str, value: object) -> Callable[[Path], None]:
    """Return a damage to a summary that is JSON all the same."""

    def damage(path: Path) -> None:
        summary = json.loads(path.read_text())
        summary[section][name] = value
        path.write_text(json.dumps(summary))

    return damage


def of_another_trial(path: Path) -> None:
    shutil.copytree(path.parent.parent / FIRST.trial_id, path.parent, dirs_exist_ok=True)


DAMAGES = [
    ("requests.parquet", truncated),
    ("requests.parquet", flipped),
    ("steps.parquet", flipped),
    ("telemetry.parquet", truncated),
    ("steps.parquet", Path.unlink),
    ("summary.json", not_json),
    ("summary.json", another_document),
    ("summary.json", Path.unlink),
    ("summary.json", of_another_trial),
    ("summary.json", with_value("settings", "max_batch_size", None)),
    ("summary.json", with_value("settings", "class_batching", "{bad")),
    ("summary.json", with_value("settings", "controller_constants", "[]")),
    ("summary.json", with_value("window", "end_s", "x")),
    ("requests.parquet", without_a_column),
    ("steps.parquet", of_another_type),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_file_is_named_and_its_trial_left_out(
    run: Path, name: str, damage: Callable[[Path], None]
) -> None:
    damage(run / "trials" / OTHER.trial_id / name)
    report = assemble(open_run(run))
    assert [p.settings.trial_id for p in report.points] == [FIRST.trial_id, AGAIN.trial_id]
    (said,) = report.damaged
    assert f"trials/{OTHER.trial_id}/{name}: expected a raw file of a trial, found " in said
    assert said.startswith(f"{OTHER} (no other trial of it can be read): ")
    with pytest.raises(RunFolderError, match=name):  # whoever cannot say so is not given the rest
        load_points(open_run(run))


def test_the_other_repeats_stand_for_the_configuration(run: Path) -> None:
    truncated(run / "trials" / FIRST.trial_id / "steps.parquet")
    report = assemble(open_run(run))
    (configuration,) = (c for c in report.configurations if c.settings.max_batch_size == 2)
    assert [p.settings.trial_id for p in configuration.runs] == [AGAIN.trial_id]
    assert report.damaged[0].startswith(f"{FIRST} (1 other trial of it can be read): ")


def test_a_run_of_which_nothing_can_be_read_is_refused(run: Path) -> None:
    for trial in TRIALS:
        truncated(run / "trials" / trial.trial_id / "requests.parquet")
    with pytest.raises(RunFolderError, match=r"none of 3 trials can be read.*requests\.parquet"):
        assemble(open_run(run))


def test_a_csv_does_not_stand_for_raw_files_of_which_every_summary_is_lost(run: Path) -> None:
    (run / "points.csv").write_bytes(points_csv(load_points(open_run(run))))
    for trial in TRIALS:
        (run / "trials" / trial.trial_id / "summary.json").unlink()
    with pytest.raises(RunFolderError, match=r"none of 3 trials can be read.*summary\.json"):
        load_points(open_run(run))
    shutil.rmtree(run / "trials")  # a committed run
    assert len(load_points(open_run(run))) == 3


def test_the_report_says_so_and_the_command_is_incomplete(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    truncated(run / "trials" / FIRST.trial_id / "steps.parquet")
    monkeypatch.setattr(sys, "argv", ["paretobench", "report", str(run), "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 3
    out, err = capsys.readouterr()
    name = f"trials/{FIRST.trial_id}/steps.parquet"
    (said,) = json.loads(out)["damaged"]
    assert name in said
    assert f"warning: left out: {FIRST} (1 other trial of it can be read): {name}" in err
    top = (run / "report.md").read_text().partition("## Frontier")[0]
    assert "**1 of 3 trials left out" in top
    assert name in top.replace("\\", "")
    trust = (run / "report.md").read_text().partition("## What to trust less")[2]
    assert "- 1 of 3 trials left out" in trust
