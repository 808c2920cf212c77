"""Any transformers causal LM over slots, through transformers' AttentionInterface."""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface

from paretobench.core.errors import CheckpointError
from paretobench.runners.torch.attention import SlotAttention
from paretobench.runners.torch.batch import PackedBatch
from paretobench.runners.torch.packing import prepack_linears
from paretobench.runners.torch.slots import KVShape

IMPLEMENTATION = "paretobench_slots"

# What some architectures add to attention and the slots do not compute.
_UNSUPPORTED = ("s_aux", "sinks", "softcap", "position_bias", "indices")


class TransformersModel:
    """A `Backend` over the model's own modules; its attention and linear layers are replaced."""

    name = "transformers"

    def __init__(self, model: Any) -> None:
        """Take over a transformers causal LM.

        Raises CheckpointError where the architecture's attention cannot be replaced.
        """
        self._model = model.eval().requires_grad_(False)
        parameter = next(model.parameters())
        self.device: torch.device = parameter.device
        self.dtype: torch.dtype = parameter.dtype
        self.num_parameters = int(model.num_parameters())
        text = model.config.get_text_config()
        self.vocab_size = int(text.vocab_size)
        self.heads = int(text.num_attention_heads)
        self.kv_shape = kv_shape(model)
        AttentionInterface.register(IMPLEMENTATION, slots_attention)
        use_attention(model, IMPLEMENTATION)
        packed = prepack_linears(model)
        self.linear_backend = "prepacked oneDNN" if packed else "plain"

    def logits(self, batch: PackedBatch, attention: SlotAttention) -> torch.Tensor:
        """Return the wanted rows' logits, [rows, vocabulary], and store the batch in its slots."""
        wanted = batch.logit_rows
        logits: torch.Tensor = self._model(
            input_ids=batch.token_ids[None],
            position_ids=batch.position_ids[None],
            use_cache=False,
            logits_to_keep=0 if wanted is None else wanted,
            slot_attention=attention,
        ).logits[0]
        if wanted is not None and len(logits) != len(wanted):
            logits = logits[wanted]  # an architecture that takes no logits_to_keep
        return logits


def use_attention(model: Any, implementation: str) -> None:
    """Let the model compute attention by this implementation of transformers.

    Raises CheckpointError where the architecture has its attention fixed.
    """
    model.set_attn_implementation(implementation)
    found = model.config.get_text_config()._attn_implementation
    if found != implementation:
        raise CheckpointError(
            f"{type(model).__name__}: expected attention that goes through transformers' "
            f"AttentionInterface, found {found} fixed in the architecture; choose another model"
        )


def slots_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    slot_attention: SlotAttention | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Store keys and values in their slots and return attention, [1, tokens, heads, value_dim].

    `query` is [1, heads, tokens, head_dim], `key` and `value` [1, kv_heads, tokens, head_dim].
    Raises CheckpointError for what the slots do not compute.
    """
    if slot_attention is None:
        raise CheckpointError(
            f"{type(module).__name__}: expected to be handed the slots, found a model that does "
            "not pass its arguments on to its attention; choose another architecture"
        )
    _refuse_unsupported(module, attention_mask, slot_attention, options)
    query, key, value = (t[0].transpose(0, 1) for t in (query, key, value))
    assert key.shape[0] == value.shape[0] == query.shape[0]  # [tokens, heads or kv_heads, dim]
    index: int = module.layer_idx  # type: ignore[assignment]
    slot_attention.cache.check(index, key, value)
    slot_attention.store(index, key, value)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return slot_attention.attend(index, query, scale)[None], None


def _refuse_unsupported(
    module: torch.nn.Module,
    attention_mask: torch.Tensor | None,
    attention: SlotAttention,
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
    if window is not None and window < attention.cache.request_tokens:
        raise CheckpointError(
            f"{name}: expected requests within its sliding window of {window} tokens, "
            f"found {attention.cache.request_tokens}; shorten prompt + output"
        )


def kv_shape(model: Any) -> KVShape:
    """Return what the model caches of a token, counted from its configuration."""
    config = model.config.get_text_config()
    names = (  # under which all architectures answer
        "num_hidden_layers", "num_attention_heads", "hidden_size", "num_key_value_heads",
        "head_dim", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
    )  # fmt: skip
    return KVShape.of({name: getattr(config, name, None) for name in names})
