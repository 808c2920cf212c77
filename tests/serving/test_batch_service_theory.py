"""Batches that take all that wait, against the exact embedded Markov chain; and where each policy
saturates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import poisson

from paretobench.core.controllers import ModelController
from paretobench.core.step_times import StepTimes
from paretobench.core.values import BatchingConfig, ClassBatching, Trace, Trial
from paretobench.core.workloads import (
    ArrivalProcess,
    ClosedLoop,
    FixedLength,
    MixSpec,
    RequestClass,
    WorkloadSpec,
)
from paretobench.targets.simulated import SimulatedTarget

Simulate = Callable[..., Trace]
BASE_S, PER_REQUEST_S = 0.01, 0.001
TIMES = StepTimes(
    prefill_base_s=0.004,
    prefill_per_sequence_s=0.0005,
    decode_base_s=0.01,
    decode_per_sequence_s=0.0005,
)
OUTPUT = 20


def exact_means_s(rate: float) -> tuple[float, float]:
    """Return the mean wait and E2E of Poisson arrivals whose batch of b takes base + s·b.

    The chain is the size of the batch that starts: those that came during the service before, or
    the one that ends an idle time. Those that come during a service of length d wait d/2 in the
    mean, who finds the system idle not at all; renewal-reward over services makes both means.
    """
    mean = rate * BASE_S / (1 - rate * PER_REQUEST_S)
    largest = int(mean + 12 * np.sqrt(mean / (1 - rate * PER_REQUEST_S) + 4) + 30)
    sizes = np.arange(1, largest + 1)
    service_s = BASE_S + PER_REQUEST_S * sizes
    arrivals = poisson.pmf(np.arange(largest + 1)[None, :], rate * service_s[:, None])
    steps = np.hstack([arrivals[:, :1] + arrivals[:, 1:2], arrivals[:, 2:]])
    steps[:, -1] += 1 - steps.sum(axis=1)
    balance = np.vstack([steps.T - np.eye(largest), np.ones(largest)])
    law = np.linalg.lstsq(balance, np.append(np.zeros(largest), 1.0), rcond=None)[0]
    per_service = law @ sizes
    assert per_service == pytest.approx(law @ (rate * service_s + arrivals[:, 0]), rel=1e-6)
    wait_s = law @ (rate * service_s**2 / 2) / per_service
    return wait_s, wait_s + law @ (sizes * service_s) / per_service


@pytest.mark.parametrize("load", [0.1, 0.3, 0.5, 0.7, 0.8])
def test_mean_wait_and_latency_are_those_of_the_embedded_chain(
    simulate: Simulate, load: float
) -> None:
    rate = load / PER_REQUEST_S
    trace = simulate(
        ArrivalProcess(kind="poisson", requests_per_s=rate),
        StepTimes(prefill_base_s=BASE_S, prefill_per_sequence_s=PER_REQUEST_S),
        max_batch_size=4096,
        num_requests=100_000,
        num_warmup=2_000,
    )
    times_s = np.array([(r.arrival_s, r.admitted_s, r.finished_s) for r in trace.requests])
    times_s = times_s[[r.measured for r in trace.requests]].astype(float)
    found_s = (times_s[:, 1:] - times_s[:, :1]).mean(axis=0)
    # near saturation the mean follows the rate that happened to be drawn: a control variate,
    # whose own mean is known, takes that out
    assert trace.window is not None
    drawn = len(times_s) / trace.window.duration_s - rate
    above, below = np.array(exact_means_s(rate * 1.001)), np.array(exact_means_s(rate * 0.999))
    found_s -= (above - below) / (0.002 * rate) * drawn
    assert found_s == pytest.approx(np.array(exact_means_s(rate)), rel=0.01)


def saturated(config: BatchingConfig, classes: tuple[str, ...] = (), clients: int = 32) -> Trace:
    """Serve more clients than there are slots, or for separate engines arrivals far too many."""
    lengths = WorkloadSpec(
        prompt_tokens=FixedLength(value=8), output_tokens=FixedLength(value=OUTPUT)
    )
    share = 1 / max(len(classes), 1)
    mix = MixSpec(
        classes=tuple(RequestClass(name=n, share=share, lengths=lengths) for n in classes)
    )
    separate = config.arrangement == "separate"
    trial = Trial(
        batching=config,
        load=ArrivalProcess(kind="constant", requests_per_s=1000.0)
        if separate
        else ClosedLoop(concurrency=clients, start_interval_s=0.0),
        workload=mix if classes else lengths,
        num_requests=1000,
        num_warmup=100,
        min_duration_s=0.0,
        timeout_s=1e6,
        repeat=0,
        seed=1,
    )
    return SimulatedTarget(TIMES).measure(trial)


def full_rate(trace: Trace, batch_size: int, engine: str | None = None) -> float:
    """Return tokens per busy second over the steps in which every slot was taken."""
    full = [s for s in trace.steps if s.batch_size == batch_size and s.engine == engine]
    assert len(full) > 40
    return sum(s.new_tokens for s in full) / sum(s.duration_s for s in full)


def static_limit(batch_size: int) -> float:
    prefill_s = 0.004 + 0.0005 * batch_size
    return batch_size * OUTPUT / (prefill_s + (OUTPUT - 1) * (0.01 + 0.0005 * batch_size))


def plain(policy: str, batch_size: int) -> BatchingConfig:
    return BatchingConfig(policy=policy, max_batch_size=batch_size, max_waiting_time_s=0.0)


def by_class(policy: str, arrangement: str) -> BatchingConfig:
    classes = tuple(
        ClassBatching(name=n, max_batch_size=8, max_waiting_time_s=0.0, priority=p, device_share=s)
        for n, p, s in (("chat", 1, 0.75), ("bulk", 0, 0.25))
    )
    return replace(plain(policy, 8), arrangement=arrangement, classes=classes, mix_classes=True)


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_saturated_continuous_requests_of_one_length_move_as_one_batch(batch_size: int) -> None:
    # clients start together and all requests are as long: they leave and join as one batch, whose
    # prefill nobody decodes beside
    rate = full_rate(saturated(plain("continuous", batch_size)), batch_size)
    assert rate == pytest.approx(static_limit(batch_size), rel=0.01)


def test_a_saturated_adaptive_engine_comes_to_the_rate_of_its_largest_batch() -> None:
    controller = ModelController(latency_sla_s=100.0)
    trace = saturated(replace(plain("adaptive", 16), controller=controller), clients=64)
    assert full_rate(trace, 16) == pytest.approx(static_limit(16), rel=1e-9)
    produced = sum(s.new_tokens for s in trace.steps)
    assert produced / sum(s.duration_s for s in trace.steps) <= static_limit(16)


@pytest.mark.parametrize("policy", ["static", "continuous"])
def test_priorities_share_what_one_engine_can_do(policy: str) -> None:
    trace = saturated(by_class(policy, "priority"), ("chat", "bulk"))
    assert full_rate(trace, 8) == pytest.approx(static_limit(8), rel=0.01)


def test_separate_engines_saturate_at_the_sum_of_their_own_limits() -> None:
    trace = saturated(by_class("static", "separate"), ("chat", "bulk"))
    rates = [full_rate(trace, 8, engine) for engine in ("chat", "bulk")]
    assert rates == pytest.approx([0.75 * static_limit(8), 0.25 * static_limit(8)], rel=1e-9)
