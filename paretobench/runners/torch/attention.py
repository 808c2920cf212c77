"""Causal attention of a packed batch over slots, for both kinds of model.

Keys and values are stored [slots, kv_heads, tokens, head_dim]. A decode row has one query, so the
query heads that share a KV head are folded into the query axis: every key is read once per KV head,
never repeated, and no kernel with support for grouped queries is needed.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from paretobench.runners.torch.batch import PackedBatch, PromptGroup
from paretobench.runners.torch.kernels import AttentionKernels
from paretobench.runners.torch.slots import SlotCache

# Rows × KV heads × context from which batched matmul beats SDPA on a CPU (measured, float32 and
# bfloat16): below, SDPA's single parallel region wins by 2×; above, matmul by up to 1.5×.
_MATMUL_FROM = 16_384


class SlotAttention:
    """The attention of one step: its batch, the cache, and what all layers share.

    A layer first stores its keys and values, then attends.
    """

    def __init__(self, batch: PackedBatch, cache: SlotCache, kernels: AttentionKernels) -> None:
        self.batch = batch
        self.cache = cache
        self._kernels = kernels
        rows = batch.num_decode
        self._positions = batch.position_ids[:rows]
        self._slots = batch.slots[:rows]
        self._lengths: torch.Tensor | None = None
        self._mask: torch.Tensor | None = None
        self._full_mask: torch.Tensor | None = None
        self._group_masks: dict[tuple[int, int], torch.Tensor] = {}

    def store(self, index: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """Put a layer's keys and values, each [tokens, kv_heads, dim], into their slots."""
        keys, values = self.cache.layer(index)
        start = self.batch.num_decode
        if start:
            keys[self._slots, :, self._positions] = key[:start]
            values[self._slots, :, self._positions] = value[:start]
        for group in self.batch.groups:
            end = start + group.num_prompts * group.num_tokens
            for stored, new in ((keys, key), (values, value)):
                prompts = _by_prompt(new[start:end], group)
                _of_group(stored, group)[:, :, group.start :] = prompts.transpose(1, 2)
            start = end

    def attend(self, index: int, query: torch.Tensor, scale: float) -> torch.Tensor:
        """Return a layer's attention, [tokens, heads, value_dim], of `query` [tokens, heads, dim].

        The keys and values of these tokens must have been stored.
        """
        keys, values = self.cache.layer(index)
        start = self.batch.num_decode
        outputs = [self._decode(query[:start], keys, values, scale)] if start else []
        for group in self.batch.groups:
            end = start + group.num_prompts * group.num_tokens
            outputs.append(self._prefill(query[start:end], keys, values, group, scale))
            start = end
        assert start == query.shape[0]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    def _decode(
        self, query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Return attention of one query a row over that row's slot, [rows, heads, value_dim]."""
        if self._kernels.slots is not None:
            return self._kernels.slots.decode_attention(
                query,
                keys,
                values,
                self._row_lengths(),
                self._slots,
                scale=scale,
                max_tokens=self.batch.kv_tokens,
            )
        # the slot of row i is slot i, except of rows that only fill a bucket, whose output is void
        rows, heads, dim = query.shape
        kv_heads = keys.shape[1]
        group = heads // kv_heads
        kv_tokens = self.batch.kv_tokens
        keys = keys[:rows, :, :kv_tokens]
        values = values[:rows, :, :kv_tokens]
        folded = query.reshape(rows, kv_heads, group, dim)
        if query.is_cpu and rows * kv_heads * kv_tokens >= _MATMUL_FROM:
            scores = torch.baddbmm(
                self._written_out_mask(kv_heads, group),
                folded.reshape(-1, group, dim),
                keys.flatten(0, 1).transpose(1, 2),
                alpha=scale,
            )
            # softmax computes in float32 inside, whatever the precision of its input
            output = torch.bmm(torch.softmax(scores, -1), values.flatten(0, 1))
        else:
            with _only(self._kernels.masked):
                output = functional.scaled_dot_product_attention(
                    folded, keys, values, attn_mask=self._row_mask(), scale=scale
                )
        return output.reshape(rows, heads, -1)

    def _prefill(
        self,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        group: PromptGroup,
        scale: float,
    ) -> torch.Tensor:
        """Return the causal attention of a group of chunks, [rows, heads, value_dim]."""
        heads, kv_heads = query.shape[1], keys.shape[1]
        query = _by_prompt(query, group).transpose(1, 2)
        key, value = _of_group(keys, group), _of_group(values, group)
        whole = group.start == 0
        backend = self._kernels.causal if whole else self._kernels.masked
        grouped = heads != kv_heads
        if grouped and query.is_cuda and backend is not SDPBackend.FLASH_ATTENTION:
            # flash attention alone takes grouped queries
            key, value = (t.repeat_interleave(heads // kv_heads, 1) for t in (key, value))
            grouped = False
        with _only(backend):
            output = functional.scaled_dot_product_attention(
                query,
                key,
                value,
                attn_mask=None if whole else self._chunk_mask(group),
                is_causal=whole,
                scale=scale,
                enable_gqa=grouped,
            )
        return output.transpose(1, 2).reshape(-1, heads, output.shape[-1])

    def _row_lengths(self) -> torch.Tensor:
        if self._lengths is None:
            self._lengths = self._positions + 1
        return self._lengths

    def _row_mask(self) -> torch.Tensor:
        """Return what to add to the scores, [rows, 1, 1, kv_tokens]: 0, or -inf past the row."""
        if self._mask is None:
            positions = torch.arange(self.batch.kv_tokens, device=self._positions.device)
            self._mask = self._minus_infinity(positions > self._positions[:, None])[:, None, None]
        return self._mask

    def _written_out_mask(self, kv_heads: int, group: int) -> torch.Tensor:
        """Return the mask of every score, [rows × kv_heads, group, kv_tokens]."""
        if self._full_mask is None:
            mask = self._row_mask()
            shape = (mask.shape[0], kv_heads, group, mask.shape[3])
            self._full_mask = mask.expand(shape).reshape(-1, *shape[2:])
        return self._full_mask

    def _chunk_mask(self, group: PromptGroup) -> torch.Tensor:
        """Return what to add to a chunk's scores, [1, 1, tokens, start + tokens]."""
        key = (group.start, group.num_tokens)
        if key not in self._group_masks:
            end = group.start + group.num_tokens
            positions = torch.arange(end, device=self._positions.device)
            beyond = positions > positions[group.start :, None]
            # kernels want a mask whose rows begin at whole multiples of 16 bytes
            padded = functional.pad(self._minus_infinity(beyond), (0, -end % 8))
            self._group_masks[key] = padded[None, None, :, :end]
        return self._group_masks[key]

    def _minus_infinity(self, beyond: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros(beyond.shape, dtype=self.cache.dtype, device=beyond.device)
        return mask.masked_fill_(beyond, float("-inf"))


def _of_group(stored: torch.Tensor, group: PromptGroup) -> torch.Tensor:
    """Return the group's part of a layer, [prompts, kv_heads, start + tokens, dim]."""
    slots = slice(group.first_slot, group.first_slot + group.num_prompts)
    return stored[slots, :, : group.start + group.num_tokens]


def _by_prompt(rows: torch.Tensor, group: PromptGroup) -> torch.Tensor:
    """Return the rows of a group, [prompts × tokens, …], as [prompts, tokens, …]."""
    return rows.reshape(group.num_prompts, group.num_tokens, *rows.shape[1:])


def _only(backend: SDPBackend | None) -> AbstractContextManager[None]:
    """Have SDPA run this back end or fail; None: torch chooses."""
    return nullcontext() if backend is None else sdpa_kernel(backend)
