"""What the YAML, the report and the terminal say of an operating point's certificate."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import yaml

from paretobench.analysis.certificates import certify_point
from paretobench.analysis.configurations import combine_repeats
from paretobench.analysis.sla import ServiceLevels
from paretobench.core.intervals import Interval
from paretobench.report import operating_points_table, write_report
from paretobench.report.deploy import operating_points_yaml
from paretobench.report.exporters import exported, find_deployment
from paretobench.report.markdown import report_markdown
from paretobench.report.model import assemble
from paretobench.results.reader import open_run


@pytest.fixture
def certified(make_run, point):
    """A report whose runs have their requests at hand, as raw files would give them."""

    def make(size):
        rng = np.random.default_rng(0)
        names = ("output_tokens_per_s", "p95_e2e_ms")
        points = [
            point(batch=b, wait_ms=w, output_tokens_per_s=10.0 * b, p95_e2e_ms=1000.0 + w)
            for b in (16, 32)
            for w in (0, 50)
        ]
        points[-1] = replace(points[-1], verdict="throttled", reason="the clocks were held down")
        goals = {"chat": {"maximize": names[0], "subject_to": {names[1]: 1250.0}}}
        report = assemble(open_run(make_run(points, goals=goals, provenance="h200")))
        configurations = []
        for run in points:
            samples_s = rng.uniform(0.1, 1.0, size) * run.figures["p95_e2e_ms"] / 955
            run = replace(run, samples={"e2e": samples_s})
            ends = {n: Interval(low=0.9 * run.figures[n], high=1.1 * run.figures[n],
                                method="t_over_runs") for n in names}  # fmt: skip
            configurations.append(replace(combine_repeats([run])[0], intervals=ends))
        by_id = {c.settings.configuration_id: c for c in configurations}
        chosen = report.operating_points[0]
        chosen = replace(
            chosen, configuration=by_id[chosen.configuration.settings.configuration_id]
        )
        found = certify_point(chosen, configurations, ServiceLevels(), latency=names[1])
        return replace(report, operating_points=(chosen,), certificates={"chat": found})

    return make


def entry_of(report):
    return yaml.safe_load(operating_points_yaml(report))["chat"]["certificate"]


def test_a_certificate_states_figures_margin_rivals_neighbours_and_environment(certified):
    entry = entry_of(certified(4000))
    assert entry["status"] == "certified"
    figure = entry["figures"]["output_tokens_per_s"]
    assert figure["low"] < figure["value"] < figure["high"]
    proof = entry["constraints"]["p95_e2e_ms"]
    bound = proof["upper_bound"]
    assert proof["bound_margin_share"] == pytest.approx((1250 - bound) / 1250, abs=1e-5)
    assert proof["value"] < bound < 1250
    assert entry["runner_up"]["status"] == "certified"
    assert {(n["setting"], n["step"]) for n in entry["neighbours"]} <= {
        (setting, step)
        for setting in ("max_batch_size", "max_waiting_time_ms")
        for step in ("down", "up")
    }
    invalid = [n for n in entry["neighbours"] if "verdict" in n]
    assert [n["reason"] for n in invalid] == ["the clocks were held down"]
    assert entry["environment"] == {
        "device": "NVIDIA H200",
        "model": "llama-3.1-8b (8.0 B parameters, random weights)",
        "dtype": "bfloat16",
        "torch": "2.11.0",
        "cuda": "12.8",
        "attention_backend": "flash",
        "threads": 16,
        "driver": "575.51",
        "cpu": "AMD EPYC 7763",
        "paretobench": "0.1.0",
        "commit": "1a2b3c4",
    }


def test_too_few_requests_are_said_alike_in_yaml_report_and_terminal(certified):
    from rich.console import Console

    report = certified(50)
    statement = entry_of(report)["statement"]
    assert statement.startswith("not shown, ")
    assert statement.endswith(" more requests needed")
    assert yaml.safe_load(operating_points_yaml(report))["chat"]["shown"] == "not_shown"
    text = report_markdown(report).decode()
    assert f"### chat: {statement}" in text
    answer, row = (next(x for x in text.splitlines() if start in x) for start in ("**", "| chat |"))
    assert f"to spare)); {statement}." in answer
    assert f" | {statement} | " in row
    assert "- Best certified: none." in text
    out = io.StringIO()
    Console(file=out, width=250).print(operating_points_table(report))
    assert "not shown" in out.getvalue()


def test_a_committed_run_shows_nothing_and_says_why(make_run, sweep):
    report = assemble(open_run(make_run(sweep())))
    entry = entry_of(report)
    assert entry["statement"].startswith("not shown: the raw files are not here")
    assert entry["constraints"]["p95_e2e_ms"]["upper_bound"] is None
    assert "## Certificates" in report_markdown(report).decode()


def test_a_committed_run_keeps_what_was_shown_when_measured(certified):
    before = certified(4000)
    file = before.run.path / "operating_points.yaml"
    file.write_bytes(operating_points_yaml(before))
    was = entry_of(before)
    del was["constraints"]["p95_e2e_ms"]["bound_margin_share"]  # is that of the rounded bound
    for _ in range(2):  # and a report of a report
        write_report(before.run.path)
        report = assemble(open_run(before.run.path))
        entry = entry_of(report)
        assert entry["constraints"]["p95_e2e_ms"].pop("bound_margin_share") > 0
        kept = ("status", "constraints", "runner_up")
        assert {name: entry[name] for name in kept} == {name: was[name] for name in kept}
        assert entry["statement"] == "certified (as shown when measured)"
        assert entry["as_shown_when_measured"] is True
        text = exported(find_deployment(report, "chat"), "triton")[None]
        assert "\n# certificate: certified (as shown when measured)\n" in text


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("chat:", "other:"),
        ("  configuration_id: ", "  configuration_id: f"),
        ("limit: 1250.0", "limit: 1300.0"),
        ("upper_bound: ", "upper_bound: about "),
        ("status: certified", "status: proven"),
        ("method: order_statistic", "method: none"),
        ("num_requests: 4000", "num_requests: .inf"),
        ("chat:", "chat: {"),
    ],
)
def test_what_is_not_of_this_point_or_is_damaged_shows_nothing(certified, old, new):
    before = certified(4000)
    text = operating_points_yaml(before).decode()
    assert old in text
    file = before.run.path / "operating_points.yaml"
    file.write_text(text.replace(old, new), encoding="utf-8")
    assert entry_of(assemble(open_run(before.run.path)))["status"] == "not_shown"


def test_a_goal_that_nothing_meets_is_not_met(make_run, sweep):
    goals = {"chat": {"maximize": "requests_per_s", "subject_to": {"p95_e2e_ms": 0.1}}}
    report = assemble(open_run(make_run(sweep(), goals=goals)))
    assert entry_of(report) == {"status": "not_met", "statement": "not met"}
    assert "## Certificates" not in report_markdown(report).decode()
