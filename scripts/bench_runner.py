#!/usr/bin/env python3
"""Is the runner at the limit of this device, and ahead of what transformers offers?

For one preset: decode steps at several batch sizes and prefills of several shapes, beside
`generate` with a dynamic and with a static cache and transformers' own continuous batching. All
decode the same prompts greedily, in one process, in turns; the order changes from round to round,
the first round is warm-up, and figures are medians over rounds (ratios: of the rounds' ratios).
A decode step is the median of those in which every request decodes. The limit follows from the
device's rates, measured in every round beside the steps (those of a shared machine drift by a
tenth), so a share is the median of the rounds' shares.

    GOMP_SPINCOUNT=10000 python scripts/bench_runner.py --preset mini --output-dir results/bench

Writes runner.csv, runner.png, runner.md and limits.json.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import logging
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is loaded, as in a sweep's worker

import numpy as np
import torch
from transformers import GenerationConfig, StoppingCriteria
from transformers.utils import logging as transformers_logging

from paretobench.analysis.counts import (
    ModelCounts,
    StepWork,
    count_model,
    decode_work,
    prefill_work,
)
from paretobench.analysis.limits import step_limit
from paretobench.core.ceilings import Ceilings
from paretobench.core.values import Request
from paretobench.runners.torch import TorchRunner, build_runner, launch
from paretobench.runners.torch.ceilings import CeilingBench
from paretobench.runners.torch.devices import describe_device, resolve_device, resolve_dtype
from paretobench.runners.torch.models import load_model
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.systems import Model

OURS = "paretobench"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One contender at one shape; `times_ours` is its time over ours, None for us."""

    phase: str  # decode or prefill
    contender: str
    batch_size: int
    tokens: int  # decode: the mean context; prefill: the prompt's length
    ms: float | None
    tokens_per_s: float | None
    share_of_limit: float | None
    times_ours: float | None
    rounds: int
    note: str = ""


class Times(StoppingCriteria):
    """Never stops; notes when each token was there."""

    def __init__(self, device: torch.device) -> None:
        self.at_s: list[float] = []
        self._device = device

    def __call__(self, input_ids: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        if self._device.type == "cuda":
            torch.cuda.synchronize()
        self.at_s.append(time.perf_counter())
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


class Contenders:
    """The same prompts through each; every method returns (prefill seconds, step seconds)."""

    def __init__(self, runner: TorchRunner, reference: Any, steps: int) -> None:
        self.runner = runner
        self.reference = reference
        self.device = reference.device
        self.steps = steps

    def ours(self, prompts: np.ndarray) -> tuple[float, float]:
        batch, length = prompts.shape
        requests = [
            Request(request_id=i, arrival_s=0.0, prompt_tokens=length, output_tokens=self.steps + 1)
            for i in range(batch)
        ]
        self.runner.start_trial(
            max_batch_size=batch,
            max_request_tokens=length + self.steps + 1,
            prompts=lambda request: prompts[request.request_id],
        )
        at_s = []
        begin_s = time.perf_counter()
        join: Sequence[Request] = requests
        while len(at_s) <= self.steps:  # a device may hand its tokens out a step late
            if self.runner.step(join).tokens:
                at_s.append(time.perf_counter())
            join = ()
        return at_s[0] - begin_s, median_gap(at_s)

    def generate(self, prompts: np.ndarray, cache: str | None = None) -> tuple[float, float]:
        ids = torch.from_numpy(prompts).to(self.device)
        times = Times(self.device)
        begin_s = time.perf_counter()
        self.reference.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=self.steps + 1,
            min_new_tokens=self.steps + 1,
            do_sample=False,
            stopping_criteria=[times],
            cache_implementation=cache,
        )
        at_s = times.at_s
        return at_s[0] - begin_s, median_gap(at_s)

    def generate_static(self, prompts: np.ndarray) -> tuple[float, float]:
        return self.generate(prompts, cache="static")

    def continuous(self, prompts: np.ndarray) -> tuple[float, float]:
        config = GenerationConfig(
            max_new_tokens=self.steps + 1, do_sample=False, eos_token_id=-1, pad_token_id=0
        )
        outputs = self.reference.generate_batch(
            prompts.tolist(), generation_config=config, record_timestamps=True
        )
        at_s = [output.timestamps for output in outputs.values()]
        if len(at_s) != len(prompts) or any(len(t) != self.steps + 1 for t in at_s):
            raise RuntimeError("it did not finish every request")
        begin_s = max(t[0] for t in at_s)
        inside = sorted(s for t in at_s for s in t if s >= begin_s)
        end_s = min(t[-1] for t in at_s)
        return float("nan"), median_gap([s for s in _clusters(inside) if s <= end_s])


