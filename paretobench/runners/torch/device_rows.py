"""What the device knows of each slot, so that decode steps need nothing from the host."""

from __future__ import annotations

import numpy as np
import torch

from paretobench.runners.torch.table import SlotTable


class DeviceRows:
    """Tensors of int64, [slots], at addresses that recorded graphs keep.

    `tokens` is what each slot feeds next. The others serve graphs alone, which advance them as the
    table does on the host: `positions` is where the next token goes, `owed` how many tokens are
    still owed, `slots` where the row writes (rows that only fill a bucket write to the scratch
    slot), `reported` what the last step sampled, -1 where the logits were not finite.
    """

    def __init__(self, num_slots: int, device: torch.device) -> None:
        self.num_slots = num_slots
        self._device = device
        self.tokens = torch.zeros(num_slots, dtype=torch.int64, device=device)
        self.reported = torch.zeros_like(self.tokens)
        self._state = torch.zeros(3, num_slots, dtype=torch.int64, device=device)
        self.positions, self.owed, self.slots = self._state

    def clear(self) -> None:
        """Forget every request."""
        self.tokens.zero_()

    def upload(self, table: SlotTable) -> None:
        """Bring positions, owed tokens and slots to where the host's table stands.

        What is queued on the device so far must be all that the table has counted.
        """
        rows = table.num_decode
        state = np.zeros((3, self.num_slots), np.int64)
        state[0, :rows] = table.positions
        state[1, :rows] = table.owed
        state[2] = self.num_slots  # the scratch slot
        state[2, :rows] = np.arange(rows)
        host = torch.from_numpy(state)
        if self._device.type == "cuda":
            host = host.pin_memory()  # a fresh buffer: the last one may still be on its way
        self._state.copy_(host, non_blocking=True)

    def move(self, source: int, target: int) -> None:
        """Let slot `target` feed what slot `source` would have."""
        self.tokens[target] = self.tokens[source]


def sample(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the greedy tokens of [rows, vocabulary], and what to report of them: -1 where the
    best logit is not finite (the token itself is always one of the vocabulary).
    """
    best, tokens = logits.max(-1)
    return tokens, torch.where(best.isfinite(), tokens, -1)
