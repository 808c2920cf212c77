"""One step's input: decode rows and chunks of prompts as one packed batch of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch

from paretobench.runners.torch.table import Chunk, StepPlan

KV_BUCKET_TOKENS = 32  # KV lengths are rounded up to this: few shapes, aligned for the GPU kernels


def round_up(tokens: int) -> int:
    """Return `tokens` rounded up to a whole bucket.

    >>> round_up(1), round_up(32), round_up(33)
    (32, 32, 64)
    """
    return -(-tokens // KV_BUCKET_TOKENS) * KV_BUCKET_TOKENS


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptGroup:
    """Chunks of one length and start, in neighbouring slots and neighbouring rows."""

    first_slot: int
    num_prompts: int
    start: int
    num_tokens: int  # of each


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedBatch:
    """`num_decode` rows of one token each first; then the groups' prompts.

    `kv_tokens` bounds the context of every decode row; 0 without decode rows.
    `logit_rows` are the rows whose next token is wanted; None: all.
    """

    token_ids: torch.Tensor  # [tokens]
    position_ids: torch.Tensor  # [tokens]
    slots: torch.Tensor  # [tokens], where each token's key and value go
    num_decode: int
    kv_tokens: int
    groups: tuple[PromptGroup, ...]
    logit_rows: torch.Tensor | None  # [rows]


def pack(plan: StepPlan, last_tokens: torch.Tensor) -> PackedBatch:
    """Return the packed batch of a step, after a single copy to the device.

    `last_tokens`, [slots] on the device, is what each decode row feeds.
    """
    num_decode = plan.num_decode
    chunks = plan.chunks
    lengths = np.array([len(chunk.token_ids) for chunk in chunks], np.int64)
    prompt_tokens = int(lengths.sum())
    positions = [plan.positions, *(np.arange(c.start, c.start + len(c.token_ids)) for c in chunks)]
    slots = [np.arange(num_decode), np.repeat([c.slot for c in chunks], lengths)]
    ends = num_decode - 1 + np.cumsum(lengths)
    wanted = [ends[[c.is_last for c in chunks]]] if chunks else []
    parts = [*(c.token_ids for c in chunks), *positions, *slots, np.arange(num_decode), *wanted]
    flat = np.concatenate(parts).astype(np.int64, copy=False)
    on_device = torch.from_numpy(flat).to(last_tokens.device, non_blocking=True)
    num_tokens = num_decode + prompt_tokens
    token_ids = last_tokens[:num_decode]
    if prompt_tokens:
        token_ids = torch.cat([token_ids, on_device[:prompt_tokens]])
    rest = on_device[prompt_tokens:]
    return PackedBatch(
        token_ids=token_ids,
        position_ids=rest[:num_tokens],
        slots=rest[num_tokens : 2 * num_tokens],
        num_decode=num_decode,
        kv_tokens=round_up(int(plan.positions.max()) + 1) if num_decode else 0,
        groups=_groups(chunks),
        logit_rows=rest[2 * num_tokens :] if chunks else None,
    )


def _groups(chunks: Sequence[Chunk]) -> tuple[PromptGroup, ...]:
    groups = []
    for (start, num_tokens), same in groupby(chunks, lambda c: (c.start, len(c.token_ids))):
        first, *others = same
        groups.append(
            PromptGroup(
                first_slot=first.slot,
                num_prompts=1 + len(others),
                start=start,
                num_tokens=num_tokens,
            )
        )
    return tuple(groups)
