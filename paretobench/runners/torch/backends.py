"""What computes a packed batch: a model over slots."""

from __future__ import annotations

from typing import Protocol

import torch

from paretobench.runners.torch.attention import SlotAttention
from paretobench.runners.torch.batch import PackedBatch
from paretobench.runners.torch.slots import KVShape


class Backend(Protocol):
    """A causal LM on one device. Computes under `torch.inference_mode`, which the caller sets."""

    name: str
    device: torch.device
    dtype: torch.dtype
    vocab_size: int
    num_parameters: int
    heads: int  # query heads
    kv_shape: KVShape
    linear_backend: str

    def logits(self, batch: PackedBatch, attention: SlotAttention) -> torch.Tensor:
        """Return the wanted rows' logits, [rows, vocabulary], and store the batch in its slots."""
