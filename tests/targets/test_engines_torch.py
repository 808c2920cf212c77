"""Engines of a real model, each on threads of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from paretobench.scenario import Scenario
from paretobench.scenario.systems import Model
from paretobench.sweep.plan import plan_trials
from paretobench.targets.engine_workers import EngineWorkers
from paretobench.targets.engines import planned_engines
from paretobench.targets.messages import Open


@pytest.mark.slow
def test_a_model_serves_two_classes_on_an_engine_each(
    mixed_scenario: Callable[..., Scenario],
) -> None:
    pytest.importorskip("torch")
    trials = plan_trials(mixed_scenario(load={"kind": "constant", "requests_per_s": 20}))
    trial = next(t for t in trials if t.batching.arrangement == "separate")
    engines = EngineWorkers(
        Open(
            system=Model(preset="nano", device="cpu", compile=False),
            batch_sizes=(8,),
            max_request_tokens=32,
            max_prompt_tokens=16,
        ),
        planned_engines([trial]),
        device="cpu",
        environment={"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},
        open_timeout_s=120.0,
    )
    try:
        engines.open()
        trace = engines.measure(trial, timeout_s=60.0)
    finally:
        engines.close()
    assert trace.outcome == "completed"
    assert {step.engine for step in trace.steps} == {"chat", "bulk"}
    measured = [r for r in trace.requests if r.measured]
    assert len(measured) == 20
    assert all(len(r.token_times_s) == r.output_tokens for r in measured)
