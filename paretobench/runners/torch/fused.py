"""The fused decoder: Llama and Qwen3 over packed batches, from the weights of transformers.

Query, key and value are one matrix product, gate and up another; the head sees only the rows whose
token is wanted. The structure is that of transformers' `modeling_llama` and `modeling_qwen3`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from paretobench.core.errors import UserInputError
from paretobench.runners.torch.attention import SlotAttention
from paretobench.runners.torch.batch import PackedBatch
from paretobench.runners.torch.context import max_exact_tokens
from paretobench.runners.torch.elementwise import EAGER, Elementwise
from paretobench.runners.torch.kernels import SlotKernels
from paretobench.runners.torch.packing import PrepackedLinear, pack_linear
from paretobench.runners.torch.slots import KVShape

FAMILIES = ("llama", "qwen3")

MakeLinear = Callable[[torch.Tensor, torch.Tensor | None], torch.nn.Module]
"""From a weight, [out, in], and a bias to the layer that computes with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layer:
    qkv: torch.nn.Module
    output: torch.nn.Module
    gate_up: torch.nn.Module
    down: torch.nn.Module
    input_norm: torch.Tensor  # [hidden]
    mlp_norm: torch.Tensor  # [hidden]
    query_norm: torch.Tensor | None  # [dim]
    key_norm: torch.Tensor | None  # [dim]
    head_norm: torch.Tensor | None  # both, written out: [heads + kv_heads, dim]


def why_not_fused(config: Any) -> str | None:
    """Return what of a transformers configuration the fused decoder does not compute."""
    if config.model_type not in FAMILIES:
        return f"model type {config.model_type}"
    if config.hidden_act != "silu":
        return f"hidden_act {config.hidden_act}"
    return None


def require_fused(config: Any) -> None:
    """Raise UserInputError where the fused decoder cannot compute this model."""
    if found := why_not_fused(config):
        raise UserInputError(
            f"model.backend: fused computes the {' and '.join(FAMILIES)} families with silu, "
            f"found {found}; give backend: auto or transformers"
        )


