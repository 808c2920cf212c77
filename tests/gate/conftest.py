"""Sides made by hand: what every run measured is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from paretobench.core.metrics import METRICS
from paretobench.core.points import Point, Settings
from paretobench.gate.sides import SideRuns
from paretobench.gate.values import Side, SideName
from paretobench.report.model import assemble
from paretobench.results.reader import RunFolder

SYSTEM: dict[str, Any] = {
    "kind": "torch",
    "model": "nano (18.9 M parameters, random weights)",
    "dtype": "bfloat16",
    "backend": "fused",
    "attention_backend": "triton",
    "cuda_graphs": 8,
    "device": "cuda:0",
    "device_name": "NVIDIA H100",
    "gpu_uuid": "GPU-1",
    "torch": "2.13.0",
    "cuda": "13.0",
    "threads": 8,
    "simulated": False,
}
GPU = {"uuid": "GPU-1", "driver": "580.10", "cuda_driver": "13.0", "power_limit_w": 700.0}
HOST = {"cpu": "AMD EPYC", "cores": 16}
SCENARIO: dict[str, Any] = {
    "name": "small",
    "model": {"name": None, "preset": "nano"},
    "objectives": {
        "throughput": "output_tokens_per_s",
        "latency": "p95_e2e_ms",
        "latency_cap": 1000.0,
    },
    "operating_points": {
        "chat": {"maximize": "output_tokens_per_s", "subject_to": {"p95_e2e_ms": 200.0}}
    },
}


def manifest(**changes: Any) -> dict[str, Any]:
    """Return a manifest of a measured run; `system`, `gpu`, `host` change what it ran on."""
    parts = {name: changes.pop(name, {}) for name in ("system", "gpu", "host")}
    return {
        "schema_version": 1,
        "name": "small",
        "scenario": SCENARIO,
        "state": "complete",
        "created_at": "2026-01-01T10:00:00+00:00",
        "finished_at": "2026-01-01T10:05:00+00:00",
        "provenance": {
            "system": SYSTEM | parts["system"],
            "gpus": [GPU | parts["gpu"]],
            "host": HOST | parts["host"],
        },
        "trials": [],
        **changes,
    }


def point(
    batch: int,
    throughput: float,
    latency: float,
    *,
    p50: float | None = None,
    verdict: str = "valid",
    reason: str = "",
    **settings: Any,
) -> Point:
    """Return a run of a batch size under a closed loop; `seed` decides its schedule."""
    seed = settings.pop("seed", 1)
    of_settings: dict[str, Any] = {
        "trial_id": f"t{batch}-{seed}",
        "configuration_id": f"c{batch}",
        "workload": "prompt 32, output 8–32",
        "policy": "static",
        "max_batch_size": batch,
        "max_waiting_time_ms": 0.0,
        "kv_budget_tokens": None,
        "max_prefill_tokens_per_step": None,
        "load": "closed loop ×3",
        "load_kind": "closed_loop",
        "concurrency": 3,
        "offered_requests_per_s": None,
        "fraction_of_capacity": None,
        "repeat": seed,
        "seed": seed,
        "schedule_id": f"s{batch}-{seed}",
        **settings,
    }
    figures: dict[str, float | None] = dict.fromkeys(METRICS)
    figures |= {"output_tokens_per_s": throughput, "p95_e2e_ms": latency, "p50_e2e_ms": p50 or 10.0}
    return Point(
        settings=Settings(**of_settings),
        figures=figures,
        low_percentiles=(),
        verdict=verdict,  # type: ignore[arg-type]
        reason=reason,
    )


def side(
    name: SideName,
    rounds: Sequence[Sequence[Point]],
    manifests: Sequence[dict[str, Any]] | None = None,
) -> SideRuns:
    """Return a side whose i-th run measured `rounds[i]`."""
    path = Path(name)
    runs = tuple(
        RunFolder(path=path / f"pair-{i + 1}", manifest=content)
        for i, content in enumerate(manifests or [manifest() for _ in rounds])
    )
    report = assemble(runs[0], [p for of_round in rounds for p in of_round])
    return SideRuns(
        side=Side(name=name, path=path, runs=runs, report=report),
        names=tuple(run.path.name for run in runs),
        points=tuple(map(tuple, rounds)),
    )


@pytest.fixture
def make_manifest() -> Callable[..., dict[str, Any]]:
    return manifest


@pytest.fixture
def make_point() -> Callable[..., Point]:
    return point


@pytest.fixture
def make_side() -> Callable[..., SideRuns]:
    return side
