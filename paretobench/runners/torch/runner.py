"""The runner that measures: a transformers model over slots, greedy, on one device."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from paretobench.core.errors import DeviceOutOfMemoryError, UserInputError
from paretobench.core.values import Request
from paretobench.runners.base import Capacity, Prompts
from paretobench.runners.torch.batch import pack
from paretobench.runners.torch.context import max_exact_tokens
from paretobench.runners.torch.devices import describe_device
from paretobench.runners.torch.forward import SlotModel
from paretobench.runners.torch.memory import is_out_of_memory
from paretobench.runners.torch.reference import check_against_reference
from paretobench.runners.torch.table import SlotTable

logger = logging.getLogger(__name__)
Result = TypeVar("Result")


class TorchRunner:
    """A `Runner` over a transformers causal LM: packed steps, no padding between requests.

    `model` is the runner's from now on: its attention is replaced by the slots', and on a CPU its
    linear layers by packed ones. `name` and `weights` are for people: "nano", "random weights".
    """

    def __init__(self, model: Any, *, name: str, weights: str) -> None:
        self._forward = SlotModel(model)
        self._name = name
        self._weights = weights
        self._max_positions = max_exact_tokens(model.config.to_dict())
        self._table = SlotTable(0)
        self._prompts: Prompts | None = None

    @property
    def vocab_size(self) -> int:
        """How many token ids there are; prompts keep below."""
        return self._forward.vocab_size

    @property
    def max_positions(self) -> int | None:
        """The longest prompt + output that is computed exactly; None: no limit known."""
        return self._max_positions

    def check_against_reference(self) -> None:
        """Compare the slots with the model's own attention; empties all slots.

        Raises CheckpointError where they differ: a model computed wrongly is not measured.
        """
        self._end_trial()
        self._or_free("the check against the model's own attention", self._check)

    def start_trial(
        self, *, max_batch_size: int, max_request_tokens: int, prompts: Prompts
    ) -> None:
        """Empty all slots and make room for `max_batch_size` requests of that many tokens.

        Raises DeviceOutOfMemoryError where there is no room; UserInputError where the model does
        not reach that far.
        """
        limit = self._max_positions
        if limit is not None and max_request_tokens > limit:
            raise UserInputError(
                f"workload: {self._name} computes prompt + output of at most {limit} tokens, "
                f"found {max_request_tokens}; shorten prompt_tokens or output_tokens"
            )
        self._end_trial()
        self._or_free(
            f"{max_batch_size} slots of {max_request_tokens} tokens",
            lambda: self._reserve(max_batch_size, max_request_tokens),
        )
        self._table = SlotTable(max_batch_size)
        self._prompts = prompts

    def step(self, join: Sequence[Request]) -> list[tuple[int, int]]:
        """Run one step; return `(request_id, token)` of every request that got a token.

        Raises DeviceOutOfMemoryError; after it only `start_trial` may be called.
        """
        rows = self._table.num_rows
        if not rows and not join:
            return []
        assert self._prompts is not None, "start_trial comes first"
        assert rows + len(join) <= self._table.num_slots, "more requests than slots"
        # neighbours of one length are computed as one
        join = sorted(join, key=lambda request: request.prompt_tokens)
        prompts = [self._prompt(request, self._prompts) for request in join]
        tokens = self._or_free(
            f"a step of {rows} decode rows and {sum(map(len, prompts))} prompt tokens "
            f"over {self._table.num_slots} slots of {self._forward.cache.request_tokens} tokens",
            lambda: self._greedy_tokens(prompts),
        )
        return self._table.advance(join, tokens)

    def leave(self, request_ids: Sequence[int]) -> None:
        """Free the slots of these requests; the last ones move into the holes."""
        with torch.inference_mode():
            for source, target, tokens in self._table.leave(request_ids):
                self._forward.cache.move(source, target, tokens)

    def capacity(self) -> Capacity:
        """Return what fits now."""
        return Capacity(
            free_slots=self._table.num_slots - self._table.num_rows,
            max_request_tokens=self._forward.cache.request_tokens or self._max_positions,
        )

    def warm_up(
        self, batch_sizes: Sequence[int], *, prompt_tokens: int, max_request_tokens: int
    ) -> None:
        """Run a prefill and two decode steps at every size, the largest first.

        The largest first: the allocator then has its blocks for all others. Sizes for which there
        is no memory are passed over with a warning. Leaves all slots empty.
        """
        rng = np.random.default_rng(0)
        prompt_tokens = max(1, min(prompt_tokens, max_request_tokens - 3))
        for size in sorted(set(batch_sizes), reverse=True):
            requests = [
                Request(request_id=i, arrival_s=0.0, prompt_tokens=prompt_tokens, output_tokens=3)
                for i in range(size)
            ]
            try:
                self.start_trial(
                    max_batch_size=size,
                    max_request_tokens=max_request_tokens,
                    prompts=lambda r: rng.integers(self.vocab_size, size=r.prompt_tokens),
                )
                for join in (requests, [], []):
                    self.step(join)
            except DeviceOutOfMemoryError as error:
                logger.warning("batch size %d is not warmed up: %s", size, error)
            self._end_trial()

    def describe(self) -> dict[str, Any]:
        """Return what is measured and on what; missing is None."""
        on_cuda = self._forward.device.type == "cuda"
        count = self._forward.num_parameters
        return {
            "kind": "torch",
            "model": f"{self._name} ({_count(count)} parameters, {self._weights})",
            "num_parameters": count,
            "vocab_size": self.vocab_size,
            "max_positions": self._max_positions,
            "dtype": str(self._forward.cache.dtype).removeprefix("torch."),
            "attention_backend": "slots: SDPA" if on_cuda else "slots: SDPA and matmul (CPU)",
            "linear_backend": "prepacked oneDNN" if self._forward.num_prepacked else "plain",
            **describe_device(self._forward.device),
        }

    def _end_trial(self) -> None:
        self._table = SlotTable(0)
        self._prompts = None

    def _check(self) -> None:
        check_against_reference(self._forward)

    def _reserve(self, num_slots: int, slot_tokens: int) -> None:
        with torch.inference_mode():
            self._forward.cache.reserve(num_slots=num_slots, slot_tokens=slot_tokens)

    def _prompt(self, request: Request, prompts: Prompts) -> NDArray[np.int64]:
        prompt = prompts(request)
        assert prompt.shape == (request.prompt_tokens,)
        assert request.prompt_tokens >= 1
        assert request.output_tokens >= 1
        tokens = request.prompt_tokens + request.output_tokens
        assert tokens <= self._forward.cache.request_tokens, "a request longer than a slot"
        # outside, a GPU would trip over it and not be usable again
        assert prompt.min() >= 0
        assert prompt.max() < self.vocab_size
        return prompt

    def _greedy_tokens(self, prompts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Return the next token of every row, then of every prompt; on the host."""
        table = self._table
        batch = pack(table.tokens, table.positions, prompts, self._forward.device)
        with torch.inference_mode():
            # the copy to the host waits for the device, so the step's time is all there
            return self._forward.logits(batch).argmax(-1).cpu().numpy()

    def _or_free(self, what: str, run: Callable[[], Result]) -> Result:
        """Return `run()`; where memory runs out, free ours and raise DeviceOutOfMemoryError."""
        try:
            return run()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            reason = (str(error).splitlines() or ["out of memory"])[0]
        # outside the handler: the traceback is gone, and with it the activations in its frames
        self._end_trial()
        self._forward.cache.free()
        gc.collect()
        if self._forward.device.type == "cuda":
            torch.cuda.empty_cache()
        raise DeviceOutOfMemoryError(
            f"{self._name} on {self._forward.device}: no memory for {what} ({reason}); "
            "lower max_batch_size, or prompt_tokens and output_tokens"
        )


def _count(number: int) -> str:
    return f"{number / 1e9:.2f} B" if number >= 1e9 else f"{number / 1e6:.1f} M"
