"""The run folder survives a disk that refuses and a writer that dies."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from paretobench.analysis.metrics import summarize
from paretobench.analysis.sla import ServiceLevels
from paretobench.core.controllers import AimdController
from paretobench.core.errors import IncompleteError, RunFolderError
from paretobench.core.points import Point, Settings
from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, TelemetrySample, Trace, Trial
from paretobench.core.workloads import ClosedLoop, FixedLength, UniformLength, WorkloadSpec
from paretobench.results import RunWriter, open_run
from paretobench.results.writer import check_free
from paretobench.targets.simulated import SimulatedTarget

TRIAL = Trial(
    batching=BatchingConfig(policy="static", max_batch_size=2, max_waiting_time_s=0.0),
    load=ClosedLoop(concurrency=2),
    workload=WorkloadSpec(
        prompt_tokens=FixedLength(value=4), output_tokens=UniformLength(low=1, high=3)
    ),
    num_requests=6,
    num_warmup=2,
    min_duration_s=0.0,
    timeout_s=60.0,
    repeat=0,
    seed=3,
)


def measured(trial: Trial = TRIAL) -> tuple[Trace, Point]:
    trace = SimulatedTarget(StepTimes(prefill_base_s=0.01, decode_base_s=0.01)).measure(trial)
    sample = TelemetrySample(
        t_s=0.1, cpu_util_pct=5.0, cpu_steal_pct=1.5, num_other_gpu_processes=2
    )
    trace = replace(trace, telemetry=(sample,))
    return trace, summarize(Settings.of(trial), trace, ServiceLevels())


def changed(folder: Path, **values: object) -> None:
    """Write other values into a run's manifest."""
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


_open: list[RunWriter] = []


@pytest.fixture(autouse=True)
def _close_writers() -> Iterator[None]:
    yield
    while _open:
        _open.pop().close()


def create(path: Path, scenario_hash: str = "abc") -> RunWriter:
    _open.append(RunWriter.create(path, name="t", scenario={}, scenario_hash=scenario_hash))
    return _open[-1]


def resume(path: Path, scenario_hash: str = "abc") -> RunWriter:
    _open.append(RunWriter.resume(path, scenario_hash=scenario_hash))
    return _open[-1]


def test_a_trial_reads_back_as_it_was_recorded(tmp_path: Path) -> None:
    writer = create(tmp_path / "run")
    writer.plan([TRIAL])
    trace, point = measured()
    writer.add_trial(trace, point)
    run = open_run(tmp_path / "run")
    assert run.trial_ids() == [TRIAL.trial_id]
    assert run.read_trial(TRIAL.trial_id) == (point.settings, trace)


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("requests", "taken_in_s"),
        ("telemetry", "cpu_steal_pct"),
        ("telemetry", "num_other_gpu_processes"),
    ],
)
def test_a_column_that_an_older_run_lacks_reads_as_missing(
    tmp_path: Path, kind: str, field: str
) -> None:
    import pyarrow.parquet as pq

    writer = create(tmp_path / "run")
    writer.plan([TRIAL])
    trace, point = measured()
    writer.add_trial(trace, point)
    path = tmp_path / "run" / "trials" / TRIAL.trial_id / f"{kind}.parquet"
    pq.write_table(pq.read_table(path).drop_columns([field]), path)
    with pytest.raises(RunFolderError, match=f"found a damaged one .*no column {field}"):
        open_run(tmp_path / "run").read_trial(TRIAL.trial_id)
    changed(tmp_path / "run", schema_version=1)  # whose columns came one by one
    _, read = open_run(tmp_path / "run").read_trial(TRIAL.trial_id)
    before = getattr(trace, kind)
    assert [getattr(record, field) for record in before] != [None] * len(before)
    assert getattr(read, kind) == tuple(replace(record, **{field: None}) for record in before)


