"""The memory of keys and values: equal slots, allocated once and only ever grown."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from paretobench.core.errors import CheckpointError
from paretobench.runners.torch.batch import round_up
from paretobench.runners.torch.memory import require_host_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class KVShape:
    """What one layer stores of one token; all layers are alike."""

    kv_heads: int
    key_dim: int
    value_dim: int


class SlotCache:
    """Keys and values, each [layers, slots, kv_heads, slot_tokens, head_dim].

    The shape of a layer is learned from the first keys that a model produces, so any architecture
    of uniform attention fits. A trial sees its own number of slots of its own length over one
    allocation; it is replaced only when a trial needs more.
    """

    def __init__(self, *, num_layers: int, dtype: torch.dtype, device: torch.device) -> None:
        self.dtype = dtype
        self.device = device
        self.num_layers = num_layers
        self.num_slots = 0
        self.slot_tokens = 0  # a whole number of buckets
        self.request_tokens = 0  # what was asked for
        self.slot_index = torch.empty(0, dtype=torch.int64, device=device)  # 0, 1, … num_slots
        self._shape: KVShape | None = None
        self._storage: dict[str, torch.Tensor] = {}
        self._layers: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._views: tuple[torch.Tensor, torch.Tensor] | None = None

    def reserve(self, *, num_slots: int, slot_tokens: int) -> None:
        """Make room for `num_slots` requests of up to `slot_tokens`; what was stored is void.

        Raises torch.OutOfMemoryError, MemoryError or RuntimeError where there is no room.
        """
        self.num_slots = num_slots
        self.request_tokens = slot_tokens
        self.slot_tokens = round_up(slot_tokens)
        self._views = None
        self._layers = []
        if self._shape is not None:
            self._allocate(self._shape)
        self.slot_index = torch.arange(num_slots, device=self.device)

    def layer(
        self, index: int, key: torch.Tensor, value: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values of layer `index`, each [slots, kv_heads, slot_tokens, head_dim].

        `key` and `value` are what the layer has to store, [tokens, kv_heads, head_dim].
        Raises CheckpointError where a layer's shape is not that of the others.
        """
        if not self._layers:
            self._shape = KVShape(
                kv_heads=key.shape[1], key_dim=key.shape[2], value_dim=value.shape[2]
            )
            self._allocate(self._shape)
        shape = self._shape
        assert shape is not None
        heads, key_dim, value_dim = shape.kv_heads, shape.key_dim, shape.value_dim
        found = (*key.shape[1:], *value.shape[1:])
        if found != (heads, key_dim, heads, value_dim) or index >= self.num_layers:
            raise CheckpointError(
                f"model: expected attention layers of one shape ({shape}), found keys and "
                f"values {found} in layer {index} of {self.num_layers}; choose another model"
            )
        return self._layers[index]

    def move(self, source: int, target: int, tokens: int) -> None:
        """Copy the first `tokens` of slot `source` into slot `target`, in every layer."""
        if self._views is None:  # nothing was ever computed
            return
        for stored in self._views:
            stored[:, target, :, :tokens] = stored[:, source, :, :tokens]

    def free(self) -> None:
        """Give all memory back; `reserve` starts anew."""
        self._storage = {}
        self._layers = []
        self._views = None
        self.num_slots = self.slot_tokens = 0

    def num_bytes(self) -> int:
        """Return what the slots take, in bytes; 0 before any model has run."""
        return sum(flat.nbytes for flat in self._storage.values())

    def _allocate(self, shape: KVShape) -> None:
        tokens = self.num_layers * self.num_slots * shape.kv_heads * self.slot_tokens
        wanted = {"keys": tokens * shape.key_dim, "values": tokens * shape.value_dim}
        held = {name: flat.numel() for name, flat in self._storage.items()}
        if any(held.get(name, -1) < size for name, size in wanted.items()):
            self._storage = {}  # first: the old and the new one need not fit together
            if self.device.type == "cpu":
                require_host_memory(sum(wanted.values()) * self.dtype.itemsize)
            # zeros, not empty: masked entries are multiplied by 0, and 0 × NaN is NaN.
            # And written now, lest the pages be mapped in while a trial is timed.
            self._storage = {
                name: torch.empty(size, dtype=self.dtype, device=self.device).zero_()
                for name, size in wanted.items()
            }
        lead = (self.num_layers, self.num_slots, shape.kv_heads, self.slot_tokens)
        keys, values = (
            self._storage[name][: wanted[name]].view(*lead, dim)
            for name, dim in (("keys", shape.key_dim), ("values", shape.value_dim))
        )
        self._views = (keys, values)
        self._layers = list(zip(keys.unbind(), values.unbind(), strict=True))
