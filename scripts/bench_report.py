"""How long `paretobench report` takes on a large run: a million requests, figures included.

Makes a run folder of static batches under Poisson arrivals (20 configurations of 50,000 requests of
20 tokens each, and one of a single trial of 1,000,000), through the real writer, and runs the
command on it in a process of its own. Prints its seconds and its peak memory; exits with 1 beyond
20 s or 2 GiB a million requests.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from paretobench.analysis.counts import count_model
from paretobench.analysis.metrics import summarize
from paretobench.analysis.sla import service_levels
from paretobench.core.ceilings import Ceiling, Ceilings
from paretobench.core.columns import (
    Columns,
    Floats,
    Ints,
    Lists,
    RequestColumns,
    StepColumns,
    Texts,
    column_of,
    shapes_of,
)
from paretobench.core.points import Settings
from paretobench.core.values import BatchingConfig, TelemetrySample, Trace, Trial, Window
from paretobench.core.workloads import ArrivalProcess, FixedLength, WorkloadSpec
from paretobench.results import RunWriter

LIMIT_S = 20.0
LIMIT_BYTES = 2 * 2**30
PROMPT_TOKENS, OUTPUT_TOKENS = 32, 20
STEP_S, STEP_PER_ROW_S = 5e-3, 1e-4
SIZES = (4, 8, 16, 32, 64)
LOADS = (0.3, 0.5, 0.7, 0.85)  # of the capacity
SCENARIO: dict[str, Any] = {
    "name": "large",
    "model": {"preset": "large"},
    "sla": {"e2e_ms": 2000, "tpot_ms": 50},
    "measure": {"seed": 0, "requests": 0},
    "operating_points": {
        "chat": {"maximize": "output_tokens_per_s", "subject_to": {"p95_e2e_ms": 2000}},
        "batch": {"maximize": "output_tokens_per_s", "subject_to": {}},
    },
}
MODEL = {
    "model_type": "llama",
    "hidden_size": 512,
    "num_hidden_layers": 8,
    "vocab_size": 32_000,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 1536,
}


def trial_of(size: int, load: float, num_requests: int, seed: int) -> Trial:
    capacity = size / (OUTPUT_TOKENS * (STEP_S + STEP_PER_ROW_S * size))
    return Trial(
        batching=BatchingConfig(policy="static", max_batch_size=size, max_waiting_time_s=600.0),
        load=ArrivalProcess(kind="poisson", requests_per_s=load * capacity),
        workload=WorkloadSpec(
            prompt_tokens=FixedLength(value=PROMPT_TOKENS),
            output_tokens=FixedLength(value=OUTPUT_TOKENS),
        ),
        num_requests=num_requests,
        num_warmup=0,
        min_duration_s=0.0,
        timeout_s=1e9,
        repeat=0,
        seed=seed,
    )


def trace_of(trial: Trial, rng: np.random.Generator) -> Trace:
    """Return a trial in which every batch waits until it is full, and for the one before it."""
    size = trial.batching.max_batch_size
    assert isinstance(trial.load, ArrivalProcess)
    batches = trial.num_requests // size
    num = batches * size
    arrival_s = np.cumsum(rng.exponential(1 / trial.load.requests_per_s, num))
    steps_s = STEP_S + STEP_PER_ROW_S * size * np.exp(0.1 * rng.standard_normal((batches, 20)))
    taken_s = steps_s.sum(axis=1)
    before_s = np.cumsum(taken_s) - taken_s
    start_s = before_s + np.maximum.accumulate(arrival_s[size - 1 :: size] - before_s)
    ends_s = start_s[:, None] + np.cumsum(steps_s, axis=1)  # [batches, tokens]
    return Trace(
        requests=requests_of(arrival_s, start_s, ends_s, size),
        steps=steps_of(start_s, ends_s, size),
        window=Window(start_s=0.0, end_s=float(ends_s[-1, -1])),
        outcome="completed",
        started_monotonic_s=0.0,
        telemetry=tuple(
            TelemetrySample(t_s=float(t_s), cpu_util_pct=50.0, cpu_steal_pct=0.0)
            for t_s in np.arange(0.0, ends_s[-1, -1], 1.0)
        ),
    )


def requests_of(arrival_s: Floats, start_s: Floats, ends_s: Floats, size: int) -> RequestColumns:
    num = arrival_s.size
    token_s = np.repeat(ends_s, size, axis=0)  # [requests, tokens]
    lengths = np.full(num, OUTPUT_TOKENS)
    # seen at once, or as soon as the step that ran when it came had ended
    edges = np.concatenate((start_s[:, None], ends_s), axis=1).ravel()
    place = np.searchsorted(edges, arrival_s)
    is_busy = (place % (OUTPUT_TOKENS + 1) > 0) & (place < edges.size)
    return RequestColumns(
        **defaults(RequestColumns, num)
        | {
            "request_id": np.arange(num),
            "class_name": same("default", num),
            "arrival_s": arrival_s,
            "prompt_tokens": np.full(num, PROMPT_TOKENS),
            "output_tokens": lengths,
            "measured": np.ones(num, dtype=bool),
            "admitted_s": np.repeat(start_s, size),
            "first_token_s": token_s[:, 0].copy(),
            "finished_s": token_s[:, -1].copy(),
            "status": same("finished", num),
            "taken_in_s": np.where(is_busy, edges[place.clip(max=edges.size - 1)], arrival_s),
            "token_times_s": Lists(token_s.ravel(), np.arange(num) * OUTPUT_TOKENS, lengths),
        }
    )


def steps_of(start_s: Floats, ends_s: Floats, size: int) -> StepColumns:
    num = ends_s.size
    began_s = np.concatenate((start_s[:, None], ends_s[:, :-1]), axis=1).ravel()
    number = np.tile(np.arange(OUTPUT_TOKENS), len(start_s))
    is_first = number == 0

    def counts(first: int, later: int | Ints) -> Ints:
        return np.where(is_first, first, later)

    phase = Texts(np.where(is_first, 0, 1).astype(np.int32), ("prefill", "decode"))
    reason = Texts(np.where(is_first, 0, -1).astype(np.int32), ("full",))
    cached = size * (PROMPT_TOKENS + number)
    return StepColumns(
        **defaults(StepColumns, num)
        | {
            "phase": phase,
            "start_s": began_s,
            "duration_s": ends_s.ravel() - began_s,
            "batch_size": np.full(num, size),
            "joined": counts(size, 0),
            "decode_rows": counts(0, size),
            "prompt_tokens": counts(size * PROMPT_TOKENS, 0),
            "new_tokens": np.full(num, size),
            "kv_tokens": cached,
            "padded_tokens": np.zeros(num, dtype=np.int64),
            "queue_depth": np.zeros(num, dtype=np.int64),
            "close_reason": reason,
            "num_prompts": counts(size, 0).astype(float),
            "decode_kv_tokens": counts(0, cached).astype(float),
        }
    )


def same(text: str, num: int) -> Texts:
    return Texts(np.zeros(num, dtype=np.int32), (text,))


def defaults(kind: type[Columns[Any]], num: int) -> dict[str, Any]:
    """Return columns of what stands in a record where nothing is said."""
    nothing: dict[type, Any] = {str: None, float: 0.0, int: 0, bool: False}
    found = {
        name: column_of([None if shape.is_optional else nothing[shape.base]] * num, shape)
        for name, shape in shapes_of(kind.kind).items()
        if not shape.is_listed
    }
    return found | ({"num_steps": np.ones(num, dtype=np.int64)} if "num_steps" in found else {})


def make_run(path: Path, trials: list[Trial], seed: int) -> int:
    """Write the run folder; return how many requests it holds."""
    writer = RunWriter.create(path, name="large", scenario=SCENARIO, scenario_hash="bench")
    rng = np.random.default_rng(seed)
    rates = (("read_bandwidth", "float32", 1e12), ("matmul", "float32", 1e14))
    rows = tuple(
        Ceiling(quantity=q, dtype=d, method="", shape="", unit="1/s", per_s=r, best_per_s=r)  # type: ignore[arg-type]
        for q, d, r in rates
    )
    ceilings = Ceilings(system={"device": "cpu"}, rows=rows).to_dict()
    writer.manifest["conditions"] = {
        "loop_cost_us": {"1": 5.0, "64": 30.0},
        "ceilings_before": ceilings,
        "ceilings_after": ceilings,
        "counts": {"": asdict(count_model(MODEL, dtype="float32"))},
    }
    writer.plan(trials)
    num = 0
    for trial in trials:
        trace = trace_of(trial, rng)
        num += len(trace.requests)
        point = summarize(Settings.of(trial), trace, service_levels(SCENARIO))
        writer.add_trial(trace, point)
    writer.finish("complete")
    writer.close()
    return num


def report(path: Path, repeats: int) -> tuple[float, float]:
    """Return the seconds, by the clock and of the processor, that the command takes at best."""
    found = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        begin_s = time.monotonic()
        command = [sys.executable, "-m", "paretobench", "report", str(path)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append((time.monotonic() - begin_s, used_s))
    return min(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=1, help="the best counts [default: 1]")
    parser.add_argument("--keep", type=Path, help="folder to leave the runs in [default: none]")
    args = parser.parse_args()
    grid = [(size, load) for size in SIZES for load in LOADS]
    shares = {
        f"{len(grid)} trials": [
            trial_of(size, load, args.requests // len(grid), seed)
            for seed, (size, load) in enumerate(grid)
        ],
        "one trial": [trial_of(16, 0.7, args.requests, 0)],
    }
    is_over = False
    with tempfile.TemporaryDirectory() as temporary:
        for name, trials in shares.items():
            path = (args.keep or Path(temporary)) / name.replace(" ", "_")
            num = make_run(path, trials, seed=0)
            taken_s, used_s = report(path, args.repeats)
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024  # of any so far
            millions = num / 1e6
            print(
                f"{name}: {num:,} requests, {num * OUTPUT_TOKENS:,} tokens: {taken_s:.1f} s "
                f"({used_s:.1f} s of the processor), {peak / 2**30:.2f} GiB at most; "
                f"{taken_s / millions:.1f} s a million (limits {LIMIT_S:g} s, "
                f"{LIMIT_BYTES / 2**30:g} GiB)",
                flush=True,
            )
            is_over |= taken_s > LIMIT_S * max(millions, 1) or peak > LIMIT_BYTES
    raise SystemExit(is_over)


if __name__ == "__main__":
    main()