def median_gap(at_s: Sequence[float]) -> float:
    """Return the median time between two steps: a shared machine stalls now and then."""
    return statistics.median(b - a for a, b in itertools.pairwise(at_s))


def _clusters(at_s: Sequence[float]) -> Iterator[float]:
    """Yield one time for all tokens of a step: they are stamped within a fraction of it."""
    last_s = -1.0
    for s in at_s:
        if s - last_s > 1e-3:
            yield s
        last_s = s


class Limits:
    """The device's rates, measured again for every round, and what follows from them."""

    def __init__(self, device: torch.device, counts: ModelCounts) -> None:
        self._bench = CeilingBench(device)
        self._system = describe_device(device)
        self._counts = counts
        self.measured: list[Ceilings] = []

    def measure(self) -> None:
        rows = tuple(
            self._bench.measure(case, seconds=0.25)
            for case in ("read_bandwidth", self._counts.dtype)
        )
        self.measured.append(Ceilings(system=self._system, rows=rows))

    def shares(self, work: StepWork, times_s: Sequence[float]) -> list[float]:
        """Return the shares of the limit of the last rounds, one a round."""
        limits = [
            step_limit(self._counts, ceilings, work) for ceilings in self.measured[-len(times_s) :]
        ]
        return [
            limit.share_of_limit(time_s)
            for limit, time_s in zip(limits, times_s, strict=True)
            if limit is not None
        ]

    def median(self) -> Ceilings:
        """Return the median over all rounds of each rate."""
        rows = []
        for ceilings in zip(*(c.rows for c in self.measured), strict=True):
            rates = [c.best_per_s for c in ceilings if c.best_per_s is not None]
            middle = statistics.median(rates) if rates else None
            rows.append(
                replace(ceilings[0], per_s=middle, best_per_s=middle, repeats=len(ceilings))
            )
        return Ceilings(system=self._system, rows=tuple(rows))