class FusedDecoder:
    """A `Backend` for the Llama and Qwen3 families."""

    name = "fused"

    def __init__(
        self,
        model: Any,
        *,
        elementwise: Elementwise = EAGER,
        quantise: MakeLinear | None = None,
        slot_kernels: SlotKernels | None = None,
    ) -> None:
        """Take the weights over; `model` is empty afterwards.

        `quantise` makes the linear layers of the decoder layers (the head keeps its precision),
        `slot_kernels` rotate and store in one go.
        """
        config = model.config
        decoder = model.model
        require_fused(config)
        parameter = next(model.parameters())
        self.device: torch.device = parameter.device
        self.dtype: torch.dtype = parameter.dtype
        self.num_parameters = int(model.num_parameters())
        self.vocab_size = int(config.vocab_size)
        self.heads = int(config.num_attention_heads)
        self.kv_shape = KVShape.of(config.to_dict())
        self._eps = float(config.rms_norm_eps)
        self._elementwise = elementwise
        self._slot_kernels = slot_kernels
        self._cosine, self._sine = _rotary_tables(decoder.rotary_emb, config, parameter)
        self._embedding = decoder.embed_tokens.weight.detach()
        self._scale = float(decoder.layers[0].self_attn.scaling)
        self._layers: list[_Layer] = []
        for i in range(len(decoder.layers)):
            self._layers.append(self._take_layer(decoder.layers[i], quantise or _linear))
            # the originals go at once: not both fit where the model fills the memory
            decoder.layers[i] = torch.nn.Identity()
        self._norm = decoder.norm.weight.detach()
        self._head = _linear(model.lm_head.weight.detach(), None)
        model.lm_head = torch.nn.Identity()
        self.linear_backend = _kind(self._layers[0].qkv)

    def logits(self, batch: PackedBatch, attention: SlotAttention) -> torch.Tensor:
        """Return the wanted rows' logits, [rows, vocabulary], and store the batch in its slots."""
        add_norm, gate = self._elementwise.add_norm, self._elementwise.gate
        hidden = functional.embedding(batch.token_ids, self._embedding)
        cosine = sine = None
        if self._slot_kernels is None:
            cosine = self._cosine[batch.position_ids][:, None]  # [tokens, 1, dim / 2]
            sine = self._sine[batch.position_ids][:, None]
        first = self._layers[0].input_norm
        normed = functional.rms_norm(hidden, first.shape, first, self._eps)
        for index, layer in enumerate(self._layers):
            query = self._store(index, layer, layer.qkv(normed), cosine, sine, batch, attention)
            attended = attention.attend(index, query, self._scale).flatten(1)
            hidden, normed = add_norm(hidden, layer.output(attended), layer.mlp_norm, self._eps)
            update = layer.down(gate(layer.gate_up(normed)))
            last = index + 1 == len(self._layers)
            if last and batch.logit_rows is not None:
                hidden, update = hidden[batch.logit_rows], update[batch.logit_rows]
            norm = self._norm if last else self._layers[index + 1].input_norm
            hidden, normed = add_norm(hidden, update, norm, self._eps)
        logits: torch.Tensor = self._head(normed)
        return logits

    def _store(
        self,
        index: int,
        layer: _Layer,
        qkv: torch.Tensor,
        cosine: torch.Tensor | None,
        sine: torch.Tensor | None,
        batch: PackedBatch,
        attention: SlotAttention,
    ) -> torch.Tensor:
        """Store a layer's rotated keys and its values; return the rotated query."""
        heads, kv_heads = self.heads, self.kv_shape.kv_heads
        if self._slot_kernels is not None:
            keys, values = attention.cache.layer(index)
            return self._slot_kernels.rotate_and_store(
                qkv,
                batch.position_ids,
                batch.slots,
                self._cosine,
                self._sine,
                keys,
                values,
                heads=heads,
                kv_heads=kv_heads,
                query_norm=layer.query_norm,
                key_norm=layer.key_norm,
                eps=self._eps,
            )
        assert cosine is not None
        assert sine is not None
        split = qkv.view(qkv.shape[0], heads + 2 * kv_heads, -1)
        rotated = self._elementwise.rotate(
            split[:, : heads + kv_heads], cosine, sine, layer.head_norm, self._eps
        )
        attention.store(index, rotated[:, heads:], split[:, heads + kv_heads :])
        return rotated[:, :heads]

    def _take_layer(self, layer: Any, make: MakeLinear) -> _Layer:
        attention, mlp = layer.self_attn, layer.mlp
        query_norm = key_norm = head_norm = None
        if hasattr(attention, "q_norm"):
            query_norm = attention.q_norm.weight.detach()
            key_norm = attention.k_norm.weight.detach()
            head_norm = torch.cat(
                [
                    query_norm.expand(self.heads, -1),
                    key_norm.expand(self.kv_shape.kv_heads, -1),
                ]
            )
        return _Layer(
            qkv=_joined([attention.q_proj, attention.k_proj, attention.v_proj], make),
            output=_joined([attention.o_proj], make),
            gate_up=_joined([mlp.gate_proj, mlp.up_proj], make),
            down=_joined([mlp.down_proj], make),
            input_norm=layer.input_layernorm.weight.detach(),
            mlp_norm=layer.post_attention_layernorm.weight.detach(),
            query_norm=query_norm,
            key_norm=key_norm,
            head_norm=head_norm,
        )


def _joined(linears: Sequence[torch.nn.Linear], make: MakeLinear) -> torch.nn.Module:
    weight = torch.cat([linear.weight.detach() for linear in linears])
    biases = [linear.bias.detach() for linear in linears if linear.bias is not None]
    return make(weight, torch.cat(biases) if biases else None)


def _linear(weight: torch.Tensor, bias: torch.Tensor | None) -> torch.nn.Module:
    """Return a packed layer where this CPU packs it, a plain one elsewhere."""
    with torch.device("meta"):
        plain = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    plain.weight = torch.nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        plain.bias = torch.nn.Parameter(bias, requires_grad=False)
    return pack_linear(plain) or plain


def _kind(linear: torch.nn.Module) -> str:
    if isinstance(linear, PrepackedLinear):
        return "prepacked oneDNN"
    return "plain" if isinstance(linear, torch.nn.Linear) else str(linear)


def _rotary_tables(
    rotary: Any, config: Any, like: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosine and sine of every position that is computed exactly, each [., dim / 2]."""
    positions = torch.arange(max_exact_tokens(config.to_dict()) or 0, device=like.device)
    with torch.inference_mode():
        cosine, sine = rotary(like, positions[None])
    half = cosine.shape[-1] // 2
    cosine, sine = (t[0, :, :half].to(like.dtype).contiguous() for t in (cosine, sine))
    return cosine, sine
