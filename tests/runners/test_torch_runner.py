"""Slots, padding rows, memory: the runner's contract, on a model of two small layers."""

from __future__ import annotations

import logging
import os
from typing import Any

import numpy as np
import pytest
import torch

from paretobench.core.errors import DeviceOutOfMemoryError, TrialError, UserInputError
from paretobench.core.values import Request
from paretobench.runners.base import Capacity, Runner, StepResult
from paretobench.runners.torch import TorchRunner, budget, make_runner
from paretobench.runners.torch.models import random_model
from paretobench.runners.torch.table import SlotTable, StepPlan
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.systems import Model

TINY = {
    **PRESETS["nano"],
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "vocab_size": 128,
    "max_position_embeddings": 128,
}


def tiny_model() -> Any:
    return random_model(TINY, device=torch.device("cpu"), dtype=torch.float32, seed=0, std=0.2)


@pytest.fixture
def model() -> Any:
    return tiny_model()


OPTIONS = Model(preset="nano", device="cpu", backend="transformers")


def over(model: Any) -> TorchRunner:
    return make_runner(model, name="tiny", weights="random weights", options=OPTIONS)


@pytest.fixture
def runner(model: Any) -> TorchRunner:
    return over(model)


def request(request_id: int, prompt_tokens: int = 5, output_tokens: int = 3) -> Request:
    return Request(
        request_id=request_id,
        arrival_s=0.0,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
    )


def prompt(r: Request) -> np.ndarray:
    return np.random.default_rng(r.request_id).integers(128, size=r.prompt_tokens)


def start(runner: TorchRunner, max_batch_size: int = 4, max_request_tokens: int = 40) -> None:
    runner.start_trial(
        max_batch_size=max_batch_size, max_request_tokens=max_request_tokens, prompts=prompt
    )


def alone(r: Request) -> list[int]:
    runner = over(tiny_model())
    start(runner, max_batch_size=1)
    return tokens_of(runner, r)


def tokens_of(runner: TorchRunner, r: Request) -> list[int]:
    return [runner.step([r] if i == 0 else []).tokens[0][1] for i in range(r.output_tokens)]


def run_out(*_: Any) -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


def test_it_is_a_runner(runner: TorchRunner) -> None:
    as_runner: Runner = runner
    assert as_runner.capacity() == Capacity(free_slots=0, max_request_tokens=128)


def test_capacity_counts_free_slots(runner: TorchRunner) -> None:
    start(runner)
    assert runner.capacity() == Capacity(free_slots=4, max_request_tokens=40)
    runner.step([request(0), request(1), request(2)])
    assert runner.capacity().free_slots == 1
    runner.leave([1])
    assert runner.capacity().free_slots == 2


def test_a_step_without_requests_does_nothing(runner: TorchRunner) -> None:
    start(runner)
    assert runner.step([]) == StepResult(tokens=[])


def test_a_request_gets_its_tokens_and_then_none(runner: TorchRunner) -> None:
    start(runner)
    counts = [
        len(runner.step([request(0, output_tokens=2)] if i == 0 else []).tokens) for i in range(5)
    ]
    assert counts == [1, 1, 0, 0, 0]
    assert runner.capacity().free_slots == 3


def test_padding_rows_disturb_nobody(runner: TorchRunner) -> None:
    long, short = request(0, 7, 12), request(1, 7, 1)
    start(runner)
    tokens = [dict(runner.step([short, long] if i == 0 else []).tokens).get(0) for i in range(12)]
    assert tokens == alone(long)


def test_those_who_stay_go_on_after_others_leave(runner: TorchRunner) -> None:
    requests = [request(i, prompt_tokens=4 + 3 * i, output_tokens=8) for i in range(4)]
    start(runner)
    tokens: dict[int, list[int]] = {i: [] for i in range(4)}
    for step in range(8):
        for request_id, token in runner.step(requests if step == 0 else []).tokens:
            tokens[request_id].append(token)
        if step == 3:
            runner.leave([0, 2])
    assert tokens[1] == alone(requests[1])
    assert tokens[3] == alone(requests[3])


def entered(table: SlotTable, requests: list[Request]) -> None:
    for r in requests:
        table.join(r, prompt(r))


def test_nothing_moves_when_everyone_leaves() -> None:
    table = SlotTable(4)
    entered(table, [request(i) for i in range(4)])
    table.plan(None)
    assert table.leave([2, 0, 1, 3]) == []
    assert table.num_rows == table.num_decode == table.reserved_tokens == 0


def test_the_last_moves_into_the_hole() -> None:
    table = SlotTable(4)
    entered(table, [request(i, prompt_tokens=5 + i) for i in range(4)])
    table.plan(None)
    assert table.leave([1]) == [(3, 1, 8)]
    assert table.positions.tolist() == [5, 8, 7]
    assert table.leave([2]) == []


