"""The runner on a real NVIDIA GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from paretobench.core.errors import DeviceOutOfMemoryError, EnvironmentUnfitError
from paretobench.core.values import Request
from paretobench.runners.torch import TorchRunner, build_runner
from paretobench.runners.torch.models import random_model
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.schema import Model

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine"),
]

# In bfloat16 two correct implementations may part where the best two logits are this close.
MARGIN = 0.2


def build(preset: str, dtype: torch.dtype) -> Any:
    return random_model(
        PRESETS[preset], device=torch.device("cuda", 0), dtype=dtype, seed=0, std=0.06
    )


def draw(num_requests: int) -> tuple[list[Request], dict[int, np.ndarray]]:
    rng = np.random.default_rng(3)
    requests = [
        Request(
            request_id=i,
            arrival_s=0.0,
            prompt_tokens=int(rng.integers(3, 90)),
            output_tokens=int(rng.integers(1, 30)),
        )
        for i in range(num_requests)
    ]
    prompts = {r.request_id: rng.integers(16384, size=r.prompt_tokens) for r in requests}
    return requests, prompts


def serve(
    runner: TorchRunner, requests: list[Request], prompts: dict[int, np.ndarray]
) -> dict[int, list[int]]:
    rng = np.random.default_rng(4)
    runner.start_trial(
        max_batch_size=9, max_request_tokens=120, prompts=lambda r: prompts[r.request_id]
    )
    tokens: dict[int, list[int]] = {r.request_id: [] for r in requests}
    waiting, inside = list(requests), {}
    while waiting or inside:
        room = min(runner.capacity().free_slots, len(waiting), int(rng.integers(0, 5)))
        join, waiting = waiting[:room], waiting[room:]
        inside |= {r.request_id: r for r in join}
        for request_id, token in runner.step(join):
            tokens[request_id].append(token)
        leaving = [i for i, r in inside.items() if len(tokens[i]) == r.output_tokens]
        leaving = [i for i in leaving if rng.random() < 0.5]
        runner.leave(leaving)
        for i in leaving:
            del inside[i]
    return tokens


def generated(model: Any, prompt: np.ndarray, num_tokens: int) -> tuple[list[int], list[float]]:
    """Return greedy tokens, and at each how far the best logit is above the second."""
    ids = torch.from_numpy(prompt)[None].to("cuda:0")
    result = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=num_tokens,
        min_new_tokens=num_tokens,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    best = torch.stack([step[0].float().topk(2).values for step in result.logits])
    return result.sequences[0, len(prompt) :].tolist(), (best[:, 0] - best[:, 1]).tolist()


@pytest.mark.parametrize("preset", ["nano", "mini"])
def test_tokens_equal_generate_in_float32(preset: str) -> None:
    requests, prompts = draw(40)
    runner = TorchRunner(build(preset, torch.float32), name=preset, weights="random weights")
    runner.check_against_reference()
    found = serve(runner, requests, prompts)
    reference = build(preset, torch.float32)
    expected = {
        r.request_id: generated(reference, prompts[r.request_id], r.output_tokens)[0]
        for r in requests
    }
    assert found == expected
    assert len({token for tokens in found.values() for token in tokens}) > 40


def test_tokens_in_bfloat16_part_from_generate_only_where_the_margin_is_small() -> None:
    requests, prompts = draw(24)
    runner = TorchRunner(build("nano", torch.bfloat16), name="nano", weights="random weights")
    runner.check_against_reference()
    found = serve(runner, requests, prompts)
    reference = build("nano", torch.bfloat16)
    for r in requests:
        expected, margins = generated(reference, prompts[r.request_id], r.output_tokens)
        parted = [
            margin
            for ours, theirs, margin in zip(found[r.request_id], expected, margins, strict=True)
            if ours != theirs
        ]
        assert not parted or parted[0] < MARGIN  # after the first, the contexts differ


def test_a_cache_too_large_is_refused_and_the_runner_recovers() -> None:
    runner = build_runner(Model(preset="nano", device="cuda", dtype="bfloat16"))
    total = torch.cuda.get_device_properties(0).total_memory
    per_token = 2 * 8 * 2 * 64 * 2  # keys and values, layers, KV heads, dim, bytes
    with pytest.raises(DeviceOutOfMemoryError, match="lower max_batch_size"):
        runner.start_trial(
            max_batch_size=total // (per_token * 4096) + 1,
            max_request_tokens=4096,
            prompts=lambda r: np.zeros(r.prompt_tokens, np.int64),
        )
    assert torch.cuda.memory_allocated() < 2**30
    requests, prompts = draw(5)
    tokens = serve(runner, requests, prompts)
    assert [len(tokens[r.request_id]) for r in requests] == [r.output_tokens for r in requests]


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(EnvironmentUnfitError, match=r"cuda:99 needs 100 GPUs"):
        build_runner(Model(preset="nano", device="cuda:99"))


def test_warm_up_runs_every_batch_size() -> None:
    runner = build_runner(Model(preset="nano", device="cuda"))
    runner.warm_up([1, 2, 4, 8, 16, 32, 64], prompt_tokens=128, max_request_tokens=192)
    assert runner.capacity().free_slots == 0


def test_llama_3_2_1b_in_bfloat16_builds_and_steps() -> None:
    runner = build_runner(Model(preset="llama-3.2-1b", device="cuda"))
    facts = runner.describe()
    assert facts["dtype"] == "bfloat16"
    assert facts["device_name"] == torch.cuda.get_device_name(0)
    requests, prompts = draw(16)
    tokens = serve(runner, requests, prompts)
    assert all(len(tokens[r.request_id]) == r.output_tokens for r in requests)
