"""operating_points.yaml, the JSON document and the terminal's tables."""

import io
import json
import math

import pytest
import yaml

from paretobench.report import (
    frontier_table,
    operating_points_table,
    report_document,
    write_report,
)
from paretobench.report.deploy import operating_points_yaml
from paretobench.report.model import assemble
from paretobench.results.reader import open_run


def read_yaml(folder):
    return yaml.safe_load(operating_points_yaml(assemble(open_run(folder))))


def render(table):
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=200).print(table)
    return out.getvalue()


def test_met_goal_says_what_to_deploy_and_what_to_expect(make_run, sweep):
    folder = make_run(sweep())
    chat = read_yaml(folder)["chat"]
    assert chat["met"] is True
    assert chat["policy"] == "static"
    assert chat["latency_sla_ms"] == 500.0
    assert isinstance(chat["max_batch_size"], int)
    assert chat["max_waiting_time_ms"] in (0.0, 50.0, 200.0)
    assert chat["expected"]["p95_e2e_ms"] <= 500
    assert chat["margins"]["p95_e2e_ms"]["margin_share"] >= 0
    assert {"load", "reason", "trial_id", "configuration_id"} <= chat.keys()
    assert all(v == float(f"{v:.6g}") for v in chat["expected"].values())


def test_file_begins_with_the_run_the_device_and_the_version(make_run, sweep):
    folder = make_run(sweep())
    write_report(folder)
    first = (folder / "operating_points.yaml").read_text().splitlines()[0]
    assert first == (
        "# quickstart on AMD EPYC 7763 64-Core Processor, measured with paretobench 0.1.0"
    )


def test_goal_that_nothing_meets_names_the_binding_constraint_and_the_nearest(make_run, sweep):
    goal = {"maximize": "requests_per_s", "subject_to": {"p95_e2e_ms": 50.0}}
    folder = make_run(sweep(), goals={"impossible": goal})
    report = assemble(open_run(folder))
    entry = read_yaml(folder)["impossible"]
    assert entry["met"] is False
    assert "p95_e2e_ms ≤ 50 binds" in entry["reason"]
    nearest = min(p.figures["p95_e2e_ms"] for p in report.points if p.verdict == "valid")
    assert entry["nearest"]["p95_e2e_ms"] == {
        "limit": 50.0,
        "value": pytest.approx(nearest, rel=1e-5),
    }


def test_workload_shapes_do_not_compete_for_an_operating_point(make_run, sweep):
    short, long = sweep(), sweep(workload="prompt 512, output 128", tokens=128)
    folder = make_run([*short, *long])
    entries = read_yaml(folder)
    assert entries["overnight [prompt 64, output 32]"]["workload"] == "prompt 64, output 32"
    assert entries["overnight [prompt 512, output 128]"]["workload"] == "prompt 512, output 128"


def test_request_sla_stands_in_where_the_goal_has_no_e2e_limit(make_run, sweep):
    folder = make_run(sweep())
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["scenario"]["sla"]["e2e_ms"] = 750.0
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert read_yaml(folder)["overnight"]["latency_sla_ms"] == 750.0
    assert read_yaml(folder)["chat"]["latency_sla_ms"] == 500.0


def test_document_is_strict_json_with_null_for_missing_and_infinite(make_run, sweep, point):
    front = point(batch=64, output_tokens_per_s=1e6, p99_e2e_ms=math.inf, p50_tpot_ms=None)
    folder = make_run([*sweep(), front])
    document = report_document(write_report(folder))
    text = json.dumps(document, allow_nan=False)
    row = json.loads(text)["frontier"][-1]
    assert row["p99_e2e_ms"] is None
    assert row["p50_tpot_ms"] is None
    assert document["verdicts"]["valid"] == sum(document["verdicts"].values()) - 15
    assert all((folder / name).is_file() for name in document["files"])
    assert document["left_out"] == [
        "latency_by_class.png: the traffic is of one class",
        "gpu_utilization.png: no GPU utilisation was measured",
    ]


def test_terminal_tables_mark_low_percentiles_and_keep_markup_as_text(make_run, sweep):
    goals = {"[bold]chat[/bold]": {"maximize": "output_tokens_per_s", "subject_to": {}}}
    report = assemble(open_run(make_run(sweep(), goals=goals)))
    table = render(frontier_table(report))
    assert "~" in table
    assert "fewer than 10 samples" in table
    assert "closed loop ×64" in table
    assert "[bold]chat[/bold]" in render(operating_points_table(report))


def test_terminal_tables_say_why_nothing_can_be_deployed(make_run, point):
    failed = [point(batch=b, verdict="out_of_memory", reason="no memory") for b in (1, 2)]
    report = assemble(open_run(make_run(failed)))
    assert "none of 2 trials is valid" in " ".join(render(frontier_table(report)).split())
    assert "nothing" in render(operating_points_table(report))