def rounds(
    contenders: dict[str, Callable[[], tuple[float, float]]], count: int, limits: Limits
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, str]]:
    """Return what each measured in every round but the first, and why some did not."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    failed: dict[str, str] = {}
    for i in range(count + 1):
        limits.measure()
        names = list(contenders)
        for name in names[i % len(names) :] + names[: i % len(names)]:
            if name in failed:
                continue
            try:
                result = contenders[name]()
            except Exception as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0]
                failed[name] = reason[:120]
                continue
            if i:
                found[name].append(result)
    return found, failed


def rows_of(
    phase: str,
    batch: int,
    tokens: int,
    found: dict[str, list[tuple[float, float]]],
    failed: dict[str, str],
    limits: Limits,
) -> Iterator[Row]:
    decode = phase == "decode"
    work = decode_work([tokens] * batch) if decode else StepWork()
    if not decode:
        for _ in range(batch):
            work += prefill_work(tokens)
    ours = [result[decode] for result in found[OURS]]
    for name, results in found.items():
        times_s = [result[decode] for result in results]
        if not times_s or name in failed:
            yield Row(
                phase=phase, contender=name, batch_size=batch, tokens=tokens, ms=None,
                tokens_per_s=None, share_of_limit=None, times_ours=None, rounds=0,
                note=failed.get(name, "not measured"),
            )  # fmt: skip
            continue
        median_s = statistics.median(times_s)
        shares = limits.shares(work, times_s)
        ratio = statistics.median(a / b for a, b in zip(times_s, ours, strict=True))
        yield Row(
            phase=phase,
            contender=name,
            batch_size=batch,
            tokens=tokens,
            ms=1e3 * median_s,
            tokens_per_s=work.tokens / median_s,
            share_of_limit=statistics.median(shares) if shares else None,
            times_ours=None if name == OURS else ratio,
            rounds=len(times_s),
        )


def overhead_ms(runner: TorchRunner, prompts: np.ndarray, steps: int) -> float:
    """Return the median time a step spends outside the model and its sampling (CPU)."""
    inside_s = 0.0
    plain = launch._compute

    def timed(*step: Any) -> Any:
        nonlocal inside_s
        begin_s = time.perf_counter()
        result = plain(*step)
        inside_s = time.perf_counter() - begin_s
        return result

    batch, length = prompts.shape
    runner.start_trial(
        max_batch_size=batch,
        max_request_tokens=length + steps + 1,
        prompts=lambda request: prompts[request.request_id],
    )
    runner.step(
        [
            Request(request_id=i, arrival_s=0.0, prompt_tokens=length, output_tokens=steps + 1)
            for i in range(batch)
        ]
    )
    outside = []
    launch._compute = timed
    try:
        for _ in range(steps):
            begin_s = time.perf_counter()
            runner.step(())
            outside.append(time.perf_counter() - begin_s - inside_s)
    finally:
        launch._compute = plain
    return 1e3 * statistics.median(outside)


def gap_us(runner: TorchRunner, prompts: np.ndarray, steps: int, step_ms: float) -> float | None:
    """Return how much longer a served step takes than its graph replayed back to back (CUDA)."""
    if runner._layout.graphs is None:
        return None
    batch, length = prompts.shape
    runner.start_trial(
        max_batch_size=batch,
        max_request_tokens=length + steps + 1,
        prompts=lambda request: prompts[request.request_id],
    )
    request_tokens = {"arrival_s": 0.0, "prompt_tokens": length, "output_tokens": steps + 1}
    runner.step([Request(request_id=i, **request_tokens) for i in range(batch)])
    runner.step(())
    plan = runner._table.plan(None)
    assert plan is not None
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.inference_mode():
        runner._layout.graphs.replay(plan)
        begin.record()
        for _ in range(steps // 2):
            runner._layout.graphs.replay(plan)
        end.record()
    end.synchronize()
    return 1e3 * (step_ms - begin.elapsed_time(end) / (steps // 2))


def bench_decode(
    contenders: Contenders,
    which: Sequence[str],
    sizes: Sequence[int],
    context: int,
    count: int,
    limits: Limits,
) -> Iterator[Row]:
    rng = np.random.default_rng(0)
    for batch in sizes:
        length = context - contenders.steps // 2
        prompts = rng.integers(contenders.runner.vocab_size, size=(batch, length))
        found, failed = rounds(_calls(contenders, which, prompts), count, limits)
        yield from rows_of("decode", batch, context, found, failed, limits)


def bench_prefill(
    contenders: Contenders,
    which: Sequence[str],
    shapes: Sequence[tuple[int, int]],
    count: int,
    limits: Limits,
) -> Iterator[Row]:
    rng = np.random.default_rng(1)
    short = Contenders(contenders.runner, contenders.reference, steps=2)
    # continuous batching starts a manager for every batch: its prefill cannot be told apart
    names = [name for name in which if name != "continuous batching"]
    for batch, length in shapes:
        prompts = rng.integers(contenders.runner.vocab_size, size=(batch, length))
        found, failed = rounds(_calls(short, names, prompts), count, limits)
        yield from rows_of("prefill", batch, length, found, failed, limits)


def _calls(
    contenders: Contenders, which: Sequence[str], prompts: np.ndarray
) -> dict[str, Callable[[], tuple[float, float]]]:
    every: dict[str, Callable[[], tuple[float, float]]] = {
        OURS: lambda: contenders.ours(prompts),
        "generate": lambda: contenders.generate(prompts),
        "generate, static cache": lambda: contenders.generate_static(prompts),
        "continuous batching": lambda: contenders.continuous(prompts),
    }
    return {name: call for name, call in every.items() if name in which}


def markdown(rows: Sequence[Row]) -> str:
    lines = [
        "| phase | batch | tokens | contender | ms | tokens/s | share of the limit | times ours |",
        "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        cells = (
            row.phase,
            row.batch_size,
            row.tokens,
            row.contender,
            row.note or f"{row.ms:.2f}",
            "—" if row.tokens_per_s is None else f"{row.tokens_per_s:,.0f}",
            "—" if row.share_of_limit is None else f"{row.share_of_limit:.2f}",
            "—" if row.times_ours is None else f"{row.times_ours:.2f}",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def draw(rows: Sequence[Row], title: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    decode = [row for row in rows if row.phase == "decode" and row.ms is not None]
    figure, axes = pyplot.subplots(figsize=(9, 5.2), layout="constrained")
    sizes = sorted({row.batch_size for row in decode})
    for name in dict.fromkeys(row.contender for row in decode):
        mine = name == OURS
        points = [(row.batch_size, row.ms) for row in decode if row.contender == name]
        axes.plot(
            *zip(*points, strict=True), marker="o", label=name,
            lw=2.6 if mine else 1.4, ms=6 if mine else 4, zorder=3 if mine else 2,
            color="#1f4e79" if mine else None,
        )  # fmt: skip
    least = [
        (row.batch_size, row.ms * row.share_of_limit)
        for row in decode
        if row.contender == OURS and row.share_of_limit is not None
    ]
    if least:
        axes.plot(*zip(*least, strict=True), color="black", ls="--", lw=1.2, label="limit")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda y, _: f"{y:g}"))
    axes.yaxis.set_minor_formatter(matplotlib.ticker.FuncFormatter(lambda y, _: f"{y:g}"))
    axes.tick_params(axis="y", which="minor", labelsize=8)
    axes.set_xlabel("batch size (requests decoding)")
    axes.set_ylabel("one decode step (ms)  ← better")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False)
    axes.set_title(title, loc="left", fontsize=11)
    figure.savefig(path, dpi=150)


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--preset", choices=tuple(PRESETS), default="mini")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--batch-sizes", default="1,2,4,8,16,32,64")
    parser.add_argument("--context", type=int, default=112, help="mean context of decode rows")
    parser.add_argument("--prefill", default="1x256,4x256", help="batch x prompt tokens, or none")
    parser.add_argument("--steps", type=int, default=24, help="decode steps a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--contenders", default="all", help="comma-separated, or all")
    parser.add_argument("--output-dir", type=Path)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    transformers_logging.set_verbosity_error()
    logging.getLogger("transformers").setLevel(logging.ERROR)
    which = [OURS, "generate", "generate, static cache", "continuous batching"]
    if options.contenders != "all":
        which = [OURS, *options.contenders.split(",")]
    named = Model(preset=options.preset, device=options.device, dtype=options.dtype)
    device = resolve_device(named.device)
    dtype = resolve_dtype(named.dtype, device)
    runner = build_runner(named)
    reference = load_model(named, device=device, dtype=dtype).model
    sizes = [int(size) for size in options.batch_sizes.split(",")]
    runner.warm_up(
        sizes,
        prompt_tokens=options.context,
        max_request_tokens=options.context + options.steps + 1,
    )
    counts: ModelCounts = count_model(
        PRESETS[options.preset], dtype=str(dtype).removeprefix("torch.")
    )
    limits = Limits(device, counts)
    contenders = Contenders(runner, reference, options.steps)
    facts = runner.describe()
    title = (
        f"{options.preset}, {facts['dtype']}, context {options.context}, on {facts['device_name']}"
    )
    rows: list[Row] = []
    with contextlib.redirect_stdout(sys.stderr):  # a contender prints
        shapes = []
        if options.prefill != "none":
            shapes = [tuple(map(int, s.split("x"))) for s in options.prefill.split(",")]
        for row in itertools.chain(
            bench_decode(contenders, which, sizes, options.context, options.rounds, limits),
            bench_prefill(contenders, which, shapes, options.rounds, limits),
        ):
            rows.append(row)
            print(_line(row), file=sys.stderr, flush=True)
            if options.output_dir:  # what was measured stays, whatever ends this run
                _write(options.output_dir, rows, title, limits.median())
    ceilings = limits.median()
    print(markdown(rows))
    largest = np.random.default_rng(2).integers(
        runner.vocab_size, size=(sizes[-1], options.context - options.steps // 2)
    )
    if device.type == "cpu":
        outside = overhead_ms(runner, largest, options.steps)
        print(
            f"\nPython and dispatch outside the model, batch {sizes[-1]}: {outside:.2f} ms a step"
        )
    else:
        ours = next(r for r in rows if (r.contender, r.batch_size) == (OURS, sizes[-1]))
        gap = gap_us(runner, largest, options.steps, ours.ms or 0.0)
        print(f"\nStep-to-step gap on the GPU, batch {sizes[-1]}: {gap} µs")
    read, rate = ceilings.read_bytes_per_s, ceilings.flop_per_s(counts.dtype)
    print(
        f"{title}; {facts['backend']} decoder, {facts['attention_backend']}, "
        f"{facts['linear_backend']} linear layers; read {(read or 0) / 1e9:.1f} GB/s, "
        f"{counts.dtype} {(rate or 0) / 1e9:,.0f} GFLOP/s (medians of the rounds)"
    )
    return 0


def _line(row: Row) -> str:
    if row.ms is None:
        return f"{row.phase} {row.batch_size}x{row.tokens} {row.contender}: {row.note}"
    return (
        f"{row.phase} {row.batch_size}x{row.tokens} {row.contender}: {row.ms:.2f} ms, "
        f"share {row.share_of_limit or 0:.2f}, times ours {row.times_ours or 1:.2f}"
    )


def _write(folder: Path, rows: Sequence[Row], title: str, ceilings: Ceilings) -> None:
    import csv

    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "runner.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [f.name for f in fields(Row)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)
    (folder / "runner.md").write_text(f"{title}\n\n{markdown(rows)}\n", encoding="utf-8")
    text = json.dumps(ceilings.to_dict(), indent=1, ensure_ascii=False)
    (folder / "limits.json").write_text(text + "\n", encoding="utf-8")
    draw(rows, title, folder / "runner.png")


if __name__ == "__main__":
    sys.exit(main())
