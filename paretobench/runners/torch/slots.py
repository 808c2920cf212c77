"""The memory of keys and values: equal slots, allocated once for the largest trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from paretobench.core.errors import CheckpointError
from paretobench.runners.torch.batch import round_up
from paretobench.runners.torch.memory import require_host_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class KVShape:
    """What the cache holds of one token; all layers are alike."""

    num_layers: int
    kv_heads: int
    key_dim: int
    value_dim: int

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> KVShape:
        """Count from a transformers configuration.

        >>> KVShape.of({"num_hidden_layers": 2, "num_attention_heads": 8, "hidden_size": 64})
        KVShape(num_layers=2, kv_heads=8, key_dim=8, value_dim=8)
        """
        heads = config["num_attention_heads"]
        if config.get("qk_nope_head_dim"):  # latent attention hands out all heads
            key_dim = config["qk_nope_head_dim"] + config["qk_rope_head_dim"]
            value_dim = config["v_head_dim"]
        else:
            key_dim = value_dim = config.get("head_dim") or config["hidden_size"] // heads
        return cls(
            num_layers=config["num_hidden_layers"],
            kv_heads=config.get("num_key_value_heads") or heads,
            key_dim=key_dim,
            value_dim=value_dim,
        )

    def token_bytes(self, dtype: torch.dtype) -> int:
        """Return the bytes that one token takes in all layers."""
        dims = self.key_dim + self.value_dim
        return self.num_layers * self.kv_heads * dims * dtype.itemsize


class SlotCache:
    """Keys and values, each [layers, slots + 1, kv_heads, slot_tokens, head_dim].

    The layout stays what the largest trial asked for: recorded graphs keep its addresses. The slot
    after the last is nobody's: rows that only fill a bucket write there.
    """

    def __init__(self, shape: KVShape, *, dtype: torch.dtype, device: torch.device) -> None:
        self.shape = shape
        self.dtype = dtype
        self.device = device
        self.num_slots = 0
        self.slot_tokens = 0  # a whole number of buckets
        self.request_tokens = 0  # the longest request of the trial at hand
        self._views: tuple[torch.Tensor, torch.Tensor] | None = None
        self._layers: list[tuple[torch.Tensor, torch.Tensor]] = []

    @property
    def token_bytes(self) -> int:
        """What one token takes, in bytes."""
        return self.shape.token_bytes(self.dtype)

    def reserve(self, *, num_slots: int, slot_tokens: int) -> None:
        """Allocate anew for `num_slots` requests of up to `slot_tokens`.

        Raises torch.OutOfMemoryError, MemoryError or RuntimeError where there is no room.
        """
        self.free()  # first: the old and the new one need not fit together
        slot_tokens = round_up(slot_tokens)
        shape = self.shape
        lead = (shape.num_layers, num_slots + 1, shape.kv_heads, slot_tokens)
        if self.device.type == "cpu":
            require_host_memory((num_slots + 1) * slot_tokens * self.token_bytes)
        # zeros, not empty: masked entries are multiplied by 0, and 0 × NaN is NaN.
        # And written now, lest the pages be mapped in while a trial is timed.
        keys, values = (
            torch.empty(*lead, dim, dtype=self.dtype, device=self.device).zero_()
            for dim in (shape.key_dim, shape.value_dim)
        )
        self.num_slots, self.slot_tokens = num_slots, slot_tokens
        self._views = (keys, values)
        self._layers = list(zip(keys.unbind(), values.unbind(), strict=True))

    def layer(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a layer's keys and values, each [slots + 1, kv_heads, slot_tokens, head_dim]."""
        return self._layers[index]

    def check(self, index: int, key: torch.Tensor, value: torch.Tensor) -> None:
        """Raise CheckpointError unless a layer's keys and values, [tokens, kv_heads, head_dim],
        are what the configuration says."""
        shape = self.shape
        expected = (shape.kv_heads, shape.key_dim, shape.kv_heads, shape.value_dim)
        found = (*key.shape[1:], *value.shape[1:])
        if found != expected or index >= shape.num_layers:
            raise CheckpointError(
                f"model: expected attention layers of one shape ({shape}), found keys and "
                f"values {found} in layer {index} of {shape.num_layers}; choose another model"
            )

    def move(self, source: int, target: int, tokens: int) -> None:
        """Copy the first `tokens` of slot `source` into slot `target`, in every layer."""
        assert self._views is not None
        for stored in self._views:
            stored[:, target, :, :tokens] = stored[:, source, :, :tokens]

    def copy(self, slot: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the first `tokens` of a slot, each [layers, kv_heads, tokens, dim], for `paste`.

        Raises torch.OutOfMemoryError, MemoryError or RuntimeError where there is no room.
        """
        assert self._views is not None
        if self.device.type == "cpu":
            require_host_memory(tokens * self.token_bytes)
        keys, values = (stored[:, slot, :, :tokens].clone() for stored in self._views)
        return keys, values

    def paste(self, slot: int, keys: torch.Tensor, values: torch.Tensor) -> None:
        """Put what `copy` returned at the beginning of a slot."""
        assert self._views is not None
        for stored, kept in zip(self._views, (keys, values), strict=True):
            stored[:, slot, :, : kept.shape[2]] = kept

    def free(self) -> None:
        """Give all memory back; `reserve` starts anew."""
        self._layers = []
        self._views = None
        self.num_slots = self.slot_tokens = 0
