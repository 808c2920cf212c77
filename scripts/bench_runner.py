#!/usr/bin/env python3
"""Is the runner at the limit of this device, and ahead of what transformers offers?

For one preset: decode steps at several batch sizes and prefills of several shapes, beside
`generate` with a dynamic and with a static cache and transformers' own continuous batching. All
decode the same prompts greedily, in one process, in turns; the order changes from round to round,
the first round is warm-up, and figures are medians over rounds (ratios: of the rounds' ratios).
A decode step is the mean over those in which every request decodes. The limit is that of
`paretobench limits`, measured in the same process before and after.

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
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is loaded, as in a sweep's worker

import numpy as np
import torch
from transformers import GenerationConfig, StoppingCriteria
from transformers.utils import logging as transformers_logging

from paretobench.analysis.counts import ModelCounts, count_model, decode_work, prefill_work
from paretobench.analysis.limits import StepLimit, step_limit
from paretobench.core.ceilings import Ceilings
from paretobench.core.values import Request
from paretobench.runners.torch import TorchRunner, build_runner
from paretobench.runners.torch.ceilings import measure_ceilings
from paretobench.runners.torch.devices import resolve_device, resolve_dtype
from paretobench.runners.torch.models import load_model
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.schema import Model

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
        return at_s[0] - begin_s, (at_s[-1] - at_s[0]) / (len(at_s) - 1)

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
        return at_s[0] - begin_s, (at_s[-1] - at_s[0]) / (len(at_s) - 1)

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
        inside = sorted({s for t in at_s for s in t if s >= begin_s} - {begin_s})
        end_s = min(t[-1] for t in at_s)
        steps = sum(1 for _ in itertools.takewhile(lambda s: s <= end_s, _clusters(inside)))
        return float("nan"), (end_s - begin_s) / max(1, steps)


def _clusters(at_s: Sequence[float]) -> Iterator[float]:
    """Yield one time for all tokens of a step: they are stamped within a fraction of it."""
    last_s = -1.0
    for s in at_s:
        if s - last_s > 1e-3:
            yield s
        last_s = s


def rounds(
    contenders: dict[str, Callable[[], tuple[float, float]]], count: int
) -> tuple[dict[str, list[tuple[float, float]]], dict[str, str]]:
    """Return what each measured in every round but the first, and why some did not."""
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    failed: dict[str, str] = {}
    for i in range(count + 1):
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
    limit: StepLimit | None,
    work_tokens: int,
) -> Iterator[Row]:
    which = 0 if phase == "prefill" else 1
    ours = [result[which] for result in found[OURS]]
    for name, results in found.items():
        times = [result[which] for result in results]
        if not times or name in failed:
            yield Row(
                phase=phase, contender=name, batch_size=batch, tokens=tokens, ms=None,
                tokens_per_s=None, share_of_limit=None, times_ours=None, rounds=0,
                note=failed.get(name, "not measured"),
            )  # fmt: skip
            continue
        median_s = statistics.median(times)
        ratio = statistics.median(a / b for a, b in zip(times, ours, strict=True))
        yield Row(
            phase=phase,
            contender=name,
            batch_size=batch,
            tokens=tokens,
            ms=1e3 * median_s,
            tokens_per_s=work_tokens / median_s,
            share_of_limit=None if limit is None else limit.share_of_limit(median_s),
            times_ours=None if name == OURS else ratio,
            rounds=len(times),
        )


def overhead_ms(runner: TorchRunner, prompts: np.ndarray, steps: int) -> float:
    """Return the median time a step spends outside the model and its sampling (CPU)."""
    inside_s = 0.0
    plain = runner._compute

    def timed(plan: Any) -> Any:
        nonlocal inside_s
        begin_s = time.perf_counter()
        result = plain(plan)
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
    runner._compute = timed  # type: ignore[method-assign]
    try:
        for _ in range(steps):
            begin_s = time.perf_counter()
            runner.step(())
            outside.append(time.perf_counter() - begin_s - inside_s)
    finally:
        del runner._compute
    return 1e3 * statistics.median(outside)


def gap_us(runner: TorchRunner, prompts: np.ndarray, steps: int, step_ms: float) -> float | None:
    """Return how much longer a served step takes than its graph replayed back to back (CUDA)."""
    if runner._graphs is None:
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
        runner._graphs.replay(plan)
        begin.record()
        for _ in range(steps // 2):
            runner._graphs.replay(plan)
        end.record()
    end.synchronize()
    return 1e3 * (step_ms - begin.elapsed_time(end) / (steps // 2))


def bench_decode(
    contenders: Contenders,
    which: Sequence[str],
    sizes: Sequence[int],
    context: int,
    count: int,
    limit_of: Callable[..., StepLimit | None],
) -> Iterator[Row]:
    steps = contenders.steps
    rng = np.random.default_rng(0)
    for batch in sizes:
        prompts = rng.integers(contenders.runner.vocab_size, size=(batch, context - steps // 2))
        found, failed = rounds(_calls(contenders, which, prompts), count)
        limit = limit_of([decode_work([context] * batch)])
        yield from rows_of("decode", batch, context, found, failed, limit, batch)


def bench_prefill(
    contenders: Contenders,
    which: Sequence[str],
    shapes: Sequence[tuple[int, int]],
    count: int,
    limit_of: Callable[..., StepLimit | None],
) -> Iterator[Row]:
    rng = np.random.default_rng(1)
    short = Contenders(contenders.runner, contenders.reference, steps=2)
    for batch, length in shapes:
        prompts = rng.integers(contenders.runner.vocab_size, size=(batch, length))
        # continuous batching starts a manager for every batch: its prefill cannot be told apart
        names = [name for name in which if name != "continuous batching"]
        found, failed = rounds(_calls(short, names, prompts), count)
        limit = limit_of([prefill_work(length)] * batch)
        yield from rows_of("prefill", batch, length, found, failed, limit, batch * length)


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


def faster_of(first: Ceilings, second: Ceilings) -> Ceilings:
    """Return the ceilings with the faster of two measurements of each."""
    rows = tuple(
        max(a, b, key=lambda ceiling: ceiling.best_per_s or 0.0)
        for a, b in zip(first.rows, second.rows, strict=True)
    )
    return Ceilings(system=first.system, rows=rows)


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
    parser.add_argument("--limit-seconds", type=float, default=8.0)
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
    ceilings = measure_ceilings(device, options.limit_seconds)

    def limit_of(works: list[Any]) -> StepLimit | None:
        total = works[0]
        for work in works[1:]:
            total += work
        return step_limit(counts, ceilings, total)

    contenders = Contenders(runner, reference, options.steps)
    rows: list[Row] = []
    with contextlib.redirect_stdout(sys.stderr):  # a contender prints
        for row in bench_decode(
            contenders, which, sizes, options.context, options.rounds, limit_of
        ):
            rows.append(row)
            print(_line(row), file=sys.stderr, flush=True)
        shapes = []
        if options.prefill != "none":
            shapes = [tuple(map(int, s.split("x"))) for s in options.prefill.split(",")]
        for row in bench_prefill(contenders, which, shapes, options.rounds, limit_of):
            rows.append(row)
            print(_line(row), file=sys.stderr, flush=True)
    before, ceilings = (
        ceilings,
        faster_of(ceilings, measure_ceilings(device, options.limit_seconds)),
    )
    rows = [_against(row, counts, before, ceilings) for row in rows]
    print(markdown(rows))
    largest = np.random.default_rng(2).integers(
        runner.vocab_size, size=(sizes[-1], options.context - options.steps // 2)
    )
    facts = runner.describe()
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
    title = (
        f"{options.preset}, {facts['dtype']}, context {options.context}, on {facts['device_name']}"
    )
    print(
        f"{title}; {facts['backend']} decoder, {facts['attention_backend']}, "
        f"{facts['linear_backend']} linear layers; read {(read or 0) / 1e9:.1f} GB/s, "
        f"{counts.dtype} {(rate or 0) / 1e9:,.0f} GFLOP/s (the faster of before and after)"
    )
    if options.output_dir:
        _write(options.output_dir, rows, title, ceilings)
    return 0


def _against(row: Row, counts: ModelCounts, before: Ceilings, now: Ceilings) -> Row:
    """Return the row with its share of the limit by the ceilings as they turned out."""
    if row.share_of_limit is None:
        return row
    if row.phase == "decode":
        work = decode_work([row.tokens] * row.batch_size)
    else:
        work = prefill_work(row.tokens)
        for _ in range(row.batch_size - 1):
            work += prefill_work(row.tokens)
    old, new = step_limit(counts, before, work), step_limit(counts, now, work)
    assert old is not None
    assert new is not None
    share = row.share_of_limit * new.least_s / old.least_s
    return Row(**{**asdict(row), "share_of_limit": share})


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
