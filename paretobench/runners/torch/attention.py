"""Attention over slots, in the form that transformers' AttentionInterface calls.

Keys and values are stored [slots, kv_heads, tokens, head_dim]. A decode row has one query, so the
query heads that share a KV head are folded into the query axis: every key is read once per KV head,
never repeated, and no kernel with support for grouped queries is needed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface

from paretobench.core.errors import CheckpointError
from paretobench.runners.torch.batch import PackedBatch, PromptGroup
from paretobench.runners.torch.slots import SlotCache

IMPLEMENTATION = "paretobench_slots"

# Rows × KV heads × context from which batched matmul beats SDPA on a CPU (measured, float32 and
# bfloat16): below, SDPA's single parallel region wins by 2×; above, matmul by up to 1.5×.
_MATMUL_FROM = 16_384

# What some architectures add to attention and the slots do not compute.
_UNSUPPORTED = ("s_aux", "sinks", "softcap", "position_bias", "indices")


class SlotStep:
    """One step, as the attention of each layer sees it: the batch, the cache and the masks."""

    def __init__(self, batch: PackedBatch, cache: SlotCache) -> None:
        self.batch = batch
        self.cache = cache
        self.slots = cache.slot_index[: batch.num_decode]
        self.positions = batch.position_ids[0, : batch.num_decode]
        self._mask: torch.Tensor | None = None
        self._full_mask: torch.Tensor | None = None

    def mask(self) -> torch.Tensor:
        """Return what to add to the scores, [rows, 1, 1, kv_tokens]: 0, or -inf past the row."""
        if self._mask is None:
            positions = torch.arange(self.batch.kv_tokens, device=self.positions.device)
            beyond = positions[None] > self.positions[:, None]
            mask = torch.zeros(beyond.shape, dtype=self.cache.dtype, device=beyond.device)
            self._mask = mask.masked_fill_(beyond, float("-inf"))[:, None, None]
        return self._mask

    def full_mask(self, kv_heads: int, group: int) -> torch.Tensor:
        """Return `mask` written out for every score, [rows × kv_heads, group, kv_tokens]."""
        if self._full_mask is None or self._full_mask.shape[1] != group:
            mask = self.mask()
            shape = (mask.shape[0], kv_heads, group, mask.shape[3])
            self._full_mask = mask.expand(shape).reshape(-1, *shape[2:])
        return self._full_mask


def register() -> None:
    """Make `IMPLEMENTATION` known to transformers."""
    AttentionInterface.register(IMPLEMENTATION, slots_attention)


def slots_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    slot_step: SlotStep | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Store keys and values in their slots and return attention, [1, tokens, heads, value_dim].

    `query` is [1, heads, tokens, head_dim], `key` and `value` [1, kv_heads, tokens, head_dim].
    Raises CheckpointError for what the slots do not compute.
    """
    if slot_step is None:
        raise CheckpointError(
            f"{type(module).__name__}: expected to be handed the slots, found a model that does "
            "not pass its arguments on to its attention; choose another architecture"
        )
    _refuse_unsupported(module, attention_mask, slot_step, options)
    query, key, value = (t[0].transpose(0, 1) for t in (query, key, value))
    num_tokens, heads, dim = query.shape
    assert key.shape[0] == value.shape[0] == num_tokens  # [tokens, heads or kv_heads, dim]
    scale = dim**-0.5 if scaling is None else scaling
    keys, values = slot_step.cache.layer(module.layer_idx, key, value)  # type: ignore[arg-type]
    outputs = []
    start = slot_step.batch.num_decode
    if start:
        keys[slot_step.slots, :, slot_step.positions] = key[:start]
        values[slot_step.slots, :, slot_step.positions] = value[:start]
        outputs.append(_decode(query[:start], keys, values, slot_step, scale))
    for group in slot_step.batch.groups:
        end = start + group.num_prompts * group.prompt_tokens
        rows = slice(start, end)
        outputs.append(_prefill(query[rows], key[rows], value[rows], keys, values, group, scale))
        start = end
    assert start == num_tokens
    output = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    return output.view(1, num_tokens, heads, -1), None


def _decode(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    step: SlotStep,
    scale: float,
) -> torch.Tensor:
    """Return attention of one query a row over that row's slot, [rows, heads, value_dim]."""
    rows, heads, dim = query.shape
    kv_heads = keys.shape[1]
    group = heads // kv_heads
    kv_tokens = step.batch.kv_tokens
    keys = keys[:rows, :, :kv_tokens]
    values = values[:rows, :, :kv_tokens]
    folded = query.reshape(rows, kv_heads, group, dim)
    if query.is_cpu and rows * kv_heads * kv_tokens >= _MATMUL_FROM:
        scores = torch.baddbmm(
            step.full_mask(kv_heads, group),
            folded.view(-1, group, dim),
            keys.flatten(0, 1).transpose(1, 2),
            alpha=scale,
        )
        # softmax computes in float32 inside, whatever the precision of its input
        output = torch.bmm(torch.softmax(scores, -1), values.flatten(0, 1))
    else:
        output = functional.scaled_dot_product_attention(
            folded, keys, values, attn_mask=step.mask(), scale=scale
        )
    return output.reshape(rows, heads, -1)


def _prefill(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    group: PromptGroup,
    scale: float,
) -> torch.Tensor:
    """Store a group of prompts and return its causal attention, [rows, heads, value_dim]."""
    heads, kv_heads = query.shape[1], key.shape[1]
    query, key, value = (
        t.reshape(group.num_prompts, group.prompt_tokens, *t.shape[1:]).transpose(1, 2)
        for t in (query, key, value)
    )  # [prompts, heads or kv_heads, tokens, dim]
    slots = slice(group.first_slot, group.first_slot + group.num_prompts)
    keys[slots, :, : group.prompt_tokens] = key
    values[slots, :, : group.prompt_tokens] = value
    grouped = heads != kv_heads
    if grouped and query.is_cuda and query.dtype == torch.float32:
        # flash attention alone takes grouped queries, and has no float32
        key, value = (t.repeat_interleave(heads // kv_heads, 1) for t in (key, value))
        grouped = False
    output = functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scale, enable_gqa=grouped
    )
    return output.transpose(1, 2).reshape(-1, heads, value.shape[-1])


def _refuse_unsupported(
    module: torch.nn.Module,
    attention_mask: torch.Tensor | None,
    step: SlotStep,
    options: dict[str, Any],
) -> None:
    name = type(module).__name__
    found = [option for option in _UNSUPPORTED if options.get(option) is not None]
    if found or attention_mask is not None or getattr(module, "is_causal", True) is False:
        what = found[0] if found else "a mask of its own"
        raise CheckpointError(
            f"{name}: expected plain causal attention, found {what}, which the slots do not "
            "compute; choose another architecture"
        )
    window = options.get("sliding_window")
    if window is not None and window < step.cache.request_tokens:
        raise CheckpointError(
            f"{name}: expected requests within its sliding window of {window} tokens, "
            f"found {step.cache.request_tokens}; shorten prompt + output"
        )