def test_prompts_that_are_not_done_move_up_in_order() -> None:
    table = SlotTable(5)
    entered(table, [request(0), request(1)])
    table.plan(None)
    entered(table, [request(i, prompt_tokens=6) for i in (2, 3, 4)])
    plan = table.plan(4)
    assert plan is not None
    assert [(c.slot, c.start, len(c.token_ids)) for c in plan.chunks] == [(2, 0, 4)]
    assert table.leave([0]) == [(1, 0, 6), (2, 1, 4)]
    plan = table.plan(4)
    assert plan is not None
    assert [(c.slot, c.start, c.is_last) for c in plan.chunks] == [(1, 4, True), (2, 0, False)]
    assert plan.deliveries == ((1, 0), (2, 1))


class Ledger:
    """What must hold, kept the plain way: who has which entries where."""

    def __init__(self, num_slots: int) -> None:
        self.cache: list[list[tuple[int, int]]] = [[] for _ in range(num_slots)]
        self.slot_of: dict[int, int] = {}
        self.got: dict[int, int] = {}

    def compute(self, plan: StepPlan, rows: list[int]) -> None:
        for slot, request_id in enumerate(rows):
            position = int(plan.positions[slot])
            del self.cache[slot][position:]
            self.cache[slot].append((request_id, position))
        for chunk in plan.chunks:
            owner = next(i for i, slot in self.slot_of.items() if slot == chunk.slot)
            del self.cache[chunk.slot][chunk.start :]
            ends = range(chunk.start, chunk.start + len(chunk.token_ids))
            self.cache[chunk.slot] += [(owner, position) for position in ends]

    def move(self, source: int, target: int, tokens: int) -> None:
        self.cache[target] = self.cache[source][:tokens]


@pytest.mark.parametrize("max_prefill_tokens", [None, 5])
def test_no_token_entry_or_slot_leaks_over_ten_thousand_joins_and_leaves(
    max_prefill_tokens: int | None,
) -> None:
    rng = np.random.default_rng(0)
    table, ledger = SlotTable(9), Ledger(9)
    inside: dict[int, Request] = {}
    next_id = num_left = 0
    while num_left < 10_000:
        for _ in range(int(rng.integers(0, 10 - len(inside)))):
            r = request(next_id, int(rng.integers(1, 9)), int(rng.integers(1, 6)))
            table.join(r, prompt(r))
            ledger.slot_of[next_id] = table.num_rows - 1
            inside[next_id], ledger.got[next_id] = r, 0
            next_id += 1
        rows = sorted(ledger.slot_of, key=lambda i: ledger.slot_of[i])[: table.num_decode]
        plan = table.plan(max_prefill_tokens)
        if plan is not None:
            assert plan.prompt_tokens <= (max_prefill_tokens or 10**9)
            ledger.compute(plan, rows)
            for request_id, _ in plan.deliveries:
                ledger.got[request_id] += 1
        # every entry of the cache that counts is the owner's own, at its place, and none is missing
        for i, slot in ledger.slot_of.items():
            held = ledger.cache[slot][: int(table._positions[slot])]
            assert held == [(i, position) for position in range(len(held))]
            if ledger.got[i]:
                assert len(held) == inside[i].prompt_tokens + ledger.got[i] - 1
        leaving = [i for i in inside if rng.random() < 0.3]
        for source, target, tokens in table.leave(leaving):
            ledger.move(source, target, tokens)
        for i in leaving:
            assert ledger.got[i] <= inside[i].output_tokens
            del inside[i], ledger.slot_of[i]
            num_left += 1
        ledger.slot_of = {r.request_id: slot for slot, r in enumerate(table._requests)}
        assert ledger.slot_of.keys() == inside.keys()
        assert table.num_rows == len(inside)
        assert table.reserved_tokens == sum(
            r.prompt_tokens + r.output_tokens for r in inside.values()
        )
    table.leave(list(inside))
    assert (table.num_rows, table.num_decode, table.reserved_tokens) == (0, 0, 0)
    assert table.plan(None) is None


def test_a_long_run_on_the_model_ends_with_all_slots_free(runner: TorchRunner) -> None:
    rng = np.random.default_rng(0)
    start(runner, max_batch_size=6)
    inside: list[int] = []
    for i in range(1000):
        join = [request(i)] if len(inside) < 6 else []
        inside += [r.request_id for r in join]
        runner.step(join)
        leaving = [j for j in inside if rng.random() < 0.2]
        runner.leave(leaving)
        inside = [j for j in inside if j not in leaving]
        assert runner.capacity().free_slots == 6 - len(inside)
    runner.leave(inside)
    assert runner.capacity().free_slots == 6


def test_a_trial_of_another_shape_starts_empty_and_computes_the_same(runner: TorchRunner) -> None:
    one = request(0, 6, 10)
    for max_batch_size, max_request_tokens in ((8, 100), (1, 16), (3, 128), (8, 100)):
        start(runner, max_batch_size, max_request_tokens)
        assert runner.capacity().free_slots == max_batch_size
        assert tokens_of(runner, one) == alone(one)


