"""Triton kernels over slots, each behind a launcher with types: the decode step on an NVIDIA GPU.

Import this module only where triton is installed. No launcher waits for the device, reads a device
value on the host or allocates other than by `torch.empty`, so each may be captured in a CUDA graph.
The first call of a kernel with new shapes compiles it: run every shape once before its capture.

With TRITON_INTERPRET=1 set before triton is first imported, all of it runs on CPU tensors, slowly.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

from paretobench.runners.torch.triton_common import jit, multiprocessors

_BLOCK_TOKENS = 64  # keys that one program looks at together
_MIN_SPLIT_TOKENS = 128  # below, a split's start and its part of the sum cost more than they save
_MAX_SPLIT_TOKENS = 2048  # above, one long row keeps a few programs busy while the others are done
_MAX_SPLITS = 64  # the partial results of one head must fit into one program's registers
_BLOCK_HEADS = 8

name = "Triton split-KV"


def decode_attention(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    lengths: torch.Tensor,
    slots: torch.Tensor,
    *,
    scale: float,
    max_tokens: int,
    num_sms: int | None = None,
) -> torch.Tensor:
    """Return attention of each row's one query over its slot, [rows, heads, head_dim], contiguous.

    `query` is [rows, heads, head_dim]; `keys` and `values` are one layer's [slots, kv_heads,
    slot_tokens, head_dim]; the last axis of all three is contiguous. `lengths` [rows] (int32 or
    int64, on the device) says how many tokens of its slot a row looks at, 1 to `max_tokens`, and
    `slots` [rows] which slot that is. What lies past a row's length is never read.

    The context is split among enough programs to fill `num_sms` multiprocessors (by default all of
    the device's) twice, and the parts are joined after, as in flash-decoding
    (https://pytorch.org/blog/flash-decoding/). The split follows from shapes and `max_tokens`
    alone, so a captured graph stays right as the lengths grow within `max_tokens`. Sums are in
    float32; float32 inputs are multiplied in full precision, never in TF32.
    """
    rows, heads, head_dim = query.shape
    num_slots, kv_heads, slot_tokens, _ = keys.shape
    assert values.shape == keys.shape == (num_slots, kv_heads, slot_tokens, head_dim)
    assert query.dtype == keys.dtype == values.dtype
    assert query.stride(2) == keys.stride(3) == values.stride(3) == 1
    assert lengths.shape == slots.shape == (rows,)
    assert all(t.is_contiguous() for t in (lengths, slots))
    assert heads % kv_heads == 0
    assert 0 < max_tokens <= slot_tokens
    if num_sms is None:
        num_sms = multiprocessors(query.device)
    num_splits, split_tokens = plan_splits(
        num_programs=rows * kv_heads, max_tokens=max_tokens, num_sms=num_sms
    )
    group = heads // kv_heads
    output = torch.empty(rows, heads, head_dim, dtype=query.dtype, device=query.device)
    # one split writes the output itself; its kernel has the parts as arguments, but no use for them
    parts = peaks = sums = output
    if num_splits > 1:
        lead = (rows, heads, num_splits)
        parts = torch.empty(*lead, head_dim, dtype=torch.float32, device=query.device)
        peaks = torch.empty(lead, dtype=torch.float32, device=query.device)
        sums = torch.empty(lead, dtype=torch.float32, device=query.device)
    head_dim_padded = triton.next_power_of_2(head_dim)
    _attend[(rows, kv_heads, num_splits)](
        query,
        keys,
        values,
        lengths,
        slots,
        output,
        parts,
        peaks,
        sums,
        scale * 1.4426950408889634,  # log2 e: the kernel takes powers of 2
        split_tokens,
        query.stride(0),
        query.stride(1),
        *keys.stride()[:3],
        *values.stride()[:3],
        heads=heads,
        group=group,
        group_padded=max(16, triton.next_power_of_2(group)),  # what the tensor cores take at least
        head_dim=head_dim,
        head_dim_padded=head_dim_padded,
        # fewer keys at a time where they would not fit into the registers
        block_tokens=_BLOCK_TOKENS if head_dim_padded * query.itemsize <= 512 else 32,
        one_split=num_splits == 1,
        num_warps=4,
        # full-precision products have no tensor cores and want the registers for themselves
        num_stages=1 if query.dtype == torch.float32 else 3,
    )
    if num_splits > 1:
        _join_splits[(rows, heads)](
            lengths,
            parts,
            peaks,
            sums,
            output,
            split_tokens,
            num_splits,
            heads=heads,
            head_dim=head_dim,
            head_dim_padded=head_dim_padded,
            splits_padded=triton.next_power_of_2(num_splits),
            num_warps=4,
        )
    return output


def plan_splits(*, num_programs: int, max_tokens: int, num_sms: int) -> tuple[int, int]:
    """Return into how many splits the context goes, and how many tokens each has at most.

    `num_programs` are there without splits. All splits but the last are whole blocks of tokens.

    >>> plan_splits(num_programs=8, max_tokens=8192, num_sms=132)
    (32, 256)
    >>> plan_splits(num_programs=8, max_tokens=1024, num_sms=132)  # 128 tokens a split at least
    (8, 128)
    >>> plan_splits(num_programs=512, max_tokens=2048, num_sms=132)
    (1, 2048)
    >>> plan_splits(num_programs=512, max_tokens=8192, num_sms=132)  # 2048 at most
    (4, 2048)
    """
    to_fill = triton.cdiv(2 * num_sms, num_programs)
    to_even_out = triton.cdiv(max_tokens, _MAX_SPLIT_TOKENS)
    most = min(_MAX_SPLITS, max(1, max_tokens // _MIN_SPLIT_TOKENS))
    splits = min(max(to_fill, to_even_out), most)
    split_tokens = triton.cdiv(triton.cdiv(max_tokens, splits), _BLOCK_TOKENS) * _BLOCK_TOKENS
    return triton.cdiv(max_tokens, split_tokens), split_tokens


def rotate_and_store(
    qkv: torch.Tensor,
    positions: torch.Tensor,
    slots: torch.Tensor,
    cos: torch.Tensor,
    sin: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    *,
    heads: int,
    kv_heads: int,
    query_norm: torch.Tensor | None,
    key_norm: torch.Tensor | None,
    eps: float,
) -> torch.Tensor:
    """Store each token's key and value in its slot; return its query, [tokens, heads, head_dim].

    `qkv` [tokens, (heads + 2 × kv_heads) × head_dim] is the contiguous product of the fused
    projection: queries, keys, values. Query and key are normed per head where `query_norm` and
    `key_norm` [head_dim] are given (Qwen3; both or neither), with `eps` added to the mean square,
    then rotated by their token's `positions` [tokens]: `cos` and `sin` are [max_positions,
    head_dim / 2], and the two halves of a head turn together, as in Llama and Qwen3 of
    transformers. Rounded to the inputs' precision where transformers' modules round.
    `keys` and `values` [slots, kv_heads, slot_tokens, head_dim] change at [slots[t], :,
    positions[t]] alone; no two tokens may share that place unless their values are of no use.
    """
    tokens, features = qkv.shape
    head_dim = keys.shape[3]
    half = head_dim // 2
    assert features == (heads + 2 * kv_heads) * 2 * half
    assert values.shape == keys.shape == (keys.shape[0], kv_heads, keys.shape[2], 2 * half)
    assert keys.stride(3) == values.stride(3) == 1
    assert cos.shape == sin.shape == (cos.shape[0], half)
    assert positions.shape == slots.shape == (tokens,)
    assert all(t.is_contiguous() for t in (qkv, positions, slots, cos, sin))
    assert qkv.dtype == keys.dtype == values.dtype == cos.dtype == sin.dtype
    assert (query_norm is None) == (key_norm is None)
    query = torch.empty(tokens, heads, head_dim, dtype=qkv.dtype, device=qkv.device)
    _rotate_and_store[(tokens, triton.cdiv(heads + 2 * kv_heads, _BLOCK_HEADS))](
        qkv,
        positions,
        slots,
        cos,
        sin,
        keys,
        values,
        query,
        qkv if query_norm is None else query_norm,  # not read
        qkv if key_norm is None else key_norm,
        eps,
        *keys.stride()[:3],
        *values.stride()[:3],
        heads=heads,
        kv_heads=kv_heads,
        half=half,
        half_padded=triton.next_power_of_2(half),
        block_heads=_BLOCK_HEADS,
        has_norm=query_norm is not None,
        num_warps=4,
    )
    return query


# The kernels. A tl.constexpr is compiled in.


@jit(do_not_specialize_on_alignment=["lengths", "slots"])
def _attend(
    query: tl.tensor,
    keys: tl.tensor,
    values: tl.tensor,
    lengths: tl.tensor,
    slots: tl.tensor,
    output: tl.tensor,
    parts: tl.tensor,
    peaks: tl.tensor,
    sums: tl.tensor,
    scale_log2: tl.tensor,
    split_tokens: tl.tensor,
    query_row_stride: tl.tensor,
    query_head_stride: tl.tensor,
    key_slot_stride: tl.tensor,
    key_head_stride: tl.tensor,
    key_token_stride: tl.tensor,
    value_slot_stride: tl.tensor,
    value_head_stride: tl.tensor,
    value_token_stride: tl.tensor,
    heads: tl.constexpr,
    group: tl.constexpr,
    group_padded: tl.constexpr,
    head_dim: tl.constexpr,
    head_dim_padded: tl.constexpr,
    block_tokens: tl.constexpr,
    one_split: tl.constexpr,
) -> None:
    """One program: one row, one KV head with all its query heads, one split of the context."""
    row = tl.program_id(0)
    kv_head = tl.program_id(1)
    split = tl.program_id(2)
    length = tl.load(lengths + row).to(tl.int32)
    start = split * split_tokens
    end = tl.minimum(start + split_tokens, length)
    if start < end:  # a split past the row's length leaves no trace; _join_splits knows
        slot = tl.load(slots + row).to(tl.int64)
        member = tl.arange(0, group_padded)
        dim = tl.arange(0, head_dim_padded)
        token = tl.arange(0, block_tokens)
        head = kv_head * group + member
        in_group = (member < group)[:, None] & (dim < head_dim)[None, :]
        q = tl.load(
            query + row * query_row_stride + head[:, None] * query_head_stride + dim[None, :],
            mask=in_group,
            other=0.0,
        )
        head_keys = keys + slot * key_slot_stride + kv_head * key_head_stride
        head_values = values + slot * value_slot_stride + kv_head * value_head_stride
        peak = tl.full([group_padded], float("-inf"), tl.float32)
        total = tl.zeros([group_padded], tl.float32)
        weighted = tl.zeros([group_padded, head_dim_padded], tl.float32)
        for first in range(start, end, block_tokens):
            at = first + token
            k = tl.load(
                head_keys + at[None, :] * key_token_stride + dim[:, None],
                mask=(at < end)[None, :] & (dim < head_dim)[:, None],
                other=0.0,
            )
            scores = tl.dot(q, k, input_precision="ieee") * scale_log2
            scores = tl.where((at < end)[None, :], scores, float("-inf"))
            # finite: the first of a block's tokens lies before the end
            new_peak = tl.maximum(peak, tl.max(scores, 1))
            shrink = tl.exp2(peak - new_peak)
            p = tl.exp2(scores - new_peak[:, None])
            # masked: a weight of 0 does not undo the NaN that memory past the end may hold
            v = tl.load(
                head_values + at[:, None] * value_token_stride + dim[None, :],
                mask=(at < end)[:, None] & (dim < head_dim)[None, :],
                other=0.0,
            )
            total = total * shrink + tl.sum(p, 1)
            weighted = weighted * shrink[:, None]
            weighted += tl.dot(p.to(v.dtype), v, input_precision="ieee")
            peak = new_peak
        if one_split:
            tl.store(
                output + (row * heads + head[:, None]) * head_dim + dim[None, :],
                (weighted / total[:, None]).to(output.dtype.element_ty),
                mask=in_group,
            )
        else:
            part = (row * heads + head) * tl.num_programs(2) + split
            tl.store(parts + part[:, None] * head_dim + dim[None, :], weighted, mask=in_group)
            tl.store(peaks + part, peak, mask=member < group)
            tl.store(sums + part, total, mask=member < group)


@jit(do_not_specialize=["num_splits"], do_not_specialize_on_alignment=["lengths"])
def _join_splits(
    lengths: tl.tensor,
    parts: tl.tensor,
    peaks: tl.tensor,
    sums: tl.tensor,
    output: tl.tensor,
    split_tokens: tl.tensor,
    num_splits: tl.tensor,
    heads: tl.constexpr,
    head_dim: tl.constexpr,
    head_dim_padded: tl.constexpr,
    splits_padded: tl.constexpr,
) -> None:
    """One program: one row and head; reads those splits alone that its length has reached."""
    row = tl.program_id(0)
    head = tl.program_id(1)
    length = tl.load(lengths + row).to(tl.int32)
    split = tl.arange(0, splits_padded)
    dim = tl.arange(0, head_dim_padded)
    written = (split < num_splits) & (split * split_tokens < length)
    part = (row * heads + head) * num_splits + split
    peak = tl.load(peaks + part, mask=written, other=float("-inf"))
    total = tl.load(sums + part, mask=written, other=0.0)
    weighted = tl.load(
        parts + part[:, None] * head_dim + dim[None, :],
        mask=written[:, None] & (dim < head_dim)[None, :],
        other=0.0,
    )
    shrink = tl.exp2(peak - tl.max(peak, 0))
    joined = tl.sum(weighted * shrink[:, None], 0) / tl.sum(total * shrink, 0)
    tl.store(
        output + (row * heads + head) * head_dim + dim,
        joined.to(output.dtype.element_ty),
        mask=dim < head_dim,
    )


@jit(do_not_specialize_on_alignment=["positions", "slots"])
def _rotate_and_store(
    qkv: tl.tensor,
    positions: tl.tensor,
    slots: tl.tensor,
    cos: tl.tensor,
    sin: tl.tensor,
    keys: tl.tensor,
    values: tl.tensor,
    query: tl.tensor,
    query_norm: tl.tensor,
    key_norm: tl.tensor,
    eps: tl.tensor,
    key_slot_stride: tl.tensor,
    key_head_stride: tl.tensor,
    key_token_stride: tl.tensor,
    value_slot_stride: tl.tensor,
    value_head_stride: tl.tensor,
    value_token_stride: tl.tensor,
    heads: tl.constexpr,
    kv_heads: tl.constexpr,
    half: tl.constexpr,
    half_padded: tl.constexpr,
    block_heads: tl.constexpr,
    has_norm: tl.constexpr,
) -> None:
    """One program: one token, a block of its heads, each of them a query, a key or a value."""
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1) * block_heads + tl.arange(0, block_heads)
    dim = tl.arange(0, half_padded)
    is_query = (head < heads)[:, None]
    is_key = ((head >= heads) & (head < heads + kv_heads))[:, None]
    is_value = ((head >= heads + kv_heads) & (head < heads + 2 * kv_heads))[:, None]
    in_half = (dim < half)[None, :]
    dtype = query.dtype.element_ty

    source = qkv + token * ((heads + 2 * kv_heads) * 2 * half)
    source += head[:, None] * (2 * half) + dim[None, :]
    inside = (is_query | is_key | is_value) & in_half
    stored_first = tl.load(source, mask=inside, other=0.0)
    stored_second = tl.load(source + half, mask=inside, other=0.0)
    first = stored_first.to(tl.float32)
    second = stored_second.to(tl.float32)
    if has_norm:
        mean_square = (tl.sum(first * first, 1) + tl.sum(second * second, 1)) / (2 * half)
        factor = tl.rsqrt(mean_square + eps)[:, None]
        q1 = tl.load(query_norm + dim, mask=dim < half, other=0.0).to(tl.float32)[None, :]
        q2 = tl.load(query_norm + half + dim, mask=dim < half, other=0.0).to(tl.float32)[None, :]
        k1 = tl.load(key_norm + dim, mask=dim < half, other=0.0).to(tl.float32)[None, :]
        k2 = tl.load(key_norm + half + dim, mask=dim < half, other=0.0).to(tl.float32)[None, :]
        # a value head is normed too, and stored as it was
        first = (first * factor).to(dtype).to(tl.float32) * tl.where(is_query, q1, k1)
        second = (second * factor).to(dtype).to(tl.float32) * tl.where(is_query, q2, k2)
        first = first.to(dtype).to(tl.float32)
        second = second.to(dtype).to(tl.float32)

    position = tl.load(positions + token).to(tl.int64)
    slot = tl.load(slots + token).to(tl.int64)
    c = tl.load(cos + position * half + dim, mask=dim < half, other=0.0).to(tl.float32)[None, :]
    s = tl.load(sin + position * half + dim, mask=dim < half, other=0.0).to(tl.float32)[None, :]
    # each product and each sum rounded, as operators of that precision do
    turned_first = (first * c).to(dtype).to(tl.float32) - (second * s).to(dtype).to(tl.float32)
    turned_second = (second * c).to(dtype).to(tl.float32) + (first * s).to(dtype).to(tl.float32)

    target = query + (token * heads + head[:, None]) * (2 * half) + dim[None, :]
    tl.store(target, turned_first.to(dtype), mask=is_query & in_half)
    tl.store(target + half, turned_second.to(dtype), mask=is_query & in_half)
    target = keys + slot * key_slot_stride + position * key_token_stride
    target += (head - heads)[:, None] * key_head_stride + dim[None, :]
    tl.store(target, turned_first.to(dtype), mask=is_key & in_half)
    tl.store(target + half, turned_second.to(dtype), mask=is_key & in_half)
    target = values + slot * value_slot_stride + position * value_token_stride
    target += (head - heads - kv_heads)[:, None] * value_head_stride + dim[None, :]
    tl.store(target, stored_first, mask=is_value & in_half)
    tl.store(target + half, stored_second, mask=is_value & in_half)
