"""Slots, padding rows, memory: the runner's contract, on a model of two small layers."""

from __future__ import annotations

import logging
import os
from typing import Any

import numpy as np
import pytest
import torch

from paretobench.core.errors import DeviceOutOfMemoryError, UserInputError
from paretobench.core.values import Request
from paretobench.runners.base import Capacity, Runner
from paretobench.runners.torch import TorchRunner
from paretobench.runners.torch.models import random_model
from paretobench.runners.torch.table import SlotTable
from paretobench.scenario.presets import PRESETS

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


@pytest.fixture
def runner(model: Any) -> TorchRunner:
    return TorchRunner(model, name="tiny", weights="random weights")


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
    runner = TorchRunner(tiny_model(), name="tiny", weights="random weights")
    start(runner, max_batch_size=1)
    return [runner.step([r] if i == 0 else [])[0][1] for i in range(r.output_tokens)]


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
    assert runner.step([]) == []


def test_a_request_gets_its_tokens_and_then_none(runner: TorchRunner) -> None:
    start(runner)
    counts = [len(runner.step([request(0, output_tokens=2)] if i == 0 else [])) for i in range(5)]
    assert counts == [1, 1, 0, 0, 0]
    assert runner.capacity().free_slots == 3


def test_padding_rows_disturb_nobody(runner: TorchRunner) -> None:
    long, short = request(0, 7, 12), request(1, 7, 1)
    start(runner)
    tokens = [dict(runner.step([short, long] if i == 0 else [])).get(0) for i in range(12)]
    assert tokens == alone(long)


def test_those_who_stay_go_on_after_others_leave(runner: TorchRunner) -> None:
    requests = [request(i, prompt_tokens=4 + 3 * i, output_tokens=8) for i in range(4)]
    start(runner)
    tokens: dict[int, list[int]] = {i: [] for i in range(4)}
    for step in range(8):
        for request_id, token in runner.step(requests if step == 0 else []):
            tokens[request_id].append(token)
        if step == 3:
            runner.leave([0, 2])
    assert tokens[1] == alone(requests[1])
    assert tokens[3] == alone(requests[3])


def test_nothing_moves_when_everyone_leaves() -> None:
    table = SlotTable(4)
    table.advance([request(i) for i in range(4)], np.zeros(4, np.int64))
    assert table.leave([2, 0, 1, 3]) == []
    assert table.num_rows == 0


def test_the_last_moves_into_the_hole() -> None:
    table = SlotTable(4)
    table.advance([request(i, prompt_tokens=5 + i) for i in range(4)], np.arange(4))
    assert table.leave([1]) == [(3, 1, 8)]
    assert table.tokens.tolist() == [0, 3, 2]
    assert table.leave([2]) == []


def test_no_slot_leaks_over_thousands_of_joins_and_leaves() -> None:
    rng = np.random.default_rng(0)
    table = SlotTable(9)
    inside: dict[int, list[int]] = {}  # position and tokens owed
    next_id = 0
    for _ in range(4000):
        join = [
            request(next_id + i, int(rng.integers(1, 9)), int(rng.integers(1, 6)))
            for i in range(rng.integers(0, 10 - len(inside)))
        ]
        next_id += len(join)
        owed_before = {i for i, (_, owed) in inside.items() if owed} | {r.request_id for r in join}
        for state in inside.values():
            state[0] += state[1] > 0
            state[1] -= state[1] > 0
        inside |= {r.request_id: [r.prompt_tokens, r.output_tokens - 1] for r in join}
        got = table.advance(join, np.full(len(inside), 7))
        assert {i for i, _ in got} == owed_before
        leaving = [i for i in inside if rng.random() < 0.3]
        for source, target, _ in table.leave(leaving):
            assert target < len(inside) - len(leaving) <= source
        for i in leaving:
            del inside[i]
        assert table.num_rows == len(inside)
        assert sorted(table.positions) == sorted(position for position, _ in inside.values())


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
        assert [runner.step([one] if i == 0 else [])[0][1] for i in range(10)] == alone(one)


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
    assert [runner.step([one] if i == 0 else [])[0][1] for i in range(10)] == alone(one)


def test_slots_for_which_there_is_no_memory_are_refused_and_the_runner_recovers(
    runner: TorchRunner,
) -> None:
    start(runner)
    runner.step([request(0)])  # from here on the shape of keys and values is known
    with pytest.raises(DeviceOutOfMemoryError, match="10000000000 slots of 100 tokens"):
        start(runner, max_batch_size=10**10, max_request_tokens=100)
    start(runner)
    assert len(runner.step([request(0)])) == 1


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
    assert tokens == [40, 4, 4, 20, 2, 2, 10, 1, 1]
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
