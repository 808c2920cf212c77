"""Before anything is measured: everything is built, tuned and recorded, and the memory known."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from paretobench.core.errors import DeviceOutOfMemoryError
from paretobench.core.values import Request
from paretobench.runners.torch.budget import PeakMemory
from paretobench.runners.torch.layout import Layout

if TYPE_CHECKING:
    from paretobench.runners.torch.runner import TorchRunner

logger = logging.getLogger(__name__)

_OUTPUT_TOKENS = 3  # a prefill and two decode steps


def warm_up(
    runner: TorchRunner,
    layout: Layout,
    batch_sizes: Sequence[int],
    *,
    prompt_tokens: int,
    max_request_tokens: int,
    max_prefill_tokens: int | None,
) -> None:
    """Run a prefill and two decode steps at every size, the largest first.

    The largest prefill is measured before the slots take the memory that is left. Sizes for which
    there is no memory are passed over with a warning. Leaves all slots empty.
    """
    prompt_tokens = max(1, min(prompt_tokens, max_request_tokens - _OUTPUT_TOKENS))
    sizes = sorted(set(batch_sizes), reverse=True)
    _measure_set_aside(
        runner, layout, sizes[0], prompt_tokens, max_request_tokens, max_prefill_tokens
    )
    for size in sizes:
        try:
            fit = _start(runner, size, max_request_tokens, max_prefill_tokens)
            if fit < size:
                logger.warning(
                    "batch size %d: the memory holds %d requests of %d tokens; more than those "
                    "wait", size, fit, max_request_tokens,
                )  # fmt: skip
            _run_to_the_end(runner, fit, prompt_tokens)
        except DeviceOutOfMemoryError as error:
            logger.warning("batch size %d is not warmed up: %s", size, error)
        runner.end_trial()


def _measure_set_aside(
    runner: TorchRunner,
    layout: Layout,
    max_batch_size: int,
    prompt_tokens: int,
    max_request_tokens: int,
    max_prefill_tokens: int | None,
) -> None:
    """Run the largest prefill on slots just large enough, and note the memory it took."""
    size = max_batch_size
    if max_prefill_tokens is not None:
        size = max(1, min(size, math.ceil(max_prefill_tokens / prompt_tokens)))
    try:
        fit = _start(runner, size, prompt_tokens + _OUTPUT_TOKENS, max_prefill_tokens)
        with PeakMemory(layout.cache.device) as peak:
            _run_to_the_end(runner, fit, prompt_tokens)
    except DeviceOutOfMemoryError as error:
        logger.warning("the largest prefill does not fit: %s", error)
    else:
        graph_bytes = layout.graph_bytes(max_batch_size, max_request_tokens)
        layout.set_aside_bytes = peak.num_bytes + graph_bytes
    runner.end_trial()
    layout.give_back()


def _start(
    runner: TorchRunner, size: int, max_request_tokens: int, max_prefill_tokens: int | None
) -> int:
    """Start a trial of random prompts; return how many of `size` requests it has room for."""
    rng = np.random.default_rng(0)
    runner.start_trial(
        max_batch_size=size,
        max_request_tokens=max_request_tokens,
        prompts=lambda r: rng.integers(runner.vocab_size, size=r.prompt_tokens),
        max_prefill_tokens_per_step=max_prefill_tokens,
    )
    return runner.capacity().free_slots


def _run_to_the_end(runner: TorchRunner, num_requests: int, prompt_tokens: int) -> None:
    join: Sequence[Request] = [
        Request(
            request_id=i,
            arrival_s=0.0,
            prompt_tokens=prompt_tokens,
            output_tokens=_OUTPUT_TOKENS,
        )
        for i in range(num_requests)
    ]
    owed = num_requests * _OUTPUT_TOKENS
    while owed:
        owed -= len(runner.step(join).tokens)
        join = ()
