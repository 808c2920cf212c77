"""From the batching section of a scenario to every configuration it stands for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

from paretobench.core.controllers import (
    AimdController,
    Controller,
    ModelController,
    ThresholdController,
)
from paretobench.core.units import to_s
from paretobench.core.values import BatchingConfig, ClassBatching
from paretobench.scenario import Scenario
from paretobench.scenario.batching import Aimd, ControllerSection, ModelFit, Threshold
from paretobench.scenario.classes import TrafficClass


def batching_configs(scenario: Scenario) -> list[BatchingConfig]:
    """Return the product of everything that stands in a list.

    Settings that do not act on a configuration (a wait on the adaptive policy, aging without
    priorities) are left out of it, and of configurations that are then the same one is kept.
    """
    batching = scenario.batching
    configs: list[BatchingConfig] = []
    for policy, size, wait_ms, kv_tokens, prefill_tokens, arrangement in itertools.product(
        batching.policy,
        batching.max_batch_size,
        batching.max_waiting_time_ms,
        batching.kv_budget_tokens,
        batching.max_prefill_tokens_per_step,
        batching.arrangement,
    ):
        if policy == "adaptive" and size < max(batching.max_batch_size):
            continue  # its limit moves between 1 and the largest
        plain = BatchingConfig(
            policy=policy,
            max_batch_size=size,
            max_waiting_time_s=0.0 if policy == "adaptive" else to_s(wait_ms),
            kv_budget_tokens=kv_tokens,
            max_prefill_tokens_per_step=prefill_tokens,
        )
        for controller in _controllers(scenario) if policy == "adaptive" else (None,):
            one = replace(plain, controller=controller)
            match arrangement:
                case "shared":
                    configs += _shared(scenario, one)
                case "priority":
                    configs += _priority(scenario, one)
                case "separate":
                    configs += _separate(scenario, one)
    return list(dict.fromkeys(configs))


def _shared(scenario: Scenario, plain: BatchingConfig) -> Iterator[BatchingConfig]:
    if not scenario.classes:
        yield plain
        return
    for mixes in scenario.batching.mix_classes:
        yield replace(plain, mix_classes=mixes)


def _priority(scenario: Scenario, plain: BatchingConfig) -> Iterator[BatchingConfig]:
    batching = scenario.batching
    for classes, mixes, aging_ms, preemption in itertools.product(
        _class_batchings(scenario.classes),
        batching.mix_classes,
        batching.aging_ms,
        batching.preemption,
    ):
        preempts = plain.policy == "continuous" and preemption != "none"
        yield replace(
            plain,
            arrangement="priority",
            max_waiting_time_s=0.0,  # each class has its own
            classes=classes,
            mix_classes=mixes,
            aging_s=None if aging_ms is None else to_s(aging_ms),
            preemption=preemption if preempts and preemption != "none" else None,
        )


def _separate(scenario: Scenario, plain: BatchingConfig) -> Iterator[BatchingConfig]:
    for classes in _class_batchings(scenario.classes):
        yield replace(
            plain,
            arrangement="separate",
            max_batch_size=sum(c.max_batch_size for c in classes),
            max_waiting_time_s=0.0,
            classes=classes,
        )


def _class_batchings(classes: Mapping[str, TrafficClass]) -> Iterator[tuple[ClassBatching, ...]]:
    """Yield the product over the classes of their sizes and waits, highest priority first."""
    order = sorted(classes, key=lambda name: -classes[name].rank)
    per_class = []
    for name in order:
        section = classes[name]
        assert section.batching is not None, "the scenario checks it"
        per_class.append(
            [
                ClassBatching(
                    name=name,
                    max_batch_size=size,
                    max_waiting_time_s=to_s(wait_ms),
                    priority=section.rank,
                    device_share=section.device_share or 1 / len(classes),
                )
                for size, wait_ms in itertools.product(
                    section.batching.max_batch_size, section.batching.max_waiting_time_ms
                )
            ]
        )
    yield from itertools.product(*per_class)


def _controllers(scenario: Scenario) -> Iterator[Controller]:
    for section in scenario.batching.controller:
        assert section is not None, "the scenario checks it"
        yield _controller(section, section.latency_sla_ms or scenario.sla.e2e_ms)


def _controller(section: ControllerSection, latency_sla_ms: float | None) -> Controller:
    assert latency_sla_ms is not None, "the scenario checks it"
    sla_s = to_s(latency_sla_ms)
    constants = section.model_dump(exclude={"kind", "latency_sla_ms"})
    match section:
        case Threshold():
            return ThresholdController(latency_sla_s=sla_s, **constants)
        case Aimd():
            return AimdController(latency_sla_s=sla_s, **constants)
        case ModelFit():
            return ModelController(latency_sla_s=sla_s, **constants)
