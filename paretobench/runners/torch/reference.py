"""Does the model over slots compute what the model itself defines?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from paretobench.core.errors import CheckpointError, ParetoBenchError
from paretobench.core.values import Request
from paretobench.runners.torch.attention import SlotAttention
from paretobench.runners.torch.backends import Backend
from paretobench.runners.torch.batch import pack
from paretobench.runners.torch.kernels import AttentionKernels
from paretobench.runners.torch.memory import is_out_of_memory
from paretobench.runners.torch.slots import SlotCache
from paretobench.runners.torch.table import SlotTable
from paretobench.runners.torch.transformers_model import use_attention

# ‖slots − reference‖ / ‖reference‖ over all compared logits. Both sides round, differently: on a
# CPU 1e-6 to 5e-6 was seen in float32, 0.008 (8 layers) to 0.034 (28 layers, wide weights) in
# bfloat16. A GPU set to TF32 keeps the float32 bound too.
RELATIVE_BOUND = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 6e-2}
# Quantised weights are another model; this tells it from nonsense. With nano to qwen3-0.6b's shapes
# in bfloat16, rounded weights alone gave 0.02 to 0.04 (int8) and 0.08 to 0.12 (fp8, whose
# activations are rounded too).
QUANTISED_BOUND = {"int8": 0.12, "fp8": 0.3}

_PROMPTS = (12, 9)
_DECODE_STEPS = 4
_PREFILL_TOKENS = 7  # a step, so that prompts come in chunks


def reference_logits(model: Any) -> torch.Tensor:
    """Return what the model itself gives after each prompt and each token after it.

    [prompts × (decode steps + 1), vocabulary], in float32. Raises CheckpointError where the
    architecture cannot be driven so.
    """
    logits = []
    with torch.inference_mode(), _foreign(type(model).__name__):
        try:
            use_attention(model, "sdpa")
        except ValueError:  # not every architecture has it
            use_attention(model, "eager")
        for sequence, length in zip(_sequences(_vocab_size(model)), _PROMPTS, strict=True):
            ids = torch.from_numpy(sequence).to(model.device)[None]
            logits.append(model(input_ids=ids, use_cache=False).logits[0, length - 1 :].float())
    return torch.cat(logits)


def check_against_reference(
    backend: Backend,
    kernels: AttentionKernels,
    expected: torch.Tensor,
    *,
    name: str,
    bound: float | None = None,
) -> None:
    """Raise CheckpointError unless the slots give the `expected` logits of `reference_logits`.

    Two prompts in chunks; the second joins while the first decodes, so decode rows, prefills and
    mixed steps are compared, with a dozen tokens' worth of forward passes.
    `bound` replaces that of the precision.
    """
    bound = RELATIVE_BOUND[backend.dtype] if bound is None else bound
    cache = SlotCache(backend.kv_shape, dtype=backend.dtype, device=backend.device)
    with _foreign(name):
        found = _over_slots(backend, kernels, cache)
    error_ratio = ((found - expected).norm() / expected.norm()).item()
    if not error_ratio <= bound:  # NaN is refused too
        raise CheckpointError(
            f"{name}: expected the logits of its own attention within {bound:g}, found a relative "
            f"difference of {error_ratio:.2g}: this architecture, or its weights, cannot be "
            "measured truly; choose another model"
        )


@contextmanager
def _foreign(name: str) -> Iterator[None]:
    """Turn whatever a foreign architecture makes of being driven like this into an error of ours;
    memory that ran out stays what it is."""
    try:
        yield
    except ParetoBenchError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise CheckpointError(
            f"{name}: expected an architecture that runs over slots, found "
            f"{type(error).__name__}: {error}; choose another model"
        ) from error


def _sequences(vocab_size: int) -> list[NDArray[np.int64]]:
    rng = np.random.default_rng(0)
    return [rng.integers(vocab_size, size=n + _DECODE_STEPS) for n in _PROMPTS]


def _vocab_size(model: Any) -> int:
    return int(model.config.get_text_config().vocab_size)


def _over_slots(backend: Backend, kernels: AttentionKernels, cache: SlotCache) -> torch.Tensor:
    sequences = _sequences(backend.vocab_size)
    logits: list[list[torch.Tensor]] = [[] for _ in _PROMPTS]
    table = SlotTable(len(_PROMPTS))
    fed = torch.zeros(len(_PROMPTS), dtype=torch.int64, device=backend.device)
    with torch.inference_mode():
        cache.reserve(num_slots=len(_PROMPTS), slot_tokens=max(_PROMPTS) + _DECODE_STEPS)
        for joins in range(sum(_PROMPTS) + _DECODE_STEPS):
            if joins < len(_PROMPTS):
                table.join(_request(joins), sequences[joins][: _PROMPTS[joins]])
            for slot, position in enumerate(table.positions):
                if position < len(sequences[slot]):  # a finished row repeats its last token
                    fed[slot] = int(sequences[slot][position])
            plan = table.plan(_PREFILL_TOKENS)
            if plan is None:
                break
            batch = pack(plan, fed)
            result = backend.logits(batch, SlotAttention(batch, cache, kernels)).float()
            for request_id, row in plan.deliveries:
                logits[request_id].append(result[row])
    return torch.cat([torch.stack(rows) for rows in logits])


def _request(index: int) -> Request:
    return Request(
        request_id=index,
        arrival_s=0.0,
        prompt_tokens=_PROMPTS[index],
        output_tokens=_DECODE_STEPS + 1,
    )
