"""What tells a configuration from the others of its run, in words and in columns."""

import io

import pytest

from paretobench.report import frontier_table
from paretobench.report.columns import frontier_columns, setting_columns
from paretobench.report.model import assemble
from paretobench.report.settings_text import configuration_label, varied_settings
from paretobench.results.reader import open_run

LOAD = "poisson 50% of capacity"


def labels(points):
    settings = [p.settings for p in points]
    varied = varied_settings(settings)
    return [configuration_label(s, varied) for s in settings]


def test_static_batching_alone_is_not_named(point):
    assert labels([point(batch=4, utilisation=0.5)]) == [f"batch 4, wait 0 ms, {LOAD}"]


def test_policy_is_named_where_several_were_swept_or_it_is_not_static(mixed):
    both = [mixed(policy="static"), mixed(policy="continuous")]
    assert [label.split(",")[0] for label in labels(both)] == ["static", "continuous"]
    assert labels(both[1:])[0].startswith("continuous, batch 32")


def test_limits_of_each_class_stand_behind_the_arrangement(mixed):
    (label,) = labels([mixed(arrangement="priority")])
    assert label == f"priority: chat 8 / 50 ms, bulk 32 / 1 s, {LOAD}"


def test_controller_is_said_with_the_batch_as_its_upper_limit(mixed):
    steered = {"controller": "aimd, p95 SLA 500 ms"}
    (label,) = labels([mixed(policy="adaptive", settings=steered)])
    assert label == f"adaptive aimd, p95 SLA 500 ms, batch ≤ 32, {LOAD}"


@pytest.mark.parametrize(
    ("setting", "values", "words"),
    [
        ("mix_classes", (True, False), ("mixed batches", "one class a batch")),
        ("aging_ms", (3000.0, None), ("aging 3 s", "no aging")),
        ("preemption", ("keep_kv", None), ("preemption keeps KV", "no preemption")),
    ],
)
def test_how_classes_share_is_said_where_it_varies_and_only_there(mixed, setting, values, words):
    points = [
        mixed(policy="continuous", arrangement="priority", settings={setting: value})
        for value in values
    ]
    for label, said in zip(labels(points), words, strict=True):
        assert said in label
    assert words[0] not in labels(points[:1])[0]


def test_what_does_not_act_on_a_configuration_does_not_vary(mixed):
    points = [
        mixed(policy="continuous", arrangement="shared"),
        mixed(
            policy="continuous",
            arrangement="priority",
            settings={"aging_ms": 3000.0, "preemption": "recompute"},
        ),
        mixed(
            policy="continuous",
            arrangement="separate",
            mixes=False,
            settings={"max_batch_size": 40},
        ),
    ]
    assert varied_settings(p.settings for p in points) == {"arrangement"}


def test_no_two_configurations_of_a_run_share_a_label(mixed):
    points = [
        mixed(
            policy=policy,
            arrangement=arrangement,
            mixes=mixes,
            settings={"aging_ms": aging if arrangement == "priority" else None},
        )
        for policy in ("static", "continuous")
        for arrangement in ("shared", "priority")
        for mixes in (False, True)
        for aging in (1000.0, 2000.0)
        if arrangement == "priority" or aging == 1000.0
    ]
    assert len(set(labels(points))) == len(points)


def test_table_of_mixed_traffic_shows_each_class(make_run, mixed, mixed_about):
    points = [mixed(policy=p, arrangement=a) for p in ("static", "continuous")
              for a in ("shared", "priority")]  # fmt: skip
    report = assemble(open_run(make_run(points, **mixed_about())))
    assert [c.title for c in setting_columns(report)] == ["load", "policy", "batching"]
    assert frontier_columns(report) == [
        "bulk.output_tokens_per_s",
        "chat.p95_e2e_ms",
        "bulk.p95_e2e_ms",
        "chat.output_tokens_per_s",
        "chat.sla_attainment",
        "chat.max_wait_ms",
        "bulk.max_wait_ms",
    ]


def test_table_of_one_policy_keeps_its_columns(make_run, sweep):
    report = assemble(open_run(make_run(sweep())))
    assert [c.title for c in setting_columns(report)] == ["load", "batch", "wait"]


def test_share_is_shown_in_percent(make_run, mixed, mixed_about):
    points = [mixed(classes={"chat": {"sla_attainment": 0.987}, "bulk": {}})]
    report = assemble(open_run(make_run(points, **mixed_about())))
    from rich.console import Console

    out = io.StringIO()
    Console(file=out, width=250).print(frontier_table(report))
    assert "98.7" in out.getvalue()
