"""Mixed traffic and policies in a scenario: what each fault answers, and what is the default."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from paretobench.core.errors import ScenarioError
from paretobench.scenario import Scenario, scenario_from_mapping

ONE_TOKEN = {"kind": "fixed", "value": 1}
MIXED: dict[str, Any] = {
    "name": "mixed",
    "model": {"preset": "nano"},
    "classes": {
        "chat": {
            "share": 0.3,
            "prompt_tokens": ONE_TOKEN,
            "output_tokens": ONE_TOKEN,
            "batching": {"max_batch_size": 8, "max_waiting_time_ms": 50},
            "priority": "high",
            "latency_sla_ms": 500,
        },
        "night": {
            "share": 0.7,
            "prompt_tokens": ONE_TOKEN,
            "output_tokens": ONE_TOKEN,
            "batching": {"max_batch_size": [16, 64]},
            "priority": "low",
        },
    },
    "batching": {"max_batch_size": 64, "arrangement": ["shared", "priority", "separate"]},
    "load": {"kind": "poisson", "requests_per_s": 5},
}
AIMD = {"kind": "aimd", "latency_sla_ms": 500}


def scenario(changes: dict[str, Any]) -> Scenario:
    """The scenario above with dotted keys changed; None takes a key out."""
    data = copy.deepcopy(MIXED)
    for path, value in changes.items():
        *parents, last = path.split(".")
        section: Any = data
        for parent in parents:
            section = section[parent]
        if value is None:
            del section[last]
        else:
            section[last] = value
    return scenario_from_mapping(data, source="mixed.yaml")


def goal(figure: str) -> dict[str, Any]:
    return {"operating_points": {"x": {"maximize": figure}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes.chat.share": 0}, "classes.chat.share must be > 0, found 0"),
        ({"classes.chat.share": 1.2}, "classes.chat.share must be ≤ 1, found 1.2"),
        ({"classes.chat.share": 0.4}, "classes: shares must sum to 1, found 1.1"),
        ({"classes.chat.batching": None}, "classes.chat: arrangement priority needs batching"),
        ({"classes.chat.priority": "urgent"}, "classes.chat.priority must be 'low', 'normal' or"),
        ({"classes.chat.device_share": 0.5}, "give every class a device_share, or none"),
        ({"classes": {"all": MIXED["classes"]["chat"]}}, "a class cannot be called all"),
        ({"classes": {"a.b": MIXED["classes"]["chat"]}}, "classes.a.b must match"),
        ({"classes.night": None, "classes.chat.share": 1}, "priority needs at least two classes"),
        ({"classes": None}, "must give exactly one of workload and classes"),
        ({"sla": {"e2e_ms": 5}}, "give each class its latency_sla_ms"),
        (goal("dinner.output_tokens_per_s"), "operating_points.x: dinner.output_tokens_per_s must"),
        (goal("night.sla_attainment"), "needs an SLA, and class night has none"),
        (goal("chat.goodput"), "must be a known metric (did you mean 'goodput_requests_per_s'?)"),
        ({"batching.arrangement": "seperate"}, "must be a known arrangement (did you mean 'sep"),
        ({"batching.max_prefill_tokens_per_step": 0}, "max_prefill_tokens_per_step must be ≥ 1"),
        ({"batching.aging_ms": 0}, "batching.aging_ms must be > 0, found 0"),
        ({"batching.preemption": "swap"}, "batching.preemption must be 'recompute', 'keep_kv' or"),
        ({"batching.policy": "adaptive"}, "policy adaptive needs a controller"),
        ({"batching.controller": AIMD}, "controller is for policy adaptive, found policies static"),
        (
            {"batching.policy": "adaptive", "batching.controller": AIMD},
            "policy adaptive cannot serve arrangement priority",
        ),
        (
            {
                "batching.policy": "adaptive",
                "batching.controller": {"kind": "aimd"},
                "batching.arrangement": "shared",
            },
            "batching.controller aimd needs latency_sla_ms, or the scenario sla.e2e_ms",
        ),
        (
            {"batching.policy": "adaptive", "batching.controller": {**AIMD, "percentile": 0}},
            "batching.controller.percentile must be > 0, found 0",
        ),
        (
            {
                "batching.policy": "adaptive",
                "batching.controller": {"kind": "threshold", "low": 2.0},
            },
            "low must be < high, found low 2.0, high 1.2",
        ),
    ],
)
def test_a_fault_is_one_line_that_names_it(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenario(changes)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert "{'name'" not in str(caught.value), "the whole file is not what was found"


def test_the_frontier_is_the_highest_class_against_the_lowest() -> None:
    axes = scenario({}).objectives
    assert (axes.throughput, axes.latency) == ("night.output_tokens_per_s", "chat.p95_e2e_ms")


def test_axes_that_are_named_stay() -> None:
    axes = scenario({"objectives": {"latency": "night.p50_e2e_ms"}}).objectives
    assert (axes.throughput, axes.latency) == ("output_tokens_per_s", "night.p50_e2e_ms")


def test_classes_of_one_priority_have_the_usual_axes() -> None:
    axes = scenario({"classes.chat.priority": "low"}).objectives
    assert (axes.throughput, axes.latency) == ("output_tokens_per_s", "p95_e2e_ms")


def test_the_scenario_of_a_manifest_is_the_same_scenario() -> None:
    first = scenario({})
    assert scenario_from_mapping(first.model_dump(mode="json")) == first


def test_a_priority_may_be_a_number() -> None:
    assert scenario({"classes.chat.priority": 7}).classes["chat"].rank == 7
