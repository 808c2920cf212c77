"""Mixed traffic in the report: what each class got, what it cost the others, what to deploy."""

import csv
import json
import math

import pytest
import yaml

from paretobench.report import report_document, write_report
from paretobench.report.class_effects import limit_costs, policy_pairs, wait_for_the_longest
from paretobench.report.deploy import operating_points_yaml
from paretobench.report.markdown import report_markdown
from paretobench.report.model import assemble
from paretobench.results.reader import open_run


def entry_of(folder):
    return yaml.safe_load(operating_points_yaml(assemble(open_run(folder))))["mixed"]


def text_of(folder):
    return report_markdown(assemble(open_run(folder))).decode()


def of_classes(chat_ms, bulk_tokens):
    return {"chat": {"p95_e2e_ms": chat_ms}, "bulk": {"output_tokens_per_s": bulk_tokens}}


@pytest.fixture
def traded(mixed):
    """Keeping chat inside 500 ms costs the bulk work 100 of 800 tokens/s."""
    return [
        mixed(policy="static", classes=of_classes(900.0, 800.0)),
        mixed(policy="continuous", arrangement="priority", classes=of_classes(300.0, 700.0)),
    ]


def test_cost_of_the_limit_is_said_in_numbers_with_both_arrangements(make_run, traded, mixed_about):
    text = text_of(make_run(traded, **mixed_about()))
    assert "Keeping chat p95 E2E inside 500 ms costs 12% of the bulk tokens/s: 700 (" in text
    assert "continuous, priority: chat 8 / 50 ms, bulk 32 / 1 s" in text
    assert "against 800 (static, shared: batch 32, wait 0 ms" in text


def test_limit_that_the_best_keeps_costs_nothing(make_run, traded, mixed_about):
    text = text_of(make_run(traded[1:], **mixed_about()))
    assert "inside 500 ms costs no bulk tokens/s" in text


def test_limit_that_nothing_keeps_is_said(make_run, traded, mixed_about):
    text = text_of(make_run(traded[:1], **mixed_about()))
    assert "No valid configuration keeps chat p95 E2E inside 500 ms" in text


def test_without_goals_the_objectives_and_the_sla_give_the_cost(make_run, traded, mixed_about):
    folder = make_run(traded, **{**mixed_about(), "goals": {}})
    (cost,) = limit_costs(assemble(open_run(folder)))
    assert cost.share == pytest.approx(1 - 700 / 800)


def test_configuration_that_is_not_valid_sets_no_price(make_run, mixed, traded, mixed_about):
    flood = mixed(batch=64, classes=of_classes(9e4, 5e3), verdict="overloaded", reason="too much")
    (cost,) = limit_costs(assemble(open_run(make_run([*traded, flood], **mixed_about()))))
    assert cost.free.figures["bulk.output_tokens_per_s"] == 800.0


def test_table_has_a_row_a_class_with_its_longest_wait(make_run, traded, mixed_about):
    traded[1].figures.update({"chat.max_wait_ms": 123.0, "bulk.max_wait_ms": 4567.0})
    section = text_of(make_run(traded, **mixed_about())).split("## By class")[1]
    rows = [line for line in section.splitlines() if "| chat |" in line or "| bulk |" in line]
    assert "| 123 |" in rows[0]
    assert "| 4,567 |" in rows[1]


def pair(mixed, static_ms=620.0, continuous_ms=100.0, **look):
    return [
        mixed(policy=policy, classes={"chat": {"mean_e2e_ms": ms}, "bulk": {}}, **look)
        for policy, ms in (("static", static_ms), ("continuous", continuous_ms))
    ]


def test_static_against_continuous_is_told_of_the_shortest_class(make_run, mixed, mixed_about):
    text = text_of(make_run(pair(mixed), **mixed_about()))
    assert (
        "Under static batching a chat request takes 6.2 × as long as under continuous batching "
        "at the same load and batch size"
    ) in text


def test_other_loads_and_batch_sizes_make_no_pair(make_run, mixed, mixed_about):
    static, _ = pair(mixed)
    others = [
        pair(mixed, batch=16)[1],
        pair(mixed, utilisation=0.8)[1],
        pair(mixed, mixes=False)[1],
    ]
    report = assemble(open_run(make_run([static, *others], **mixed_about())))
    assert policy_pairs(report) == []
    assert "What the longest request costs" not in text_of(report.run.path)


def test_batches_of_one_class_make_no_pair(make_run, mixed, mixed_about):
    assert (
        policy_pairs(assemble(open_run(make_run(pair(mixed, mixes=False), **mixed_about())))) == []
    )


def test_overloaded_static_is_said_and_gives_no_ratio(make_run, mixed, mixed_about):
    flooded = mixed(policy="static", verdict="overloaded", reason="too much")
    folder = make_run([flooded, pair(mixed)[1]], **mixed_about())
    assert wait_for_the_longest(assemble(open_run(folder))) is None
    assert "| overloaded |" in text_of(folder).split("What the longest request costs")[1]


