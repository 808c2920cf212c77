"""Mixed traffic with an engine a class, small enough to be served in a second."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from paretobench.core.values import Trial
from paretobench.scenario import Scenario, scenario_from_mapping
from paretobench.sweep.plan import plan_trials


@pytest.fixture
def mixed_scenario() -> Callable[..., Scenario]:
    def make(**changes: Any) -> Scenario:
        data: dict[str, Any] = {
            "name": "mixed",
            "runner": {
                "kind": "latency_model",
                "prefill": {"base_ms": 1},
                "decode": {"base_ms": 2, "per_sequence_ms": 0.1},
            },
            "classes": {
                "chat": {
                    "share": 0.5,
                    "prompt_tokens": {"kind": "fixed", "value": 8},
                    "output_tokens": {"kind": "fixed", "value": 4},
                    "batching": {"max_batch_size": [2]},
                },
                "bulk": {
                    "share": 0.5,
                    "prompt_tokens": {"kind": "fixed", "value": 16},
                    "output_tokens": {"kind": "fixed", "value": 16},
                    "batching": {"max_batch_size": [4, 8]},
                },
            },
            "batching": {
                "policy": "continuous",
                "max_batch_size": 8,
                "arrangement": ["shared", "separate"],
            },
            "load": {"kind": "constant", "requests_per_s": 60},
            "measure": {"requests": 20, "warmup": 4, "timeout_s": 20, "confirm": False},
        }
        return scenario_from_mapping({**data, **changes})

    return make


@pytest.fixture
def separate_trials(mixed_scenario: Callable[..., Scenario]) -> list[Trial]:
    """Two of them: bulk in batches of 4 and of 8."""
    trials = plan_trials(mixed_scenario())
    separate = [t for t in trials if t.batching.arrangement == "separate"]
    return sorted(separate, key=lambda t: t.batching.max_batch_size)
