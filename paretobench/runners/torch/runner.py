"""The runner that measures: a causal LM over slots, greedy, on one device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from paretobench.core.errors import DeviceOutOfMemoryError, TrialError, UserInputError
from paretobench.core.values import Preemption, Request
from paretobench.runners.base import Capacity, Prompts, StepResult
from paretobench.runners.torch.backends import Backend
from paretobench.runners.torch.devices import describe_device
from paretobench.runners.torch.graphs import Capture
from paretobench.runners.torch.kernels import AttentionKernels
from paretobench.runners.torch.launch import launch
from paretobench.runners.torch.layout import Layout
from paretobench.runners.torch.memory import is_out_of_memory
from paretobench.runners.torch.preempted import Preempted
from paretobench.runners.torch.readback import ImmediateReadback, Readback, combined
from paretobench.runners.torch.table import SlotTable, StepPlan
from paretobench.runners.torch.warm_up import warm_up

Result = TypeVar("Result")


class TorchRunner:
    """A `Runner` over a model: packed steps, no padding between requests.

    `name` and `weights` are for people: "nano", "random weights". `max_positions` is the longest
    prompt + output that is computed exactly. With `make_capture`, called anew for every layout of
    slots, decode steps are recorded and replayed. `facts` are further entries of `describe`.
    """

    def __init__(
        self,
        backend: Backend,
        kernels: AttentionKernels,
        *,
        name: str,
        weights: str,
        max_positions: int | None,
        make_capture: Callable[[], Capture] | None = None,
        readback: Readback | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        self._backend = backend
        self._kernels = kernels
        self._name = name
        self._weights = weights
        self._max_positions = max_positions
        self._facts = facts or {}
        self._readback = readback or ImmediateReadback()
        self._layout = Layout(backend, kernels, make_capture)
        self._table = SlotTable(0)
        self._preempted = Preempted(None, self._layout, self._table)
        self._prompts: Prompts | None = None
        self._kv_budget_tokens: int | None = None
        self._max_prefill_tokens: int | None = None

    @property
    def vocab_size(self) -> int:
        """How many token ids there are; prompts keep below."""
        return self._backend.vocab_size

    @property
    def max_positions(self) -> int | None:
        """The longest prompt + output that is computed exactly; None: no limit known."""
        return self._max_positions

    def start_trial(
        self,
        *,
        max_batch_size: int,
        max_request_tokens: int,
        prompts: Prompts,
        kv_budget_tokens: int | None = None,
        max_prefill_tokens_per_step: int | None = None,
        preemption: Preemption | None = None,
    ) -> None:
        """Empty all slots and make room for `max_batch_size` requests of that many tokens, or for
        as many as the device has memory for.

        Raises DeviceOutOfMemoryError where not even one fits; UserInputError where the model does
        not reach that far.
        """
        limit = self._max_positions
        if limit is not None and max_request_tokens > limit:
            raise UserInputError(
                f"workload: {self._name} computes prompt + output of at most {limit} tokens, "
                f"found {max_request_tokens}; shorten prompt_tokens or output_tokens"
            )
        self.end_trial()
        self._or_free(
            f"a slot of {max_request_tokens} tokens",
            lambda: self._layout.make_room(max_batch_size, max_request_tokens),
        )
        self._table = SlotTable(min(max_batch_size, self._layout.cache.num_slots))
        self._preempted = Preempted(preemption, self._layout, self._table)
        self._layout.cache.request_tokens = max_request_tokens
        self._prompts = prompts
        self._kv_budget_tokens = kv_budget_tokens
        self._max_prefill_tokens = max_prefill_tokens_per_step

    def step(self, join: Sequence[Request]) -> StepResult:
        """Queue one step; return what the host can see, and what was computed for it.

        With a late readback that is the step before; and where nobody is owed anything more, the
        last one, which is still on its way.
        Raises DeviceOutOfMemoryError; TrialError where logits are not finite. After either only
        `start_trial` may be called.
        """
        self._admit(join)
        table, cache = self._table, self._layout.cache
        if (graphs := self._layout.graphs) is not None:
            self._or_free("a step's rows", lambda: graphs.sync(table))
        plan = table.plan(self._max_prefill_tokens)
        if plan is not None:
            self._or_free(
                f"a step of {plan.num_decode} decode rows and {plan.prompt_tokens} prompt tokens "
                f"over {cache.num_slots} slots of {cache.slot_tokens} tokens",
                lambda: self._launch(plan),
            )
        return self._collect(wait_for_all=plan is None)

    def leave(self, request_ids: Sequence[int]) -> None:
        """Free the slots of these requests; others move into the holes."""
        self._free_slots(request_ids)
        self._preempted.forget(request_ids)

    def settle(self) -> StepResult:
        """Wait for the step that is still on its way, and return it; empty where there is none.

        Raises what `step` raises.
        """
        return self._collect(wait_for_all=True)

    def preempt(self, request_ids: Sequence[int]) -> None:
        """Free the slots of requests that are owed tokens, who go on when they join again.

        Raises DeviceOutOfMemoryError where a cache that is kept finds no room beside the slots.
        """
        self._or_free(
            f"the cache of {len(request_ids)} preempted requests beside the slots",
            lambda: self._preempted.set_aside(request_ids),
        )
        self._free_slots(request_ids)

    def capacity(self) -> Capacity:
        """Return what fits now."""
        budget = self._kv_budget_tokens
        longest = self._layout.cache.request_tokens or self._max_positions
        if budget is not None and longest is not None:
            longest = min(longest, budget)
        return Capacity(
            free_slots=self._table.num_slots - self._table.num_rows,
            max_request_tokens=longest,
            free_kv_tokens=None if budget is None else budget - self._reserved_tokens(),
        )

    def warm_up(
        self,
        batch_sizes: Sequence[int],
        *,
        prompt_tokens: int,
        max_request_tokens: int,
        max_prefill_tokens_per_step: int | None = None,
    ) -> None:
        """Run a prefill and two decode steps at every size, the largest first; see `warm_up`."""
        warm_up(
            self,
            self._layout,
            batch_sizes,
            prompt_tokens=prompt_tokens,
            max_request_tokens=max_request_tokens,
            max_prefill_tokens=max_prefill_tokens_per_step,
        )

    def describe(self) -> dict[str, Any]:
        """Return what is measured and on what; missing is None."""
        backend = self._backend
        count, graphs = backend.num_parameters, self._layout.graphs
        return {
            "kind": "torch",
            "model": f"{self._name} ({_count(count)} parameters, {self._weights})",
            "num_parameters": count,
            "vocab_size": self.vocab_size,
            "max_positions": self._max_positions,
            "dtype": str(backend.dtype).removeprefix("torch."),
            "backend": backend.name,
            "attention_backend": self._kernels.describe(),
            "linear_backend": backend.linear_backend,
            "cuda_graphs": None if graphs is None else len(graphs),
            "graph_capture_s": None if graphs is None else graphs.capture_s,
            "kv_bytes_per_token": self._layout.cache.token_bytes,
            "kv_budget_tokens": self._layout.budget_tokens,
            "num_slots": self._layout.cache.num_slots,
            **self._facts,
            **describe_device(backend.device),
        }

    def end_trial(self) -> None:
        """Empty all slots and drop what is still on its way to the host."""
        # what is still on its way belongs to the last trial; a device that is lost says so here
        self._readback.clear()
        self._table = SlotTable(0)
        self._preempted = Preempted(None, self._layout, self._table)
        self._prompts = None
        self._kv_budget_tokens = None
        if self._layout.graphs is not None:
            self._layout.graphs.forget()

    def _admit(self, join: Sequence[Request]) -> None:
        kept, to_compute = [], []
        for request in join:
            assert self._prompts is not None, "start_trial comes first"
            if (cache := self._preempted.take(request)) is not None:
                kept.append(cache)
            else:
                prompt = self._prompt(request, self._prompts)
                to_compute.append((request, self._preempted.whole_prompt(request, prompt)))
        if kept:
            self._or_free("a kept cache", lambda: self._preempted.put_back(kept))
        # neighbours of one length are computed as one
        for request, prompt in sorted(to_compute, key=lambda pair: len(pair[1])):
            self._table.join(request, prompt)
        budget = self._kv_budget_tokens
        assert budget is None or self._reserved_tokens() <= budget, "over the KV budget"

    def _reserved_tokens(self) -> int:
        """Prompt and output of all that have a slot, or a cache that is kept without one."""
        return self._table.reserved_tokens + self._preempted.reserved_tokens

    def _free_slots(self, request_ids: Sequence[int]) -> None:
        with torch.inference_mode():
            self._layout.move(self._table.leave(request_ids))

    def _prompt(self, request: Request, prompts: Prompts) -> NDArray[np.int64]:
        prompt = prompts(request)
        assert prompt.shape == (request.prompt_tokens,)
        assert request.prompt_tokens >= 1
        assert request.output_tokens >= 1
        tokens = request.prompt_tokens + request.output_tokens
        assert tokens <= self._layout.cache.request_tokens, "a request longer than a slot"
        # outside, a GPU would trip over it and not be usable again
        assert prompt.min() >= 0
        assert prompt.max() < self.vocab_size
        return prompt

    def _launch(self, plan: StepPlan) -> None:
        """Queue a step and the reading of its tokens."""
        self._readback.push(launch(plan, self._layout, self._backend, self._kernels), plan)

    def _collect(self, *, wait_for_all: bool) -> StepResult:
        """Return what the host can see now: never more than one step."""
        result = combined(
            self._or_free(
                "reading tokens back", lambda: self._readback.collect(wait_for_all=wait_for_all)
            )
        )
        self._require_finite(result.tokens)
        self._preempted.note(result.tokens)
        return result

    def _require_finite(self, tokens: Sequence[tuple[int, int]]) -> None:
        bad = [request_id for request_id, token in tokens if token < 0]
        if bad:
            raise TrialError(
                f"{self._name}: logits of {len(bad)} of {len(tokens)} requests are NaN or infinite "
                f"(request {bad[0]}); check the weights, or give dtype: float32"
            )

    def _or_free(self, what: str, run: Callable[[], Result]) -> Result:
        """Return `run()`; where memory runs out, free ours and raise DeviceOutOfMemoryError."""
        try:
            with torch.inference_mode():
                return run()
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            reason = (str(error).splitlines() or ["out of memory"])[0]
        # outside the handler: the traceback is gone, and with it the activations in its frames
        self.end_trial()
        self._layout.give_back()
        raise DeviceOutOfMemoryError(
            f"{self._name} on {self._backend.device}: no memory for {what} ({reason}); "
            "lower max_batch_size, or prompt_tokens and output_tokens"
        )


def _count(number: int) -> str:
    return f"{number / 1e9:.2f} B" if number >= 1e9 else f"{number / 1e6:.1f} M"
