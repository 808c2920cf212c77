"""Is a step of TorchRunner as fast as a step of `model.generate`?

Both decode the same batch of equal prompts greedily, in one process, in turns; a ratio below 1
means that the runner is faster. Prompts are prefilled outside the timing on the runner's side; of
`generate`, the time for one token is taken off the time for all, which leaves its decode steps.

    OMP_WAIT_POLICY=passive python scripts/bench_runner.py --preset nano
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from paretobench.core.values import Request
from paretobench.runners.torch import TorchRunner, build_runner
from paretobench.runners.torch.devices import resolve_device, resolve_dtype
from paretobench.runners.torch.models import load_model
from paretobench.scenario.schema import Model


def decode_step_s(runner: TorchRunner, prompts: np.ndarray, steps: int) -> float:
    """Return seconds a decode step over these prompts, [batch, prompt_tokens]."""
    batch, length = prompts.shape
    requests = [
        Request(request_id=i, arrival_s=0.0, prompt_tokens=length, output_tokens=steps + 1)
        for i in range(batch)
    ]
    runner.start_trial(
        max_batch_size=batch,
        max_request_tokens=length + steps + 1,
        prompts=lambda request: prompts[request.request_id],
    )
    runner.step(requests)
    start = time.perf_counter()
    for _ in range(steps):
        runner.step([])
    return (time.perf_counter() - start) / steps


def generate_step_s(model: Any, prompts: torch.Tensor, steps: int) -> float:
    """Return seconds a decode step of `generate` over these prompts."""

    def timed(new_tokens: int) -> float:
        start = time.perf_counter()
        model.generate(
            prompts,
            attention_mask=torch.ones_like(prompts),
            max_new_tokens=new_tokens,
            min_new_tokens=new_tokens,
            do_sample=False,
        ).cpu()
        return time.perf_counter() - start

    one = timed(1)
    return (timed(steps + 1) - one) / steps


def median_ratio(
    ours: Callable[[], float], theirs: Callable[[], float], pairs: int
) -> tuple[float, float, float]:
    """Return the medians of both, and of the ratio of each pair; the first pair is warm-up."""
    measured = []
    for i in range(pairs + 1):  # whoever goes first changes from pair to pair
        a, b = (ours(), theirs()) if i % 2 else (theirs(), ours())
        measured.append((a, b) if i % 2 else (b, a))
    measured = measured[1:]
    return (
        statistics.median(a for a, _ in measured),
        statistics.median(b for _, b in measured),
        statistics.median(a / b for a, b in measured),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--batch-sizes", default="1,4,16,64")
    parser.add_argument("--prompt-tokens", type=int, default=96)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--pairs", type=int, default=7)
    args = parser.parse_args()
    named = Model(preset=args.preset, device=args.device, dtype=args.dtype)
    device = resolve_device(named.device)
    reference = load_model(named, device=device, dtype=resolve_dtype(named.dtype, device)).model
    runner = build_runner(named)
    rng = np.random.default_rng(0)
    ratios = []
    for batch in map(int, args.batch_sizes.split(",")):
        prompts = rng.integers(runner.vocab_size, size=(batch, args.prompt_tokens))
        on_device = torch.from_numpy(prompts).to(device)
        ours, theirs, ratio = median_ratio(
            lambda p=prompts: decode_step_s(runner, p, args.steps),
            lambda p=on_device: generate_step_s(reference, p, args.steps),
            args.pairs,
        )
        ratios.append(ratio)
        print(
            f"batch {batch:3d}: runner {ours * 1e3:7.2f} ms, generate {theirs * 1e3:7.2f} ms, "
            f"ratio {ratio:.2f}",
            flush=True,
        )
    facts = runner.describe()
    print(
        f"{facts['model']}, {facts['dtype']} on {facts['device_name']}: "
        f"worst ratio {max(ratios):.2f}, best {min(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
