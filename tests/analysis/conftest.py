"""Points and records made by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from paretobench.analysis.configurations import Configuration, combine_repeats
from paretobench.core.metrics import METRICS
from paretobench.core.points import Point, Settings
from paretobench.core.values import Verdict

MakePoint = Callable[..., Point]


def _settings(**changes: object) -> Settings:
    values: dict[str, object] = {
        "trial_id": "t0",
        "configuration_id": "c0",
        "workload": "prompt 32, output 8–32",
        "policy": "static",
        "max_batch_size": 4,
        "max_waiting_time_ms": 0.0,
        "kv_budget_tokens": None,
        "max_prefill_tokens_per_step": None,
        "load": "closed loop ×4",
        "load_kind": "closed_loop",
        "concurrency": 4,
        "offered_requests_per_s": None,
        "fraction_of_capacity": None,
        "repeat": 0,
        "seed": 1,
    }
    return Settings(**{**values, **changes})  # type: ignore[arg-type]


@pytest.fixture
def make_settings() -> Callable[..., Settings]:
    return _settings


@pytest.fixture
def make_point() -> MakePoint:
    def make(
        throughput: float | None,
        latency: float | None,
        *,
        verdict: Verdict = "valid",
        reason: str = "",
        figures: dict[str, float] | None = None,
        **settings: object,
    ) -> Point:
        known: dict[str, float | None] = dict.fromkeys(METRICS)
        known |= {"output_tokens_per_s": throughput, "p95_e2e_ms": latency, **(figures or {})}
        return Point(
            settings=_settings(**settings),
            figures=known,
            low_percentiles=(),
            verdict=verdict,
            reason=reason,
        )

    return make


@pytest.fixture
def make_configuration(make_point: MakePoint) -> Callable[..., Configuration]:
    def make(throughput: float | None, latency: float | None, **more: object) -> Configuration:
        return combine_repeats([make_point(throughput, latency, **more)])[0]

    return make
