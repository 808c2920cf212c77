"""Does the model over slots compute what the model itself defines?"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from paretobench.core.errors import CheckpointError, ParetoBenchError
from paretobench.runners.torch.attention import IMPLEMENTATION
from paretobench.runners.torch.batch import pack
from paretobench.runners.torch.forward import SlotModel
from paretobench.runners.torch.memory import is_out_of_memory

# ‖slots − reference‖ / ‖reference‖ over all compared logits. Both sides round, differently: on a
# CPU 1e-6 to 5e-6 was seen in float32, 0.008 (8 layers) to 0.034 (28 layers, wide weights) in
# bfloat16. A GPU set to TF32 keeps the float32 bound too.
RELATIVE_BOUND = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 6e-2}

_PROMPTS = (12, 9)
_DECODE_STEPS = 4


def check_against_reference(slots: SlotModel) -> None:
    """Raise CheckpointError unless both give the same logits, within `RELATIVE_BOUND`.

    Two prompts: the second joins while the first decodes, so decode rows, a prefill and a mixed
    step are compared, with a dozen tokens' worth of forward passes. The model ends over slots.
    """
    name = type(slots.model).__name__
    rng = np.random.default_rng(0)
    sequences = [rng.integers(slots.vocab_size, size=n + _DECODE_STEPS) for n in _PROMPTS]
    try:
        found = _over_slots(slots, sequences)
        expected = _by_the_model_itself(slots, sequences)
    except ParetoBenchError:
        raise
    except Exception as error:  # whatever a foreign architecture makes of being driven like this
        if is_out_of_memory(error):
            raise
        raise CheckpointError(
            f"{name}: expected an architecture that runs over slots, found "
            f"{type(error).__name__}: {error}; choose another model"
        ) from error
    error_ratio = ((found - expected).norm() / expected.norm()).item()
    bound = RELATIVE_BOUND[slots.cache.dtype]
    if not error_ratio <= bound:  # NaN is refused too
        raise CheckpointError(
            f"{name}: expected the logits of its own attention within {bound:g}, found a relative "
            f"difference of {error_ratio:.2g}: this architecture, or its weights, cannot be "
            "measured truly; choose another model"
        )


def _over_slots(slots: SlotModel, sequences: list[NDArray[np.int64]]) -> torch.Tensor:
    """Return the logits of every sequence's last prompt token and of all after it, in turn."""
    logits: list[list[torch.Tensor]] = [[], []]
    positions = np.array(_PROMPTS)
    with torch.inference_mode():
        slots.cache.reserve(num_slots=2, slot_tokens=max(_PROMPTS) + _DECODE_STEPS)
    for step in range(_DECODE_STEPS + 2):
        # step 0: the first joins; 1: the second joins; the last: only the second decodes, while
        # the first repeats its last row, as a finished request does
        rows = min(step, 2)
        fed = [min(step - 1, _DECODE_STEPS - 1), step - 2][:rows]
        at = positions[:rows] + fed
        tokens = np.array([sequences[row][at[row]] for row in range(rows)], dtype=np.int64)
        prompts = [sequences[step][: _PROMPTS[step]]] if step < 2 else []
        result = slots.logits(pack(tokens, at.astype(np.int64), prompts, slots.device)).float()
        for row, row_logits in enumerate(result):
            logits[row].append(row_logits)
    return torch.cat([torch.stack(rows[: _DECODE_STEPS + 1]) for rows in logits])


def _by_the_model_itself(slots: SlotModel, sequences: list[NDArray[np.int64]]) -> torch.Tensor:
    logits = []
    try:
        try:
            slots.model.set_attn_implementation("sdpa")
        except ValueError:  # not every architecture has it
            slots.model.set_attn_implementation("eager")
        for sequence, length in zip(sequences, _PROMPTS, strict=True):
            ids = torch.from_numpy(sequence).to(slots.device)[None]
            with torch.inference_mode():
                whole = slots.model(input_ids=ids, use_cache=False).logits[0]
            logits.append(whole[length - 1 :].float())
    finally:
        slots.use(IMPLEMENTATION)
    return torch.cat(logits)