def test_a_file_of_an_earlier_format_is_refused_with_the_version_that_reads_it(
    tmp_path: Path,
) -> None:
    import pyarrow.parquet as pq

    writer = create(tmp_path / "run")
    writer.plan([TRIAL])
    writer.add_trial(*measured())
    path = tmp_path / "run" / "trials" / TRIAL.trial_id / "steps.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["decode_rows"]), path)
    provenance = {"package": {"git_commit": "0123456789abcdef"}}
    changed(tmp_path / "run", schema_version=1, provenance=provenance)
    with pytest.raises(RunFolderError, match=r"no column decode_rows.*git checkout 0123456789ab"):
        open_run(tmp_path / "run").read_trial(TRIAL.trial_id)


def test_changes_of_a_limit_read_back_as_they_were_recorded(tmp_path: Path) -> None:
    controller = AimdController(latency_sla_s=0.1, initial_batch_size=2)
    batching = replace(TRIAL.batching, policy="adaptive", max_batch_size=4, controller=controller)
    trial = replace(TRIAL, batching=batching, load=ClosedLoop(concurrency=8), num_requests=40)
    trace, point = measured(trial)
    assert len(trace.limit_changes) > 1
    first, *others = trace.limit_changes
    trace = replace(trace, limit_changes=(replace(first, engine="chat"), *others))
    writer = create(tmp_path / "run")
    writer.plan([trial])
    writer.add_trial(trace, point)
    run = open_run(tmp_path / "run")
    settings, read = run.read_trial(trial.trial_id)
    assert read.limit_changes == trace.limit_changes
    assert settings.constants() == {
        "kind": "aimd",
        "latency_sla_ms": 100.0,
        "initial_batch_size": 2,
        "recent": 32,
        "percentile": 95.0,
        "increase": 1,
        "decrease_factor": 0.5,
    }
    folder = tmp_path / "run" / "trials" / trial.trial_id
    (folder / "limit_changes.parquet").unlink()
    with pytest.raises(RunFolderError, match=r"limit_changes\.parquet: expected .* found none"):
        run.read_trial(trial.trial_id)
    summary = json.loads((folder / "summary.json").read_text())
    assert summary.pop("has_limit_changes") is True
    (folder / "summary.json").write_text(json.dumps(summary))  # as before it was noted
    assert run.read_trial(trial.trial_id)[1].limit_changes == ()


def test_a_trial_of_nothing_reads_back(tmp_path: Path) -> None:
    writer = create(tmp_path / "run")
    writer.plan([TRIAL])
    trace = Trace(requests=(), steps=(), window=None, outcome="failed", reason="died")
    writer.add_trial(trace, summarize(Settings.of(TRIAL), trace, ServiceLevels()))
    assert open_run(tmp_path / "run").read_trial(TRIAL.trial_id)[1] == trace


