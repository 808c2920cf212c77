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
from paretobench.runners.torch.attention import SlotAttention
from paretobench.runners.torch.backends import Backend
from paretobench.runners.torch.batch import pack
from paretobench.runners.torch.device_rows import sample
from paretobench.runners.torch.devices import describe_device
from paretobench.runners.torch.graphs import Capture
from paretobench.runners.torch.kernels import AttentionKernels
from paretobench.runners.torch.layout import Layout
from paretobench.runners.torch.memory import is_out_of_memory
from paretobench.runners.torch.readback import ImmediateReadback, Readback
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
        arrived = self._or_free(
            "reading tokens back", lambda: self._readback.collect(wait_for_all=plan is None)
        )
        tokens = [pair for done in arrived for pair in done.tokens]
        self._require_finite(tokens)
        plans = [done.plan for done in arrived]  # never more than one
        return StepResult(
            tokens=tokens,
            decode_rows=sum(done.num_decode for done in plans),
            padded_rows=sum(done.num_padded for done in plans),
            num_prompts=sum(len(done.chunks) for done in plans),
            prompt_tokens=sum(done.prompt_tokens for done in plans),
            kv_tokens=sum(done.kv_tokens for done in plans),
            decode_kv_tokens=sum(done.decode_kv_tokens for done in plans),
        )

    def leave(self, request_ids: Sequence[int]) -> None:
        """Free the slots of these requests; others move into the holes."""
        with torch.inference_mode():
            for source, target, tokens in self._table.leave(request_ids):
                self._layout.cache.move(source, target, tokens)
                self._layout.rows.move(source, target)

    def settle(self) -> StepResult:
        """Return the tokens that were computed and not seen yet."""
        raise NotImplementedError

    def preempt(self, request_ids: Sequence[int]) -> None:
        """Free the slots of requests that are owed tokens."""
        raise NotImplementedError

    def capacity(self) -> Capacity:
        """Return what fits now."""
        budget = self._kv_budget_tokens
        longest = self._layout.cache.request_tokens or self._max_positions
        if budget is not None and longest is not None:
            longest = min(longest, budget)
        return Capacity(
            free_slots=self._table.num_slots - self._table.num_rows,
            max_request_tokens=longest,
            free_kv_tokens=None if budget is None else budget - self._table.reserved_tokens,
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
        self._prompts = None
        self._kv_budget_tokens = None
        if self._layout.graphs is not None:
            self._layout.graphs.forget()

    def _admit(self, join: Sequence[Request]) -> None:
        # neighbours of one length are computed as one
        for request in sorted(join, key=lambda request: request.prompt_tokens):
            assert self._prompts is not None, "start_trial comes first"
            self._table.join(request, self._prompt(request, self._prompts))
        budget = self._kv_budget_tokens
        assert budget is None or self._table.reserved_tokens <= budget, "over the KV budget"

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
        """Queue a step and the reading of its tokens: decode rows replayed where recorded."""
        graphs = self._layout.graphs
        if graphs is None or not plan.num_decode:
            parts = [self._compute(plan)]
        else:
            parts = [graphs.replay(plan)]
            if plan.chunks:
                parts.append(self._compute(plan.without_decode_rows()))
        self._readback.push(parts, plan)

    def _compute(self, plan: StepPlan) -> torch.Tensor:
        """Queue a packed batch; return what it reports of its wanted rows, on the device."""
        batch = pack(plan, self._layout.rows.tokens)
        attention = SlotAttention(batch, self._layout.cache, self._kernels)
        tokens, reported = sample(self._backend.logits(batch, attention))
        # decode rows that have all their tokens feed on in vain: nothing reads what they give
        decode = plan.num_decode
        self._layout.rows.tokens[:decode] = tokens[:decode]
        last = [chunk.slot for chunk in plan.chunks if chunk.is_last]
        if last:  # in neighbouring slots: prompts end in the order of their slots
            self._layout.rows.tokens[last[0] : last[-1] + 1] = tokens[decode:]
        return reported

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
