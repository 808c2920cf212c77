"""Slots give the tokens of `model.generate` on each prompt alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from paretobench.core.errors import CheckpointError
from paretobench.core.values import Request
from paretobench.runners.torch import TorchRunner
from paretobench.runners.torch.models import random_model
from paretobench.scenario.presets import PRESETS

SHAPE = {
    "hidden_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 160,
    "vocab_size": 512,
    "max_position_embeddings": 256,
}
QWEN3 = {**PRESETS["nano"], **SHAPE}
LLAMA = {
    **PRESETS["llama-3.2-1b"],
    **SHAPE,
    "max_position_embeddings": 16384,
    "tie_word_embeddings": False,
}
GPT2 = {
    "model_type": "gpt2",
    "n_embd": 64,
    "n_layer": 3,
    "n_head": 4,
    "n_positions": 256,
    "vocab_size": 512,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": None,
}
MISTRAL = {**SHAPE, "model_type": "mistral", "sliding_window": 160, "initializer_range": 0.06}
PHI3 = {**SHAPE, "model_type": "phi3", "initializer_range": 0.06, "pad_token_id": None}


def build(architecture: dict[str, Any]) -> Any:
    if architecture["model_type"] in ("llama", "qwen3"):
        return random_model(
            architecture, device=torch.device("cpu"), dtype=torch.float32, seed=0, std=0.06
        )
    torch.manual_seed(0)
    shape = {k: v for k, v in architecture.items() if k != "model_type"}
    config = AutoConfig.for_model(architecture["model_type"], **shape)
    config.eos_token_id = config.bos_token_id = None
    return AutoModelForCausalLM.from_config(config).eval()


def draw(
    rng: np.random.Generator, vocab_size: int, num_requests: int, prompt_tokens: tuple[int, int]
) -> tuple[list[Request], dict[int, np.ndarray]]:
    requests = [
        Request(
            request_id=i,
            arrival_s=0.0,
            prompt_tokens=int(rng.integers(*prompt_tokens)),
            output_tokens=int(rng.integers(1, 24)),
        )
        for i in range(num_requests)
    ]
    prompts = {r.request_id: rng.integers(vocab_size, size=r.prompt_tokens) for r in requests}
    return requests, prompts


def generated(model: Any, prompt: np.ndarray, num_tokens: int) -> list[int]:
    ids = torch.from_numpy(prompt)[None]
    result = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=num_tokens,
        min_new_tokens=num_tokens,
        do_sample=False,
        pad_token_id=0,
    )
    return list(result[0, len(prompt) :].tolist())


def serve(
    runner: TorchRunner, requests: list[Request], rng: np.random.Generator
) -> dict[int, list[int]]:
    """Join and leave at random; finished requests linger a while as padding rows."""
    tokens: dict[int, list[int]] = {r.request_id: [] for r in requests}
    waiting = list(requests)
    inside: dict[int, Request] = {}
    while waiting or inside:
        room = min(runner.capacity().free_slots, len(waiting), int(rng.integers(0, 5)))
        join, waiting = waiting[:room], waiting[room:]
        inside |= {r.request_id: r for r in join}
        for request_id, token in runner.step(join):
            tokens[request_id].append(token)
        done = [i for i, r in inside.items() if len(tokens[i]) == r.output_tokens]
        leaving = [i for i in done if rng.random() < 0.5]
        runner.leave(leaving)
        for i in leaving:
            del inside[i]
    return tokens


@pytest.mark.parametrize(
    "architecture", [QWEN3, LLAMA, GPT2, MISTRAL, PHI3], ids=lambda a: a["model_type"]
)
@pytest.mark.parametrize("prompt_tokens", [(3, 70), (24, 25)], ids=["mixed", "equal"])
def test_tokens_equal_generate_while_others_join_and_leave(
    architecture: dict[str, Any], prompt_tokens: tuple[int, int]
) -> None:
    rng = np.random.default_rng(1)
    reference = build(architecture)
    runner = TorchRunner(build(architecture), name="tiny", weights="random weights")
    runner.check_against_reference()
    requests, prompts = draw(rng, 512, 40, prompt_tokens)
    runner.start_trial(
        max_batch_size=7, max_request_tokens=100, prompts=lambda r: prompts[r.request_id]
    )
    found = serve(runner, requests, rng)
    expected = {
        r.request_id: generated(reference, prompts[r.request_id], r.output_tokens) for r in requests
    }
    assert found == expected
    distinct = {token for tokens in expected.values() for token in tokens}
    assert len(distinct) > 40, "tokens that do not vary prove nothing"


def test_a_large_batch_takes_the_matmul_path_and_gives_the_same_tokens() -> None:
    rng = np.random.default_rng(2)
    reference = build(QWEN3)
    runner = TorchRunner(build(QWEN3), name="tiny", weights="random weights")
    requests, prompts = draw(rng, 512, 100, (60, 90))
    runner.start_trial(
        max_batch_size=100, max_request_tokens=128, prompts=lambda r: prompts[r.request_id]
    )
    tokens: dict[int, list[int]] = {r.request_id: [] for r in requests}
    for join in (requests, *[[]] * 22):
        for request_id, token in runner.step(join):
            tokens[request_id].append(token)
    for r in requests[::10]:
        assert tokens[r.request_id] == generated(reference, prompts[r.request_id], r.output_tokens)
    assert all(len(tokens[r.request_id]) == r.output_tokens for r in requests)


@pytest.mark.parametrize(
    ("architecture", "found"),
    [
        ({**SHAPE, "model_type": "gemma2", "initializer_range": 0.06}, "softcap"),
        ({**SHAPE, "model_type": "gpt_oss", "num_local_experts": 2}, "s_aux"),
        (
            {
                "model_type": "bloom",
                "hidden_size": 64,
                "n_layer": 2,
                "n_head": 4,
                "vocab_size": 512,
            },
            "BloomForCausalLM",
        ),
    ],
    ids=["softcap", "sinks", "no AttentionInterface"],
)
def test_what_the_slots_do_not_compute_is_refused(architecture: dict[str, Any], found: str) -> None:
    model = build(architecture)
    with pytest.raises(CheckpointError, match=found):
        TorchRunner(model, name="tiny", weights="random").check_against_reference()


def test_a_model_that_the_slots_compute_wrongly_is_refused() -> None:
    model = build(QWEN3)

    def does_more_by_itself(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        own = model.config._attn_implementation in ("sdpa", "eager")
        return output * 1.5 if own else output

    model.model.layers[1].mlp.register_forward_hook(does_more_by_itself)
    runner = TorchRunner(model, name="tiny", weights="random")
    with pytest.raises(CheckpointError, match="Qwen3ForCausalLM: expected the logits"):
        runner.check_against_reference()