def test_priority_is_deployed_as_a_pair_keyed_by_class(make_run, traded, mixed_about):
    entry = entry_of(make_run(traded, **mixed_about()))
    assert (entry["arrangement"], entry["max_batch_size"]) == ("priority", 32)
    assert "max_waiting_time_ms" not in entry
    chat, bulk = entry["classes"]["chat"], entry["classes"]["bulk"]
    assert (chat["max_batch_size"], chat["max_waiting_time_ms"]) == (8, 50.0)
    assert (bulk["max_batch_size"], bulk["max_waiting_time_ms"]) == (32, 1000.0)
    assert (chat["priority"], bulk["priority"]) == (2, 0)
    assert (chat["latency_sla_ms"], bulk["latency_sla_ms"]) == (500.0, None)
    assert chat["expected"]["p95_e2e_ms"] == 300.0
    assert bulk["expected"]["output_tokens_per_s"] == 700.0
    assert "device_share" not in chat


def test_separate_engines_have_device_shares_and_no_limit_in_common(make_run, mixed, mixed_about):
    points = [mixed(arrangement="separate", mixes=False, classes=of_classes(300.0, 700.0))]
    entry = entry_of(make_run(points, **mixed_about()))
    assert "max_batch_size" not in entry
    assert entry["classes"]["chat"]["device_share"] == 0.5


def test_shared_queue_gives_each_class_the_limits_in_common(make_run, mixed, mixed_about):
    entry = entry_of(make_run([mixed(classes=of_classes(300.0, 700.0))], **mixed_about()))
    assert entry["arrangement"] == "shared"
    assert entry["classes"]["chat"]["max_batch_size"] == entry["max_batch_size"] == 32
    assert entry["classes"]["chat"]["priority"] == 2


def test_controller_is_deployed_with_its_constants(make_run, mixed, mixed_about):
    aimd = {"kind": "aimd", "latency_sla_ms": 500.0, "increase": 2, "decrease_factor": 0.5}
    steered = mixed(
        policy="adaptive",
        classes=of_classes(300.0, 700.0),
        settings={"controller": "aimd, p95 SLA 500 ms"},
    )
    threshold = {"kind": "threshold", "latency_sla_ms": 500.0}
    about = mixed_about(batching={"controller": [threshold, aimd]})
    assert entry_of(make_run([steered], **about))["controller"] == aimd


def test_controllers_that_cannot_be_told_apart_are_named_not_guessed(make_run, mixed, mixed_about):
    twins = [{"kind": "aimd", "latency_sla_ms": 500.0, "increase": i} for i in (1, 2)]
    steered = mixed(
        policy="adaptive",
        classes=of_classes(300.0, 700.0),
        settings={"controller": "aimd, p95 SLA 500 ms"},
    )
    entry = entry_of(make_run([steered], **mixed_about(batching={"controller": twins})))
    assert entry["controller"] == "aimd, p95 SLA 500 ms"


def test_plain_traffic_is_deployed_without_classes(make_run, sweep):
    entries = yaml.safe_load(operating_points_yaml(assemble(open_run(make_run(sweep())))))
    assert not {"classes", "arrangement", "controller"} & entries["chat"].keys()


def test_document_holds_the_classes_of_each_frontier_row(make_run, traded, mixed_about):
    document = report_document(write_report(make_run(traded, **mixed_about())))
    json.dumps(document, allow_nan=False)
    assert document["frontier"][0]["classes"]["chat"]["p95_e2e_ms"] == 300.0
    assert document["operating_points"]["mixed"]["classes"]["bulk"]["priority"] == 0


def test_frontier_csv_has_a_row_a_class_with_its_limits(make_run, traded, mixed_about):
    folder = make_run(traded, **mixed_about())
    write_report(folder)
    with (folder / "frontier.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["class"] for row in rows] == ["all", "chat", "bulk"] * 2
    assert rows[1]["max_batch_size"] == "8"
    assert rows[1]["p95_e2e_ms"] == "300.0"


def test_what_was_swept_names_arrangements_aging_and_preemption(make_run, mixed, mixed_about):
    acting = {"aging_ms": 3000.0, "preemption": "recompute"}
    points = [mixed(), mixed(policy="continuous", arrangement="priority", settings=acting)]
    text = text_of(make_run(points, **mixed_about()))
    assert "arrangement priority, shared" in text
    assert "aging 3 s; preemption recompute" in text
    assert "| prompt 64, output 32 | chat | 90% | output tokens |" in text


def test_class_without_samples_and_infinite_tails_are_reported(make_run, mixed, mixed_about):
    empty = dict.fromkeys(mixed().figures)
    tails = {"p95_e2e_ms": math.inf, "p50_e2e_ms": math.inf, "mean_e2e_ms": math.inf}
    points = [
        mixed(policy="static", classes={"chat": empty, "bulk": {}}),
        mixed(policy="continuous", classes={"chat": tails, "bulk": tails}),
        mixed(policy="continuous", verdict="failed", reason="died", utilisation=0.8),
    ]
    report = write_report(make_run(points, **mixed_about()))
    assert report.frontier == ()
    assert (report.run.path / "latency_by_class.png").is_file()
