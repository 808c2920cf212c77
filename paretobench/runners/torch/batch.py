"""One step's input: decode rows and joining prompts as one packed batch of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from numpy.typing import NDArray

KV_BUCKET_TOKENS = 32  # KV lengths are rounded up to this: few shapes, aligned for the GPU kernels


def round_up(tokens: int) -> int:
    """Return `tokens` rounded up to a whole bucket.

    >>> round_up(1), round_up(32), round_up(33)
    (32, 32, 64)
    """
    return -(-tokens // KV_BUCKET_TOKENS) * KV_BUCKET_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptGroup:
    """Joining prompts of one length, in neighbouring slots and neighbouring rows."""

    first_slot: int
    num_prompts: int
    prompt_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedBatch:
    """Rows of slots 0 to `num_decode` first, one token each; then the groups' prompts, whole.

    `kv_tokens` is the longest context of a decode row, rounded up; 0 without decode rows.
    `logit_rows` are the rows whose next token is wanted; None: all.
    """

    token_ids: torch.Tensor  # [1, tokens]
    position_ids: torch.Tensor  # [1, tokens]
    num_decode: int
    kv_tokens: int
    groups: tuple[PromptGroup, ...]
    logit_rows: torch.Tensor | None  # [rows]


def pack(
    decode_tokens: NDArray[np.int64],
    decode_positions: NDArray[np.int64],
    prompts: Sequence[NDArray[np.int64]],
    device: torch.device,
) -> PackedBatch:
    """Return the packed batch on `device`, after a single copy to it.

    `decode_tokens` and `decode_positions` are [decode rows]; `prompts` go to the slots after those,
    shortest first.
    """
    num_decode = len(decode_tokens)
    assert decode_positions.shape == (num_decode,)
    lengths = [len(prompt) for prompt in prompts]
    assert lengths == sorted(lengths)
    groups: list[PromptGroup] = []
    positions = [decode_positions]
    slot = num_decode
    for length, same in groupby(lengths):
        count = len(list(same))
        groups.append(PromptGroup(first_slot=slot, num_prompts=count, prompt_tokens=length))
        positions.append(np.tile(np.arange(length), count))
        slot += count
    num_tokens = num_decode + sum(lengths)
    # of a prompt only the last row's token is wanted
    rows = [np.arange(num_decode), num_decode - 1 + np.cumsum(lengths)] if prompts else []
    flat = np.concatenate([decode_tokens, *prompts, *positions, *rows]).astype(np.int64, copy=False)
    on_device = torch.from_numpy(flat).to(device)
    return PackedBatch(
        token_ids=on_device[None, :num_tokens],
        position_ids=on_device[None, num_tokens : 2 * num_tokens],
        num_decode=num_decode,
        kv_tokens=round_up(int(decode_positions.max()) + 1) if num_decode else 0,
        groups=tuple(groups),
        logit_rows=on_device[2 * num_tokens :] if prompts else None,
    )
