"""Figures of mixed traffic: each class's beside those of all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from paretobench.analysis.metrics import summarize
from paretobench.analysis.sla import ServiceLevels, SlaLimits, service_levels
from paretobench.core.points import Point, Settings
from paretobench.core.values import RequestRecord, StepRecord, Trace, Window

MakeSettings = Callable[..., Settings]
LEVELS = ServiceLevels(by_class={"chat": SlaLimits(e2e_s=2.0), "night": SlaLimits()})
STEP = StepRecord(
    phase="decode",
    start_s=0.0,
    duration_s=10.0,
    batch_size=2,
    joined=0,
    decode_rows=2,
    prompt_tokens=0,
    new_tokens=1,
    kv_tokens=20,
    padded_tokens=0,
    queue_depth=0,
    close_reason=None,
)


def record(request_id: int, class_name: str, e2e_s: float, **changes: object) -> RequestRecord:
    arrived = RequestRecord(
        request_id=request_id,
        class_name=class_name,
        arrival_s=1.0,
        prompt_tokens=4,
        output_tokens=1,
        measured=True,
        admitted_s=1.5,
        first_token_s=1.0 + e2e_s,
        finished_s=1.0 + e2e_s,
        status="finished",
        error=None,
        token_times_s=(1.0 + e2e_s,),
    )
    return replace(arrived, **changes)  # type: ignore[arg-type]


CHAT_IN_TIME, CHAT_LATE = record(0, "chat", 1.0), record(1, "chat", 4.0)
NIGHT = record(2, "night", 6.0, preempted_s=3.0, num_preemptions=2, recomputed_tokens=7)


def summary(settings: Settings, *steps: StepRecord) -> Point:
    trace = Trace(
        requests=(CHAT_IN_TIME, CHAT_LATE, NIGHT),
        steps=steps or (STEP,),
        window=Window(start_s=0.0, end_s=10.0),
        outcome="completed",
    )
    return summarize(settings, trace, LEVELS)


def test_latency_and_throughput_are_of_the_class_alone(make_settings: MakeSettings) -> None:
    figures = summary(make_settings()).figures
    assert figures["chat.mean_e2e_ms"] == pytest.approx(2500)
    assert figures["night.mean_e2e_ms"] == pytest.approx(6000)
    assert figures["chat.output_tokens_per_s"] == pytest.approx(0.2)
    assert figures["output_tokens_per_s"] == pytest.approx(0.3)


def test_attainment_is_by_the_classes_own_limits(make_settings: MakeSettings) -> None:
    figures = summary(make_settings()).figures
    assert figures["chat.sla_attainment"] == 0.5
    assert figures["night.sla_attainment"] is None, "it has no limit"
    assert figures["sla_attainment"] == 0.5, "of those that have one"


def test_the_longest_wait_counts_the_time_out_of_a_slot(make_settings: MakeSettings) -> None:
    figures = summary(make_settings()).figures
    assert figures["chat.max_wait_ms"] == pytest.approx(500)
    assert figures["night.max_wait_ms"] == pytest.approx(3500)
    assert figures["max_wait_ms"] == pytest.approx(3500)


def test_preemptions_and_what_they_cost_are_summed(make_settings: MakeSettings) -> None:
    figures = summary(make_settings()).figures
    assert (figures["night.num_preemptions"], figures["night.recomputed_tokens"]) == (2, 7)
    assert (figures["chat.num_preemptions"], figures["num_preemptions"]) == (0, 2)


def test_steps_that_serve_all_classes_are_no_figure_of_one(make_settings: MakeSettings) -> None:
    figures = summary(make_settings()).figures
    assert figures["mean_batch_size"] == 2
    assert figures["chat.mean_batch_size"] is None


def test_separate_engines_add_up_their_batches_and_share_the_device(
    make_settings: MakeSettings,
) -> None:
    limits = {
        name: {"max_batch_size": size, "device_share": share}
        for name, size, share in (("chat", 4, 0.25), ("night", 8, 0.75))
    }
    settings = make_settings(arrangement="separate", class_batching=json.dumps(limits))
    chat = replace(STEP, engine="chat", duration_s=2.0, batch_size=1)
    night = replace(STEP, engine="night", duration_s=10.0, batch_size=5)
    figures = summary(settings, chat, night).figures
    assert figures["busy_fraction"] == pytest.approx(0.25 * 0.2 + 0.75 * 1.0)
    assert figures["mean_batch_size"] == pytest.approx(6)
    assert figures["batch_occupancy"] == pytest.approx(6 / 12)
    assert figures["chat.mean_batch_size"] == pytest.approx(1)
    assert figures["chat.batch_occupancy"] == pytest.approx(1 / 4)


def test_a_point_has_a_row_for_all_and_one_for_each_class(make_settings: MakeSettings) -> None:
    limits = {"chat": {"max_batch_size": 2, "max_waiting_time_ms": 50.0}}
    point = summary(make_settings(arrangement="priority", class_batching=json.dumps(limits)))
    rows = point.to_rows()
    assert [row["class"] for row in rows] == ["all", "chat", "night"]
    assert [row["max_batch_size"] for row in rows] == [4, 2, 4], "a class's own, where it has one"
    assert rows[1]["mean_e2e_ms"] == point.figures["chat.mean_e2e_ms"]
    assert Point.from_rows(rows) == point


def test_one_class_is_one_row(make_settings: MakeSettings) -> None:
    trace = Trace(
        requests=(CHAT_IN_TIME,),
        steps=(STEP,),
        window=Window(start_s=0.0, end_s=10.0),
        outcome="completed",
    )
    rows = summarize(make_settings(), trace, ServiceLevels()).to_rows()
    assert [row["class"] for row in rows] == ["all"]


def test_a_class_whose_waits_rise_overloads_the_trial(make_settings: MakeSettings) -> None:
    # chat, most of the traffic, is served at once; each night request waits longer than the last
    chat = [
        record(i, "chat", 0.0, arrival_s=i * 0.01, admitted_s=i * 0.01, finished_s=i * 0.01 + 1e-3)
        for i in range(3000)
    ]
    night = [
        record(3000 + i, "night", 0.0, arrival_s=i * 0.6, admitted_s=i * 1.2, finished_s=i * 1.2)
        for i in range(50)
    ]
    trace = Trace(
        requests=(*chat, *night),
        steps=(replace(STEP, duration_s=0.1),),
        window=Window(start_s=0.0, end_s=30.0),
        outcome="completed",
    )
    point = summarize(make_settings(load_kind="poisson"), trace, LEVELS)
    assert point.verdict == "overloaded"
    assert point.reason.startswith("class night: served 50% of what arrived")


def test_limits_come_from_the_classes_of_a_scenario() -> None:
    levels = service_levels({"classes": {"chat": {"latency_sla_ms": 500, "ttft_sla_ms": 90}}})
    assert levels.of("chat") == SlaLimits(e2e_s=0.5, ttft_s=0.09)
    assert levels.of("other") == SlaLimits()
