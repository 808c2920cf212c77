"""Slots give the tokens of `model.generate` on each prompt alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from paretobench.core.errors import CheckpointError
from paretobench.core.values import Request
from paretobench.runners.torch import TorchRunner, make_runner
from paretobench.runners.torch.models import random_model
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.systems import Model

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
        for request_id, token in runner.step(join).tokens:
            tokens[request_id].append(token)
        done = [i for i, r in inside.items() if len(tokens[i]) == r.output_tokens]
        leaving = [i for i in done if rng.random() < 0.5]
        runner.leave(leaving)
        for i in leaving:
            del inside[i]
    return tokens


def make(architecture: dict[str, Any], **how: Any) -> TorchRunner:
    options = Model(preset="nano", device="cpu", backend=how.pop("backend", "auto"))
    return make_runner(build(architecture), name="tiny", weights="random", options=options, **how)


def served(
    architecture: dict[str, Any],
    runner: TorchRunner,
    *,
    prompt_tokens: tuple[int, int] = (3, 70),
    max_prefill_tokens_per_step: int | None = None,
) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """Return the tokens of 40 requests that join and leave at random, and those of `generate`."""
    rng = np.random.default_rng(1)
    reference = build(architecture)
    requests, prompts = draw(rng, 512, 40, prompt_tokens)
    runner.start_trial(
        max_batch_size=7,
        max_request_tokens=100,
        prompts=lambda r: prompts[r.request_id],
        max_prefill_tokens_per_step=max_prefill_tokens_per_step,
    )
    found = serve(runner, requests, rng)
    expected = {
        r.request_id: generated(reference, prompts[r.request_id], r.output_tokens) for r in requests
    }
    distinct = {token for tokens in expected.values() for token in tokens}
    assert len(distinct) > 40, "tokens that do not vary prove nothing"
    return found, expected


@pytest.mark.parametrize(
    "architecture", [QWEN3, LLAMA, GPT2, MISTRAL, PHI3], ids=lambda a: a["model_type"]
)
@pytest.mark.parametrize("prompt_tokens", [(3, 70), (24, 25)], ids=["mixed", "equal"])
def test_tokens_equal_generate_while_others_join_and_leave(
    architecture: dict[str, Any], prompt_tokens: tuple[int, int]
) -> None:
    runner = make(architecture, backend="transformers")
    assert runner.describe()["backend"] == "transformers"
    found, expected = served(architecture, runner, prompt_tokens=prompt_tokens)
    assert found == expected


@pytest.mark.parametrize("architecture", [QWEN3, LLAMA], ids=lambda a: a["model_type"])
@pytest.mark.parametrize("prompt_tokens", [(3, 70), (24, 25)], ids=["mixed", "equal"])
def test_tokens_of_the_fused_decoder_equal_generate(
    architecture: dict[str, Any], prompt_tokens: tuple[int, int]
) -> None:
    runner = make(architecture)
    assert runner.describe()["backend"] == "fused"
    found, expected = served(architecture, runner, prompt_tokens=prompt_tokens)
    assert found == expected


def test_tokens_of_a_family_with_biases_equal_generate() -> None:
    architecture = {**LLAMA, "attention_bias": True, "mlp_bias": True}

    def with_biases(model: Any) -> Any:
        generator = torch.Generator().manual_seed(5)
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                parameter.data.normal_(0.0, 0.3, generator=generator)
        return model

    options = Model(preset="nano", device="cpu", backend="fused")
    runner = make_runner(
        with_biases(build(architecture)), name="tiny", weights="random", options=options
    )
    request = Request(request_id=0, arrival_s=0.0, prompt_tokens=9, output_tokens=20)
    prompt = np.arange(9)
    runner.start_trial(max_batch_size=1, max_request_tokens=40, prompts=lambda _: prompt)
    found = [runner.step([request] if i == 0 else []).tokens[0][1] for i in range(20)]
    assert found == generated(with_biases(build(architecture)), prompt, 20)


@pytest.mark.parametrize(
    ("backend", "limit"),
    [("fused", 1), ("fused", 13), ("fused", 64), ("transformers", 13), ("transformers", 64)],
)
def test_prompts_in_chunks_give_the_same_tokens(backend: str, limit: int) -> None:
    runner = make(QWEN3, backend=backend)
    found, expected = served(QWEN3, runner, max_prefill_tokens_per_step=limit)
    assert found == expected


@pytest.mark.parametrize("architecture", [QWEN3, LLAMA], ids=lambda a: a["model_type"])
@pytest.mark.parametrize("limit", [None, 13])
def test_replayed_steps_read_late_give_the_same_tokens(
    architecture: dict[str, Any], limit: int | None, recorded: Any, reads_late: Any
) -> None:
    runner = make(architecture, make_capture=lambda: recorded, readback=reads_late)
    found, expected = served(architecture, runner, max_prefill_tokens_per_step=limit)
    assert found == expected
    assert len(recorded.num_replays) == 4  # 1, 2, 4 and 7 rows, one bound on the context
    assert sum(recorded.num_replays) > 50
    assert all(recorded.num_replays)


def test_a_late_step_is_reported_with_what_it_computed(recorded: Any, reads_late: Any) -> None:
    runner = make(QWEN3, make_capture=lambda: recorded, readback=reads_late)
    request = Request(request_id=0, arrival_s=0.0, prompt_tokens=5, output_tokens=2)
    prompt = np.arange(5)
    runner.start_trial(
        max_batch_size=1,
        max_request_tokens=40,
        prompts=lambda _: prompt,
        max_prefill_tokens_per_step=3,
    )
    results = [runner.step([request] if i == 0 else []) for i in range(5)]
    assert [(r.prompt_tokens, r.decode_rows, len(r.tokens)) for r in results] == [
        (0, 0, 0),
        (3, 0, 0),
        (2, 0, 1),
        (0, 1, 1),
        (0, 0, 0),
    ]


def test_a_context_that_outgrows_a_recorded_bound_takes_the_next(recorded: Any) -> None:
    runner = make(LLAMA, make_capture=lambda: recorded)
    request = Request(request_id=0, arrival_s=0.0, prompt_tokens=250, output_tokens=20)
    prompt = np.random.default_rng(0).integers(512, size=250)
    runner.start_trial(max_batch_size=1, max_request_tokens=300, prompts=lambda _: prompt)
    found = [runner.step([request] if i == 0 else []).tokens[0][1] for i in range(20)]
    assert found == generated(build(LLAMA), prompt, 20)
    # recorded largest first: 320 tokens, then 256
    assert recorded.num_replays == [13, 6]


def test_on_the_device_a_finished_row_stands_still_as_on_the_host(recorded: Any) -> None:
    runner = make(QWEN3, make_capture=lambda: recorded)
    requests = [
        Request(request_id=i, arrival_s=0.0, prompt_tokens=5, output_tokens=n)
        for i, n in enumerate((2, 30))
    ]
    prompt = np.arange(5)
    runner.start_trial(max_batch_size=2, max_request_tokens=40, prompts=lambda _: prompt)
    for step in range(30):
        runner.step(requests if step == 0 else [])
        if step:
            assert runner._layout.rows.positions[:2].tolist() == runner._table.positions.tolist()
            assert runner._layout.rows.owed[:2].tolist() == runner._table.owed.tolist()
    assert runner._table.positions.tolist() == [5 + 2 - 1, 5 + 30 - 1]


# In bfloat16 two correct implementations may part where the best two logits are this close.
BFLOAT16_MARGIN = 0.2


@pytest.mark.parametrize("backend", ["fused", "transformers"])
@pytest.mark.parametrize("architecture", [QWEN3, LLAMA], ids=lambda a: a["model_type"])
def test_tokens_in_bfloat16_part_from_generate_only_where_the_margin_is_small(
    architecture: dict[str, Any], backend: Any
) -> None:
    def model() -> Any:
        return random_model(
            architecture, device=torch.device("cpu"), dtype=torch.bfloat16, seed=0, std=0.06
        )

    rng = np.random.default_rng(1)
    options = Model(preset="nano", device="cpu", backend=backend)
    runner = make_runner(model(), name="tiny", weights="random", options=options)
    requests, prompts = draw(rng, 512, 40, (3, 70))
    runner.start_trial(
        max_batch_size=7, max_request_tokens=100, prompts=lambda r: prompts[r.request_id]
    )
    found = serve(runner, requests, rng)
    reference, num_equal = model(), 0
    for r in requests:
        ids = torch.from_numpy(prompts[r.request_id])[None]
        result = reference.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=r.output_tokens,
            min_new_tokens=r.output_tokens,
            do_sample=False,
            pad_token_id=0,
            output_logits=True,
            return_dict_in_generate=True,
        )
        expected = result.sequences[0, r.prompt_tokens :].tolist()
        best = torch.stack([step[0].float().topk(2).values for step in result.logits])
        margins = (best[:, 0] - best[:, 1]).tolist()
        parted = [
            margin
            for ours, theirs, margin in zip(found[r.request_id], expected, margins, strict=True)
            if ours != theirs
        ]
        assert not parted or parted[0] < BFLOAT16_MARGIN  # after the first, the contexts differ
        num_equal += not parted
    assert num_equal > 20


@pytest.mark.parametrize("backend", ["fused", "transformers"])
def test_a_large_batch_takes_the_matmul_path_and_gives_the_same_tokens(backend: str) -> None:
    rng = np.random.default_rng(2)
    reference = build(QWEN3)
    runner = make(QWEN3, backend=backend)
    requests, prompts = draw(rng, 512, 100, (60, 90))
    runner.start_trial(
        max_batch_size=100, max_request_tokens=128, prompts=lambda r: prompts[r.request_id]
    )
    tokens: dict[int, list[int]] = {r.request_id: [] for r in requests}
    for join in (requests, *[[]] * 22):
        for request_id, token in runner.step(join).tokens:
            tokens[request_id].append(token)
    for r in requests[::10]:
        assert tokens[r.request_id] == generated(reference, prompts[r.request_id], r.output_tokens)
    assert all(len(tokens[r.request_id]) == r.output_tokens for r in requests)


@pytest.mark.parametrize(
    ("architecture", "found"),
    [
        ({**SHAPE, "model_type": "gemma2", "initializer_range": 0.06}, "softcap"),
        ({**SHAPE, "model_type": "gpt_oss", "num_local_experts": 4}, "s_aux"),
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
    with pytest.raises(CheckpointError, match=found):
        make(architecture)


@pytest.mark.parametrize("backend", ["fused", "transformers"])
def test_a_model_that_the_slots_compute_wrongly_is_refused(backend: Any) -> None:
    model = build(QWEN3)

    def does_more_by_itself(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        own = model.config._attn_implementation in ("sdpa", "eager")
        return output * 1.5 if own else output

    model.model.layers[1].mlp.register_forward_hook(does_more_by_itself)
    options = Model(preset="nano", device="cpu", backend=backend)
    with pytest.raises(CheckpointError, match="Qwen3ForCausalLM: expected the logits"):
        make_runner(model, name="tiny", weights="random", options=options)
