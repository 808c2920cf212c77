"""Operating points as other servers' settings: what is set, what is said, what is never said."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import yaml

from paretobench.core.errors import PointNotMetError, UserInputError
from paretobench.report.deploy import operating_points_mapping
from paretobench.report.exporters import EXPORTERS, exported, find_deployment
from paretobench.report.model import assemble
from paretobench.results.reader import open_run

FOREIGN = ("triton", "vllm", "torchserve", "ray-serve", "bentoml")


def model_config(text):
    """Parse with Triton's own proto, which knows every field's name and type."""
    text_format = pytest.importorskip("google.protobuf.text_format", reason="needs tritonclient")
    proto = pytest.importorskip(
        "tritonclient.grpc.model_config_pb2", reason="needs tritonclient[grpc]"
    )
    return text_format.Parse(text, proto.ModelConfig())


def changed(point, **settings):
    return replace(point, settings=replace(point.settings, **settings))


@pytest.fixture
def emit(make_run):
    """Export the point that is best for `goal` among the points."""

    def call(points, format_name, goal="output_tokens_per_s", **about):
        goals = {"chat": {"maximize": goal, "subject_to": {}}}
        run = open_run(make_run(points, **{"goals": goals, **about}))
        return exported(find_deployment(assemble(run), "chat"), format_name)

    return call


@pytest.fixture
def prioritised(mixed, mixed_about, emit):
    """Export a point with a queue a class: chat 8 / 50 ms, high; bulk 32 / 1000 ms, low."""

    def call(format_name, arrangement="priority", policy="static", **settings):
        one = mixed(arrangement=arrangement, policy=policy, settings=settings)
        about = mixed_about()
        del about["goals"]
        return emit([one], format_name, **about)

    return call


def test_triton_takes_batch_size_and_wait_and_no_preferred_size(point, emit):
    config = model_config(emit([point(batch=16, wait_ms=2.5)], "triton")[None])
    assert config.max_batch_size == 16
    assert config.dynamic_batching.max_queue_delay_microseconds == 2500
    assert list(config.dynamic_batching.preferred_batch_size) == []
    assert config.dynamic_batching.priority_levels == 0
    assert not config.HasField("model_transaction_policy")


def test_triton_gives_the_highest_class_level_one_and_holds_none_longer(prioritised):
    text = prioritised("triton")[None]
    batching = model_config(text).dynamic_batching
    assert (batching.priority_levels, batching.default_priority_level) == (2, 2)
    assert batching.max_queue_delay_microseconds == 50_000
    assert "`priority`: chat 1, bulk 2" in text
    assert len(batching.priority_queue_policy) == 0


def test_triton_needs_an_inflight_backend_for_a_continuous_point(point, emit):
    one = changed(point(batch=16), policy="continuous", kv_budget_tokens=4096)
    config = model_config(emit([one], "triton")[None])
    assert config.model_transaction_policy.decoupled
    assert config.parameters["batching_strategy"].string_value == "inflight_fused_batching"
    assert config.parameters["max_tokens_in_paged_kv_cache"].string_value == "4096"


def test_engines_of_their_own_are_a_document_a_class(prioritised):
    documents = prioritised("triton", arrangement="separate")
    configs = {name: model_config(text) for name, text in documents.items()}
    sizes = {name: config.max_batch_size for name, config in configs.items()}
    assert sizes == {"chat": 8, "bulk": 32}
    assert configs["bulk"].dynamic_batching.max_queue_delay_microseconds == 1_000_000
    assert configs["bulk"].dynamic_batching.priority_levels == 0
    assert "device_share 0.5" in documents["chat"]


@pytest.mark.parametrize(
    ("format_name", "settings"),
    [
        ("vllm", {"max-num-seqs": 16}),
        (
            "torchserve",
            {"minWorkers": 1, "maxWorkers": 1, "batchSize": 16, "maxBatchDelay": 3},
        ),
        (
            "ray-serve",
            {
                "num_replicas": 1,
                "max_ongoing_requests": 32,
                "user_config": {"max_batch_size": 16, "batch_wait_timeout_s": 0.0025},
            },
        ),
        ("bentoml", {"batchable": True, "max_batch_size": 16}),
    ],
)
def test_settings_have_the_names_and_units_of_their_server(point, emit, format_name, settings):
    text = emit([point(batch=16, wait_ms=2.5)], format_name)[None]
    assert yaml.safe_load(text) == settings


def test_wait_is_never_passed_off_as_a_latency_goal(point, emit):
    text = emit([point(batch=16, wait_ms=50)], "bentoml")[None]
    body = [line for line in text.splitlines() if not line.startswith("#")]
    assert "max_latency_ms" not in "".join(body)
    assert "absent:      max_waiting_time_ms 50" in text


def test_vllm_counts_decode_tokens_too_and_has_no_wait(point, emit):
    one = changed(point(batch=16, wait_ms=50), max_prefill_tokens_per_step=512)
    text = emit([one], "vllm")[None]
    assert yaml.safe_load(text)["max-num-batched-tokens"] == 528
    assert "absent:      max_waiting_time_ms 50" in text
    assert "absent:      policy static" in text


@pytest.mark.parametrize(("wait_ms", "is_held"), [(0, False), (50, True)])
def test_ray_serve_holds_nothing_again_that_it_does_not_hold(point, emit, wait_ms, is_held):
    text = " ".join(emit([point(batch=4, wait_ms=wait_ms)], "ray-serve")[None].split("#"))
    assert ("held again" in " ".join(text.split())) == is_held


def test_torchserve_delay_is_never_nought(point, emit):
    assert yaml.safe_load(emit([point(batch=4)], "torchserve")[None])["maxBatchDelay"] == 1


@pytest.mark.parametrize("format_name", FOREIGN)
@pytest.mark.parametrize("arrangement", ["shared", "priority"])
def test_batches_of_one_class_are_said_to_have_no_equivalent(prioritised, format_name, arrangement):
    lost = "absent:      mix_classes false"
    assert lost in prioritised(format_name, arrangement, mix_classes=False)[None]
    assert lost not in prioritised(format_name, arrangement, mix_classes=True)[None]


@pytest.mark.parametrize("format_name", FOREIGN)
def test_controller_is_said_to_have_no_equivalent(point, emit, format_name):
    one = changed(point(batch=16), policy="adaptive", controller="aimd, p95 SLA 500 ms")
    text = emit([one], format_name)[None]
    assert "absent:      the controller (aimd, p95 SLA 500 ms)" in text


@pytest.mark.parametrize("format_name", FOREIGN)
def test_what_one_queue_cannot_say_of_classes_is_said_to_be_lost(prioritised, format_name):
    text = " ".join(prioritised(format_name, aging_ms=5000.0)[None].split("\n#  "))
    assert "chat batch 8, wait 50 ms; bulk batch 32, wait 1000 ms" in text
    assert "aging_ms 5000" in text
    if format_name not in ("triton", "vllm"):
        assert "priorities (chat > bulk)" in text


def test_own_format_is_the_entry_of_operating_points_yaml(make_run, sweep):
    report = assemble(open_run(make_run(sweep())))
    text = exported(find_deployment(report, "chat"), "yaml")[None]
    assert yaml.safe_load(text) == {"chat": operating_points_mapping(report)["chat"]}


@pytest.mark.parametrize("format_name", sorted(EXPORTERS))
def test_comments_say_where_the_settings_come_from(make_run, sweep, format_name):
    name = "night\nrun: {evil}"
    run = open_run(make_run(sweep(), name=name))
    text = exported(find_deployment(assemble(run), "chat"), format_name)[None]
    head = " ".join(text.split("\n#  "))
    assert head.startswith(
        "# operating point chat of night run: {evil}: nano on AMD EPYC 7763 64-Core Processor\n"
    )
    assert "p95_e2e_ms" in head
    assert "\n# certificate: not shown: the raw files are not here" in head
    assert "\n# chosen: highest output_tokens_per_s" in head


def test_unknown_point_names_the_known_and_the_nearest(make_run, sweep):
    report = assemble(open_run(make_run(sweep())))
    with pytest.raises(UserInputError, match=r"\(chat, overnight\), found 'chta' \(did you mean"):
        find_deployment(report, "chta")


def test_goal_that_nothing_meets_deploys_nothing(make_run, sweep):
    goals = {"chat": {"maximize": "requests_per_s", "subject_to": {"p95_e2e_ms": 5.0}}}
    report = assemble(open_run(make_run(sweep(), goals=goals)))
    with pytest.raises(PointNotMetError, match="p95_e2e_ms ≤ 5 binds") as caught:
        find_deployment(report, "chat")
    assert caught.value.exit_code == 1


def test_simulated_figures_are_said_to_be(make_run, sweep):
    folder = make_run(sweep(), provenance={"system": {"simulated": True}})
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["provenance"]["system"]["simulated"]
    text = exported(find_deployment(assemble(open_run(folder)), "chat"), "yaml")[None]
    assert "SIMULATED" in text.splitlines()[0]
