"""Points from a run folder, and the CSV files."""

import csv
import math
from dataclasses import replace

import pytest

from paretobench.core.errors import RunFolderError
from paretobench.core.points import POINT_COLUMNS, Settings
from paretobench.core.values import RequestRecord, StepRecord, Trace, Window
from paretobench.report import load_points, write_report
from paretobench.report.points import points_csv, read_points
from paretobench.results.reader import RunFolder, open_run


def test_csv_round_trips_every_value_exactly(tmp_path, sweep, point):
    odd = replace(
        point(batch=2, p95_e2e_ms=0.1 + 0.2, p99_e2e_ms=math.inf, p50_tpot_ms=None, energy_j=1e-17),
        reason='two\nlines, "quotes" and a | pipe',
        verdict="failed",
    )
    points = [*sweep(), point(batch=8, verdict="out_of_memory", reason="no memory"), odd]
    path = tmp_path / "points.csv"
    path.write_bytes(points_csv(points))
    assert read_points(path) == points
    assert points_csv(read_points(path)) == path.read_bytes()


def test_missing_is_empty_and_infinity_is_inf_in_the_csv(tmp_path, point):
    path = tmp_path / "points.csv"
    path.write_bytes(points_csv([point(batch=2, p95_e2e_ms=math.inf, p50_tpot_ms=None)]))
    with path.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["p95_e2e_ms"] == "inf"
    assert row["p50_tpot_ms"] == ""


def test_report_writes_one_row_a_trial_in_the_order_of_point_columns(make_run, sweep):
    points = sweep(repeats=2)
    folder = make_run(points)
    assert write_report(folder).points == tuple(points)
    lines = (folder / "points.csv").read_text().splitlines()
    assert lines[0] == ",".join(POINT_COLUMNS)
    assert len(lines) == len(points) + 1


def test_frontier_csv_holds_valid_rows_that_nobody_beats(make_run, sweep, point):
    lucky = point(batch=512, output_tokens_per_s=1e9, p95_e2e_ms=0.1)
    points = [*sweep(), replace(lucky, verdict="overloaded"), point(batch=7, p95_e2e_ms=math.inf)]
    folder = make_run(points)
    write_report(folder)
    with (folder / "frontier.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows
    assert {row["verdict"] for row in rows} == {"valid"}
    front = [(float(row["output_tokens_per_s"]), float(row["p95_e2e_ms"])) for row in rows]
    assert front == sorted(front)
    rivals = [
        (p.figures["output_tokens_per_s"], p.figures["p95_e2e_ms"])
        for p in points
        if p.verdict == "valid"
    ]
    for x, y in front:
        assert not any((a >= x and b < y) or (a > x and b <= y) for a, b in rivals)


def test_repeats_are_one_row_of_the_frontier_with_their_mean(make_run, point):
    repeats = [point(batch=4, repeat=r) for r in range(3)]
    folder = make_run(repeats)
    report = write_report(folder)
    (only,) = report.frontier
    assert only.num_repeats == 3
    values = [p.figures["output_tokens_per_s"] for p in repeats]
    assert only.figures["output_tokens_per_s"] == pytest.approx(sum(values) / 3)
    with (folder / "frontier.csv").open(newline="") as file:
        assert [row["num_repeats"] for row in csv.DictReader(file)] == ["3"]


@pytest.mark.parametrize(
    ("find", "put", "named"),
    [
        ("static", "static,extra,cells", "row 1"),
        (",valid,", ",splendid,", "splendid"),
        ("p95_e2e_ms", "p95_unknown_ms", None),
        ("trial_id", "trail_id", "trial_id"),
    ],
)
def test_damaged_points_csv_is_named_in_the_error(make_run, point, find, put, named):
    folder = make_run([point(batch=4)])
    path = folder / "points.csv"
    path.write_text(path.read_text().replace(find, put, 1))
    if named is None:  # a figure this version does not know of is left alone
        assert len(load_points(open_run(folder))) == 1
        return
    with pytest.raises(RunFolderError, match=named):
        write_report(folder)


def test_done_trials_with_no_data_at_all_are_an_error(make_run, point):
    folder = make_run([point(batch=4)])
    (folder / "points.csv").unlink()
    with pytest.raises(RunFolderError, match="found neither"):
        load_points(open_run(folder))


class _RawRun(RunFolder):
    """A run folder whose one trial is in memory."""

    def trial_ids(self) -> list[str]:
        return ["t0"]

    def read_trial(self, trial_id: str) -> tuple[Settings, Trace]:
        settings = Settings(
            trial_id=trial_id,
            configuration_id="c0",
            workload="prompt 8, output 2",
            policy="static",
            max_batch_size=1,
            max_waiting_time_ms=0.0,
            kv_budget_tokens=None,
            max_prefill_tokens_per_step=None,
            load="closed loop ×1",
            load_kind="closed_loop",
            concurrency=1,
            offered_requests_per_s=None,
            fraction_of_capacity=None,
            repeat=0,
            seed=0,
        )
        return settings, Trace(
            requests=tuple(_served(i) for i in range(20)),
            steps=tuple(_step(i) for i in range(20)),
            window=Window(start_s=0.0, end_s=20.0),
            outcome="completed",
        )


def _served(i: int) -> RequestRecord:
    return RequestRecord(
        request_id=i,
        class_name="default",
        arrival_s=float(i),
        prompt_tokens=8,
        output_tokens=2,
        measured=True,
        admitted_s=float(i),
        first_token_s=i + 0.25,
        finished_s=i + 0.5,
        status="finished",
        error=None,
        token_times_s=(i + 0.25, i + 0.5),
    )


def _step(i: int) -> StepRecord:
    return StepRecord(
        phase="prefill",
        start_s=float(i),
        duration_s=0.5,
        batch_size=1,
        joined=1,
        decode_rows=0,
        prompt_tokens=8,
        new_tokens=2,
        kv_tokens=8,
        padded_tokens=0,
        queue_depth=0,
        close_reason="full",
    )


def test_raw_trials_are_the_authority_over_points_csv(make_run, point):
    folder = make_run([point(batch=64)])
    run = _RawRun(path=folder, manifest={**open_run(folder).manifest, "trials": []})
    (loaded,) = load_points(run)
    assert loaded.settings.max_batch_size == 1
    assert loaded.verdict == "valid"
    assert loaded.figures["p50_e2e_ms"] == pytest.approx(500)
    assert loaded.figures["output_tokens_per_s"] == pytest.approx(2)