def refuse_after(monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Let the disk be full from the n-th file system call of the writer on."""
    left = iter(range(calls))

    def limited(real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            if next(left, None) is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(os, "replace", limited(os.replace))
    monkeypatch.setattr(os, "fsync", limited(os.fsync))
    monkeypatch.setattr(Path, "write_text", limited(Path.write_text))


@pytest.mark.parametrize("calls", range(4))
def test_a_full_disk_loses_only_the_trial_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    other = replace(TRIAL, seed=4)
    writer = create(tmp_path / "run")
    writer.plan([TRIAL, other])
    writer.add_trial(*measured())
    with monkeypatch.context() as full:
        refuse_after(full, calls)
        with pytest.raises(IncompleteError, match="No space left on device"):
            writer.add_trial(*measured(other))
    writer.close()
    run = open_run(tmp_path / "run")
    for trial_id in run.trial_ids():
        run.read_trial(trial_id)
    assert TRIAL.trial_id in run.trial_ids()
    resumed = resume(tmp_path / "run")
    resumed.plan([TRIAL, other])
    missing = [t for t in (TRIAL, other) if resumed.summary_of(t.trial_id) is None]
    for trial in missing:
        resumed.add_trial(*measured(trial))
    assert {entry["state"] for entry in resumed.manifest["trials"]} == {"done"}
    assert not list((tmp_path / "run").rglob(".partial-*"))


def test_what_a_killed_writer_left_unfinished_is_cleared_on_resume(tmp_path: Path) -> None:
    create(tmp_path / "run").close()
    partial = tmp_path / "run" / "trials" / ".partial-x"
    partial.mkdir()
    (partial / "requests.parquet").write_bytes(b"half")
    (tmp_path / "run" / ".partial-manifest.json").write_text("{")
    resume(tmp_path / "run").close()
    assert not list((tmp_path / "run").rglob(".partial-*"))


def test_a_folder_of_another_scenario_is_refused(tmp_path: Path) -> None:
    create(tmp_path / "run").close()
    with pytest.raises(RunFolderError, match="expected a run of this scenario"):
        RunWriter.resume(tmp_path / "run", scenario_hash="other")


def test_two_writers_cannot_share_a_folder(tmp_path: Path) -> None:
    writer = create(tmp_path / "run")
    with pytest.raises(RunFolderError, match="another sweep is writing here"):
        resume(tmp_path / "run")
    writer.close()
    resume(tmp_path / "run").close()


def test_a_folder_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(RunFolderError, match="not a run of paretobench"):
        create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("precious")
    with pytest.raises(RunFolderError):
        check_free(tmp_path / "run")
    with pytest.raises(RunFolderError, match="cannot be"):
        check_free(tmp_path / "run" / "below")
    assert (tmp_path / "run").read_text() == "precious"


def test_a_run_that_is_there_points_to_resume(tmp_path: Path) -> None:
    create(tmp_path / "run").close()
    with pytest.raises(RunFolderError, match="--resume"):
        check_free(tmp_path / "run")


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    create(tmp_path / "run").close()
    changed(tmp_path / "run", schema_version=99, paretobench_version="7.0.0")
    with pytest.raises(
        RunFolderError,
        match=r"schema_version 1 or 2, .* 99, written by paretobench 7\.0\.0 .*that version",
    ):
        open_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"state": None}, "the run's `state`"),
        ({"trials": {}}, "a list of `trials`"),
        ({"trials": [{"trial_id": "a", "state": "done"}, {}]}, "the `trial_id` of trial 2"),
    ],
)
def test_a_manifest_without_what_every_reader_asks_of_it_is_refused(
    tmp_path: Path, values: dict[str, object], expected: str
) -> None:
    create(tmp_path / "run").close()
    changed(tmp_path / "run", **values)
    with pytest.raises(RunFolderError, match=rf"manifest\.json: expected {expected}, found none"):
        open_run(tmp_path / "run")


@pytest.mark.parametrize("version", [0, 99])
def test_another_version_is_refused_with_the_one_that_reads_it(
    tmp_path: Path, version: int
) -> None:
    create(tmp_path / "run").close()
    changed(
        tmp_path / "run",
        schema_version=version,
        paretobench_version="0.0.9",
        provenance={"package": {"git_commit": "0123456789abcdef"}},
    )
    with pytest.raises(
        RunFolderError,
        match=r"written by paretobench 0\.0\.9 at commit 0123456; .*git checkout 0123456789abcdef",
    ):
        open_run(tmp_path / "run")


def test_a_damaged_raw_file_is_named(tmp_path: Path) -> None:
    writer = create(tmp_path / "run")
    writer.plan([TRIAL])
    writer.add_trial(*measured())
    steps = tmp_path / "run" / "trials" / TRIAL.trial_id / "steps.parquet"
    steps.write_bytes(steps.read_bytes()[:40])
    with pytest.raises(RunFolderError, match="found a damaged one"):
        open_run(tmp_path / "run").read_trial(TRIAL.trial_id)
