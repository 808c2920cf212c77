"""Synthetic run folders: a plausible batch and queue model, a manifest and a points.csv."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paretobench import SCHEMA_VERSION
from paretobench.core.hashing import content_hash
from paretobench.core.metrics import METRICS
from paretobench.core.points import POINT_COLUMNS, Point, Settings

GOALS = {
    "chat": {
        "maximize": "output_tokens_per_s",
        "minimize": None,
        "subject_to": {"p95_e2e_ms": 500.0},
    },
    "overnight": {"maximize": "output_tokens_per_s", "minimize": None, "subject_to": {}},
}
WORKLOAD = "prompt 64, output 32"


def make_point(
    *,
    batch: int,
    wait_ms: float = 0.0,
    utilisation: float | None = None,  # None: a closed loop of `batch` clients
    kind: str = "poisson",
    step_ms: float = 9.0,
    row_ms: float = 0.45,
    tokens: int = 32,
    capacity: float | None = None,
    workload: str = WORKLOAD,
    variant: str | None = None,
    repeat: int = 0,
    gpu: bool = False,
    verdict: str | None = None,
    reason: str | None = None,
    kv_budget_tokens: int | None = None,
    **figures: float | None,
) -> Point:
    """Return what a serving loop of affine step times would roughly measure."""
    base = tokens * (step_ms + row_ms * batch)
    noise = 1 + 0.015 * math.sin(7 * batch + wait_ms + 3 * repeat)
    if capacity is None:
        capacity = 64 / (tokens * (step_ms + row_ms * 64)) * 1e3
    own = batch / base * 1e3
    if utilisation is None:
        load, load_kind, rate, fraction = f"closed loop ×{batch}", "closed_loop", None, None
        served, queue, mean_batch = own, 0.02 * base, float(batch)
        overloaded = False
    else:
        rate, fraction = utilisation * capacity, utilisation
        load, load_kind = f"{kind} {utilisation:.0%} of capacity", kind
        overloaded = rate > 0.97 * own
        served = min(rate, own)
        share = min(rate / own, 0.97)
        mean_batch = max(1.0, min(batch, batch * share + wait_ms * rate / 2000))
        queue = 0.5 * base * share / (1 - share) + min(wait_ms, 500 * batch / rate) / 2
        queue = 20 * base + 50 * batch if overloaded else queue
    e2e = (queue + tokens * (step_ms + row_ms * mean_batch)) * noise
    spread = {"mean": 1.0, "p50": 0.96, "p90": 1.3, "p95": 1.45, "p99": 1.8}
    values: dict[str, float | None] = dict.fromkeys(METRICS)
    for name, factor in spread.items():
        values[f"{name}_e2e_ms"] = e2e * factor
        values[f"{name}_queue_ms"] = queue * factor
        values[f"{name}_ttft_ms"] = (queue + step_ms * 2) * factor
        values[f"{name}_tpot_ms"] = step_ms * factor
        values[f"{name}_itl_ms"] = step_ms * factor
    values |= {
        "output_tokens_per_s": served * tokens * noise,
        "total_tokens_per_s": served * 3 * tokens * noise,
        "requests_per_s": served * noise,
        "mean_batch_size": mean_batch,
        "batch_occupancy": mean_batch / batch,
        "busy_fraction": min(1.0, served / own),
        "window_s": 30.0,
        "num_measured": max(32, 6 * batch),
        "num_failed": 0,
    }
    if gpu:
        full = math.log2(2 * batch) / 9
        values |= {
            "gpu_util_pct": 92 + 6 * full,
            "sm_util_pct": 20 + 70 * full,
            "tensor_util_pct": 55 * full**2,
            "dram_util_pct": 62 + 10 * full,
            "mean_power_w": 250 + 350 * full,
            "tokens_per_joule": served * tokens / (250 + 350 * full),
        }
    values |= figures
    if verdict in ("out_of_memory", "failed"):
        values = dict.fromkeys(METRICS)
    verdict = verdict or ("overloaded" if overloaded else "valid")
    because = "served 71% of what arrived, and waits rose throughout" if overloaded else ""
    identity = f"{variant} {workload} {load} {batch} {wait_ms} {kv_budget_tokens}"
    return Point(
        settings=Settings(
            trial_id=content_hash(f"{identity} {repeat}"),
            configuration_id=content_hash(identity),
            variant=variant,
            workload=workload,
            policy="static",
            max_batch_size=batch,
            max_waiting_time_ms=float(wait_ms),
            kv_budget_tokens=kv_budget_tokens,
            max_prefill_tokens_per_step=None,
            load=load,
            load_kind=load_kind,
            concurrency=batch if utilisation is None else None,
            offered_requests_per_s=rate,
            fraction_of_capacity=fraction,
            repeat=repeat,
            seed=repeat,
        ),
        figures=values,
        low_percentiles=("p95_e2e_ms", "p99_e2e_ms") if batch < 16 else ("p99_e2e_ms",),
        verdict=verdict,  # type: ignore[arg-type]
        reason=because if reason is None else reason,
    )


LIMITS = {"chat": (8, 50.0, 2, 0.5), "bulk": (32, 1000.0, 0, 0.5)}


def make_mixed_point(
    *,
    policy: str = "static",
    arrangement: str = "shared",
    mixes: bool = True,
    classes: dict[str, dict[str, float | None]] | None = None,
    batch: int = 32,
    settings: dict[str, Any] | None = None,
    **look: Any,
) -> Point:
    """Return a point of mixed traffic; `classes` gives figures of each class, others are made up.

    Under arrangements other than shared the classes are batched by LIMITS.
    """
    plain = make_point(batch=batch, utilisation=look.pop("utilisation", 0.5), **look)
    figures = dict(plain.figures)
    made_up = {"chat": 0.2, "bulk": 1.5}
    for name, own in (classes or {"chat": {}, "bulk": {}}).items():
        scale = made_up.get(name, 1.0) * (1.0 if policy == "static" else 0.5)
        for metric in METRICS:
            value = plain.figures[metric]
            if metric.endswith("_ms") and value is not None:
                value *= scale
            figures[f"{name}.{metric}"] = own.get(metric, value)
    with_own = json.dumps(
        {
            name: dict(
                zip(
                    ("max_batch_size", "max_waiting_time_ms", "priority", "device_share"),
                    limits,
                    strict=True,
                )
            )
            for name, limits in LIMITS.items()
        }
    )
    changed: dict[str, Any] = {
        "policy": policy,
        "arrangement": arrangement,
        "mix_classes": mixes,
        "class_batching": None if arrangement == "shared" else with_own,
        **(settings or {}),
    }
    identity = content_hash({**changed, "plain": plain.settings.configuration_id})
    return replace(
        plain,
        figures=figures,
        settings=replace(plain.settings, trial_id=identity, configuration_id=identity, **changed),
    )


def mixed_manifest(**scenario: Any) -> dict[str, Any]:
    """Return what write_run needs of mixed traffic: a chat class with an SLA and a bulk class."""
    facts = {"stated_mean": 8.0, "mean": 8.0, "cv": 0.0, "max": 8, "share_capped": 0.0}
    return {
        "objectives": {"throughput": "bulk.output_tokens_per_s", "latency": "chat.p95_e2e_ms"},
        "goals": {
            "mixed": {
                "maximize": "bulk.output_tokens_per_s",
                "minimize": None,
                "subject_to": {"chat.p95_e2e_ms": 500.0},
            }
        },
        "sections": {
            "classes": {
                "chat": {"share": 0.9, "priority": "high", "latency_sla_ms": 500.0},
                "bulk": {"share": 0.1, "priority": "low", "latency_sla_ms": None},
            },
            **scenario,
        },
        "workloads": [
            {
                "workload": WORKLOAD,
                "class": name,
                "share": share,
                "prompt_tokens": facts,
                "output_tokens": {**facts, "mean": mean},
            }
            for name, share, mean in (("chat", 0.9, 8.0), ("bulk", 0.1, 256.0))
        ],
    }


def sweep_points(
    batches: Sequence[int] = (1, 4, 16, 64),
    waits: Sequence[float] = (0, 50, 200),
    loads: Sequence[float | None] = (None, 0.5, 0.8),
    repeats: int = 1,
    **look: Any,
) -> list[Point]:
    return [
        make_point(batch=b, wait_ms=w, utilisation=u, repeat=r, **look)
        for u in loads
        for b in batches
        for w in waits
        for r in range(repeats)
    ]


def write_run(
    path: Path,
    points: Sequence[Point],
    *,
    name: str = "quickstart",
    goals: dict[str, Any] | None = None,
    objectives: dict[str, str] | None = None,
    provenance: dict[str, Any] | str | None = "cpu",
    state: str = "complete",
    model: str = "nano",
    variants: Sequence[str] = (),
    sections: dict[str, Any] | None = None,
    **manifest: Any,
) -> Path:
    """Write a committed run folder: a manifest and a points.csv, no raw files."""
    path.mkdir(parents=True, exist_ok=True)
    content = {
        "schema_version": SCHEMA_VERSION,
        "paretobench_version": "0.1.0",
        "name": name,
        "scenario": {
            "name": name,
            "description": "",
            "model": [{"preset": model, "name": name} for name in variants] or {"preset": model},
            "runner": None,
            "objectives": objectives
            or {"throughput": "output_tokens_per_s", "latency": "p95_e2e_ms"},
            "operating_points": GOALS if goals is None else goals,
            "measure": {"seed": 0, "repeats": 1},
            "sla": {"e2e_ms": None, "ttft_ms": None, "tpot_ms": None},
            **(sections or {}),
        },
        "scenario_hash": "0123456789ab",
        "state": state,
        "created_at": "2026-01-01T00:00:00+00:00",
        "finished_at": "2026-01-01T00:10:00+00:00",
        "provenance": PROVENANCES[provenance] if isinstance(provenance, str) else provenance,
        "capacity": {
            WORKLOAD: {"requests_per_s": 53.0, "output_tokens_per_s": 1696.0, "max_batch_size": 64}
        },
        "workloads": [
            {
                "workload": WORKLOAD,
                "prompt_tokens": {
                    "stated_mean": 64.0, "mean": 63.1, "cv": 0.42, "max": 200, "share_capped": 0.01,
                },
                "output_tokens": {
                    "stated_mean": None, "mean": 32.0, "cv": 0.0, "max": 32, "share_capped": 0.0,
                },
            }
        ],
        "trials": [
            {
                "trial_id": p.settings.trial_id,
                "label": p.settings.load,
                "repeat": p.settings.repeat,
                "state": "done",
                "verdict": p.verdict,
                "reason": p.reason,
            }
            for p in points
        ],
        **manifest,
    }  # fmt: skip
    (path / "manifest.json").write_text(json.dumps(content))
    with (path / "points.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(POINT_COLUMNS)
        for point in points:
            for row in point.to_rows():
                writer.writerow(["" if row[c] is None else row[c] for c in POINT_COLUMNS])
    return path


_HOST = {
    "cpu": "AMD EPYC 7763", "cores": 8, "memory_bytes": 2**35, "os": "Linux", "python": "3.11.9",
}  # fmt: skip
_PACKAGE = {"version": "0.1.0", "git_commit": "1a2b3c4d5e6f7a8b", "git_dirty": True}
PROVENANCES: dict[str, dict[str, Any]] = {
    "cpu": {
        "system": {
            "kind": "torch", "simulated": False,
            "model": "nano (18.9 M parameters, random weights)",
            "device": "cpu", "device_name": "AMD EPYC 7763 64-Core Processor", "dtype": "float32",
            "attention_backend": "sdpa", "torch": "2.11.0", "cuda": None, "transformers": "5.17.0",
            "threads": 8, "environment": {"OMP_NUM_THREADS": "8"},
        },
        "gpus": [],
        "host": _HOST,
        "package": _PACKAGE,
        "seeds": {"measure": 0, "model": 0},
    },
    "h200": {
        "system": {
            "kind": "torch", "simulated": False,
            "model": "llama-3.1-8b (8.0 B parameters, random weights)", "device": "cuda:0",
            "device_name": "NVIDIA H200", "dtype": "bfloat16", "attention_backend": "flash",
            "torch": "2.11.0", "cuda": "12.8", "transformers": "5.17.0", "threads": 16,
            "environment": {},
        },
        "gpus": [
            {
                "index": 0, "name": "NVIDIA H200", "uuid": "GPU-0", "driver": "575.51",
                "memory_bytes": 150_000_000_000, "other_processes": ["4242 python"],
            }
        ],
        "host": _HOST,
        "package": {**_PACKAGE, "git_dirty": False},
        "seeds": {"measure": 0, "model": 0},
    },
}  # fmt: skip


@pytest.fixture
def point() -> Callable[..., Point]:
    return make_point


@pytest.fixture
def mixed() -> Callable[..., Point]:
    return make_mixed_point


@pytest.fixture
def mixed_about() -> Callable[..., dict[str, Any]]:
    return mixed_manifest


@pytest.fixture
def sweep() -> Callable[..., list[Point]]:
    return sweep_points


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Write a run folder of the given points under tmp_path."""

    def make(points: Sequence[Point], *, folder: str = "run", **about: Any) -> Path:
        return write_run(tmp_path / folder, points, **about)

    return make