def test_out_of_memory_in_a_step_frees_and_recovers(model: Any, runner: TorchRunner) -> None:
    start(runner)
    runner.step([request(0)])
    hook = model.register_forward_pre_hook(run_out)
    with pytest.raises(DeviceOutOfMemoryError, match="1 decode rows and 5 prompt tokens over 4"):
        runner.step([request(1)])
    hook.remove()
    assert runner.capacity().free_slots == 0
    start(runner)
    one = request(0, 6, 10)
    assert tokens_of(runner, one) == alone(one)


def with_memory_for(monkeypatch: pytest.MonkeyPatch, runner: TorchRunner, tokens: int) -> None:
    needed = tokens * runner.describe()["kv_bytes_per_token"]
    monkeypatch.setattr(budget, "_MARGIN_BYTES", 0)
    monkeypatch.setattr(budget, "available_host_memory", lambda: int(needed / 0.75) + 1)


def test_where_memory_holds_fewer_requests_there_are_fewer_slots(
    monkeypatch: pytest.MonkeyPatch, runner: TorchRunner
) -> None:
    with_memory_for(monkeypatch, runner, 4 * 64)  # one slot is nobody's
    start(runner, max_batch_size=8, max_request_tokens=50)
    assert runner.capacity().free_slots == 3
    assert runner.describe()["kv_budget_tokens"] == 4 * 64
    one = request(0, 6, 10)
    assert tokens_of(runner, one) == alone(one)


def test_without_memory_for_one_request_the_trial_is_refused_and_the_runner_recovers(
    runner: TorchRunner,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        with_memory_for(patch, runner, 100)
        with pytest.raises(DeviceOutOfMemoryError, match="room for 100 tokens of"):
            start(runner, max_batch_size=2, max_request_tokens=100)
        assert runner.capacity().free_slots == 0
    start(runner)
    assert len(runner.step([request(0)]).tokens) == 1


def test_requests_are_counted_against_the_kv_budget_until_they_leave(runner: TorchRunner) -> None:
    runner.start_trial(max_batch_size=4, max_request_tokens=40, prompts=prompt, kv_budget_tokens=30)
    assert runner.capacity() == Capacity(free_slots=4, max_request_tokens=30, free_kv_tokens=30)
    runner.step([request(0, 5, 3), request(1, 7, 2)])
    assert runner.capacity().free_kv_tokens == 30 - 8 - 9
    runner.leave([0])
    assert runner.capacity().free_kv_tokens == 30 - 9


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_fail_the_trial(runner: TorchRunner, value: float) -> None:
    start(runner)
    runner.step([request(0), request(1)])

    def spoil(*_: Any, **__: Any) -> torch.Tensor:
        logits = torch.zeros(2, 128)
        logits[1, 5] = value
        return logits

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner._backend, "logits", spoil)
        with pytest.raises(TrialError, match="tiny: logits of 1 of 2 requests are NaN or infinite"):
            runner.step([])
    start(runner)
    assert len(runner.step([request(0)]).tokens) == 1


def test_other_errors_are_not_taken_for_memory(model: Any, runner: TorchRunner) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("device-side assert")

    start(runner)
    model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="device-side assert"):
        runner.step([request(0)])


def test_warm_up_runs_the_largest_size_first_and_leaves_slots_empty(
    model: Any, runner: TorchRunner
) -> None:
    tokens: list[int] = []
    model.register_forward_pre_hook(
        lambda _, args, kwargs: tokens.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    runner.warm_up([1, 4, 2, 4], prompt_tokens=10, max_request_tokens=32)
    # the first time to see what the largest prefill takes beside the slots
    assert tokens == [40, 4, 4, 40, 4, 4, 20, 2, 2, 10, 1, 1]
    assert runner.capacity().free_slots == 0


def test_warm_up_passes_over_a_size_for_which_there_is_no_memory(
    model: Any, runner: TorchRunner, caplog: pytest.LogCaptureFixture
) -> None:
    def run_out_at_four(_: Any, args: Any, kwargs: Any) -> None:
        if kwargs["input_ids"].shape[1] == 40:
            run_out()

    model.register_forward_pre_hook(run_out_at_four, with_kwargs=True)
    with caplog.at_level(logging.WARNING):
        runner.warm_up([4, 2], prompt_tokens=10, max_request_tokens=32)
    assert "batch size 4 is not warmed up" in caplog.text
    assert "batch size 2" not in caplog.text


def test_requests_beyond_the_models_positions_are_refused(runner: TorchRunner) -> None:
    with pytest.raises(UserInputError, match="at most 128 tokens, found 129"):
        start(runner, max_request_tokens=129)


def test_describe_says_what_and_where(runner: TorchRunner) -> None:
    facts = runner.describe()
    assert facts["kind"] == "torch"
    assert facts["model"] == "tiny (0.0 M parameters, random weights)"
    assert facts["dtype"] == "float32"
    assert facts["device"] == "cpu"
    assert facts["environment"]["OMP_WAIT_POLICY"] == os.environ["OMP_WAIT_POLICY"]
    assert facts["threads"] == torch.get_num_threads()
    assert facts["max_positions"] == 128
