"""The configurations that a batching section stands for: all of them, none twice."""

from __future__ import annotations

from typing import Any

from paretobench.core.controllers import AimdController, ThresholdController
from paretobench.core.values import BatchingConfig
from paretobench.core.workloads import MixSpec
from paretobench.scenario import scenario_from_mapping
from paretobench.sweep.batchings import batching_configs
from paretobench.sweep.plan import plan_trials

TOKENS = {"kind": "fixed", "value": 4}


def configs(batching: dict[str, Any], *, classes: bool = True) -> list[BatchingConfig]:
    return batching_configs(scenario_from_mapping(document(batching, classes=classes)))


def document(batching: dict[str, Any], *, classes: bool = True) -> dict[str, Any]:
    lengths = {"prompt_tokens": TOKENS, "output_tokens": TOKENS}
    traffic: dict[str, Any] = {"workload": lengths, "sla": {"e2e_ms": 700}}
    if classes:
        traffic = {
            "classes": {
                "night": {
                    **lengths,
                    "share": 0.75,
                    "priority": "low",
                    "batching": {"max_batch_size": [4, 8], "max_waiting_time_ms": 100},
                },
                "chat": {
                    **lengths,
                    "share": 0.25,
                    "priority": "high",
                    "batching": {"max_batch_size": 2},
                },
            }
        }
    return {
        "name": "x",
        "runner": {"kind": "latency_model", "prefill": {}, "decode": {"base_ms": 1}},
        "batching": {"max_batch_size": [8, 16], **batching},
        "load": {"kind": "poisson", "requests_per_s": 5},
        **traffic,
    }


def test_one_class_has_a_plain_configuration_for_every_size_and_wait() -> None:
    found = configs({"max_waiting_time_ms": [0, 50]}, classes=False)
    assert [(c.max_batch_size, c.max_waiting_time_s) for c in found] == [
        (8, 0.0),
        (8, 0.05),
        (16, 0.0),
        (16, 0.05),
    ]
    assert {(c.arrangement, c.preemption, c.aging_s) for c in found} == {("shared", None, None)}


def test_the_adaptive_policy_is_one_configuration_a_controller() -> None:
    controllers = [{"kind": "threshold", "step": 2}, {"kind": "aimd", "latency_sla_ms": 90}]
    found = configs(
        {"policy": "adaptive", "controller": controllers, "max_waiting_time_ms": [0, 50]},
        classes=False,
    )
    assert [c.controller for c in found] == [
        ThresholdController(latency_sla_s=0.7, step=2),
        AimdController(latency_sla_s=0.09),
    ]
    assert {(c.max_batch_size, c.max_waiting_time_s) for c in found} == {(16, 0.0)}


def test_one_queue_does_not_multiply_by_what_acts_on_priorities() -> None:
    found = configs(
        {"arrangement": "shared", "aging_ms": [None, 5], "preemption": ["none", "recompute"]}
    )
    assert [(c.max_batch_size, c.classes, c.aging_s, c.preemption) for c in found] == [
        (8, (), None, None),
        (16, (), None, None),
    ]


def test_priorities_multiply_classes_and_aging_highest_class_first() -> None:
    found = configs({"arrangement": "priority", "max_batch_size": 8, "aging_ms": [None, 500]})
    assert [[(c.name, c.max_batch_size) for c in f.classes] for f in found] == [
        [("chat", 2), ("night", 4)],
        [("chat", 2), ("night", 4)],
        [("chat", 2), ("night", 8)],
        [("chat", 2), ("night", 8)],
    ]
    assert [f.aging_s for f in found] == [None, 0.5, None, 0.5]
    assert {f.preemption for f in found} == {None}, "static batches run to their end"


def test_continuous_priorities_preempt_unless_told_not_to() -> None:
    found = configs(
        {
            "policy": "continuous",
            "arrangement": "priority",
            "max_batch_size": 8,
            "preemption": ["none", "recompute", "keep_kv"],
        }
    )
    assert [f.preemption for f in found[:3]] == [None, "recompute", "keep_kv"]


def test_separate_engines_have_their_own_sizes_and_equal_shares() -> None:
    found = configs({"arrangement": "separate"})
    assert [f.max_batch_size for f in found] == [2 + 4, 2 + 8], "whatever the shared sizes are"
    assert [c.device_share for c in found[0].classes] == [0.5, 0.5]


def test_all_arrangements_serve_the_same_requests() -> None:
    arrangements = ["shared", "priority", "separate"]
    trials = plan_trials(scenario_from_mapping(document({"arrangement": arrangements})))
    assert {trial.batching.arrangement for trial in trials} == set(arrangements)
    assert len({trial.seed for trial in trials}) == 1
    assert len({trial.trial_id for trial in trials}) == len(trials)
    mix = trials[0].workload
    assert isinstance(mix, MixSpec)
    assert [(c.name, c.share) for c in mix.classes] == [("night", 0.75), ("chat", 0.25)]
