"""A transformers model that computes packed batches over slots."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from paretobench.core.errors import CheckpointError
from paretobench.runners.torch.attention import IMPLEMENTATION, SlotStep, register
from paretobench.runners.torch.batch import PackedBatch
from paretobench.runners.torch.packing import prepack_linears
from paretobench.runners.torch.slots import SlotCache


class SlotModel:
    """The model, its slots, and the one forward that both the runner and its check use."""

    def __init__(self, model: Any) -> None:
        """Take over a transformers causal LM; its attention and linear layers are replaced.

        Raises CheckpointError where the architecture's attention cannot be replaced.
        """
        self.model = model.eval().requires_grad_(False)
        parameter = next(model.parameters())
        self.device: torch.device = parameter.device
        self.num_parameters = int(model.num_parameters())
        text = model.config.get_text_config()
        self.vocab_size = int(text.vocab_size)
        self.cache = SlotCache(
            num_layers=int(text.num_hidden_layers), dtype=parameter.dtype, device=self.device
        )
        register()
        self.use(IMPLEMENTATION)
        self.num_prepacked = prepack_linears(model)

    def use(self, implementation: str) -> None:
        """Let the model compute attention by this implementation of transformers."""
        self.model.set_attn_implementation(implementation)
        text = self.model.config.get_text_config()
        if text._attn_implementation != implementation:
            raise CheckpointError(
                f"{type(self.model).__name__}: expected attention that goes through transformers' "
                f"AttentionInterface, found {text._attn_implementation} fixed in the architecture; "
                "choose another model"
            )

    def logits(self, batch: PackedBatch) -> torch.Tensor:
        """Return the wanted rows' logits, [rows, vocabulary], and store the batch in its slots."""
        wanted = batch.logit_rows
        with torch.inference_mode(), self._backends():
            logits: torch.Tensor = self.model(
                input_ids=batch.token_ids,
                position_ids=batch.position_ids,
                use_cache=False,
                logits_to_keep=0 if wanted is None else wanted,
                slot_step=SlotStep(batch, self.cache),
            ).logits[0]
            if wanted is not None and len(logits) != len(wanted):
                logits = logits[wanted]  # an architecture that takes no logits_to_keep
        return logits

    def _backends(self) -> AbstractContextManager[None]:
        if self.device.type == "cpu":
            return nullcontext()
        # Flash for the prompts, memory-efficient for the masked decode rows. cuDNN is left out:
        # it builds a plan for every new shape, in the middle of a measurement.
        return sdpa_kernel(
            [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
        )
