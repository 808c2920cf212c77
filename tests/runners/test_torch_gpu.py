"""The runner on a real NVIDIA GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from paretobench.core.errors import DeviceOutOfMemoryError, EnvironmentUnfitError
from paretobench.core.values import BatchingConfig, Preemption, Request, Trial
from paretobench.core.workloads import ClosedLoop, FixedLength, WorkloadSpec
from paretobench.runners.torch import TorchRunner, build_runner, make_runner
from paretobench.runners.torch.models import random_model
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.systems import Model
from paretobench.serving.clock import WallClock
from paretobench.targets.serve import serve_trial

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine"),
]

# In bfloat16 two correct implementations may part where the best two logits are this close.
MARGIN = 0.2


LLAMA_TINY = {
    **PRESETS["llama-3.2-1b"],
    "hidden_size": 256,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "intermediate_size": 512,
    "vocab_size": 16384,
}


def build(preset: str, dtype: torch.dtype) -> Any:
    return random_model(
        LLAMA_TINY if preset == "llama-tiny" else PRESETS[preset],
        device=torch.device("cuda", 0),
        dtype=dtype,
        seed=0,
        std=0.06,
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


def over(preset: str, dtype: torch.dtype, **options: Any) -> TorchRunner:
    return make_runner(
        build(preset, dtype),
        name=preset,
        weights="random weights",
        options=Model(preset="nano", device="cuda", **options),
    )


def serve(
    runner: TorchRunner,
    requests: list[Request],
    prompts: dict[int, np.ndarray],
    *,
    max_prefill_tokens_per_step: int | None = None,
) -> dict[int, list[int]]:
    rng = np.random.default_rng(4)
    runner.start_trial(
        max_batch_size=9,
        max_request_tokens=120,
        prompts=lambda r: prompts[r.request_id],
        max_prefill_tokens_per_step=max_prefill_tokens_per_step,
    )
    tokens: dict[int, list[int]] = {r.request_id: [] for r in requests}
    waiting, inside = list(requests), {}
    while waiting or inside:
        room = min(runner.capacity().free_slots, len(waiting), int(rng.integers(0, 5)))
        join, waiting = waiting[:room], waiting[room:]
        inside |= {r.request_id: r for r in join}
        for request_id, token in runner.step(join).tokens:
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


def expected_of(
    preset: str, requests: list[Request], prompts: dict[int, np.ndarray]
) -> dict[int, list[int]]:
    reference = build(preset, torch.float32)
    return {
        r.request_id: generated(reference, prompts[r.request_id], r.output_tokens)[0]
        for r in requests
    }


WAYS: list[dict[str, Any]] = [
    {},
    {"cuda_graphs": False},
    {"attention": "sdpa"},
    {"attention": "sdpa", "cuda_graphs": False, "compile": False},
    {"compile": False},
    {"backend": "transformers"},
]


@pytest.mark.parametrize("options", WAYS, ids=str)
@pytest.mark.parametrize("preset", ["nano", "llama-tiny"])
def test_tokens_equal_generate_in_float32(preset: str, options: dict[str, Any]) -> None:
    requests, prompts = draw(40)
    runner = over(preset, torch.float32, **options)
    found = serve(runner, requests, prompts)
    assert found == expected_of(preset, requests, prompts)
    assert len({token for tokens in found.values() for token in tokens}) > 40


@pytest.mark.parametrize("options", [{}, {"attention": "sdpa"}], ids=str)
def test_prompts_in_chunks_give_the_same_tokens(options: dict[str, Any]) -> None:
    requests, prompts = draw(40)
    runner = over("nano", torch.float32, **options)
    found = serve(runner, requests, prompts, max_prefill_tokens_per_step=13)
    assert found == expected_of("nano", requests, prompts)


def serve_preempting(
    runner: TorchRunner,
    requests: list[Request],
    prompts: dict[int, np.ndarray],
    preemption: Preemption,
    *,
    max_prefill_tokens_per_step: int | None = None,
) -> tuple[dict[int, list[int]], int]:
    """Return the tokens, and how many requests gave up their slots more than once."""
    rng = np.random.default_rng(5)
    runner.start_trial(
        max_batch_size=9,
        max_request_tokens=120,
        prompts=lambda r: prompts[r.request_id],
        max_prefill_tokens_per_step=max_prefill_tokens_per_step,
        preemption=preemption,
    )
    tokens: dict[int, list[int]] = {r.request_id: [] for r in requests}
    num_preemptions = dict.fromkeys(tokens, 0)
    outside, inside = list(requests), dict[int, Request]()
    while outside or inside:
        if rng.random() < 0.3:
            for request_id, token in runner.settle().tokens:
                tokens[request_id].append(token)
            owed = [i for i, r in inside.items() if len(tokens[i]) < r.output_tokens]
            victims = [i for i in owed if rng.random() < 0.5]
            runner.preempt(victims)
            for i in victims:
                num_preemptions[i] += 1
                outside.insert(int(rng.integers(len(outside) + 1)), inside.pop(i))
        room = min(runner.capacity().free_slots, len(outside), int(rng.integers(0, 5)))
        join, outside = outside[:room], outside[room:]
        inside |= {r.request_id: r for r in join}
        for request_id, token in runner.step(join).tokens:
            tokens[request_id].append(token)
        leaving = [i for i, r in inside.items() if len(tokens[i]) == r.output_tokens]
        leaving = [i for i in leaving if rng.random() < 0.5]
        runner.leave(leaving)
        for i in leaving:
            del inside[i]
    assert runner.capacity().free_slots == 9
    return tokens, sum(n > 1 for n in num_preemptions.values())


@pytest.mark.parametrize("limit", [None, 13])
@pytest.mark.parametrize(
    "options", [{}, {"attention": "sdpa"}, {"backend": "transformers"}], ids=str
)
@pytest.mark.parametrize("preemption", ["recompute", "keep_kv"])
def test_tokens_of_preempted_requests_equal_generate(
    preemption: Preemption, options: dict[str, Any], limit: int | None
) -> None:
    requests, prompts = draw(40)
    runner = over("nano", torch.float32, **options)
    found, num_preempted = serve_preempting(
        runner, requests, prompts, preemption, max_prefill_tokens_per_step=limit
    )
    assert found == expected_of("nano", requests, prompts)
    assert num_preempted > 5
    assert bool(runner.describe()["cuda_graphs"]) is (options.get("backend") != "transformers")


def test_decode_steps_are_replayed_and_attention_is_the_kernel_that_is_named() -> None:
    runner = over("nano", torch.bfloat16, attention="triton", cuda_graphs=True)
    requests, prompts = draw(12)
    serve(runner, requests, prompts)
    facts = runner.describe()
    assert facts["cuda_graphs"] == len([1, 2, 4, 8, 9])  # rows; one bound on the context
    assert facts["attention_backend"].startswith(
        "slots: decode Triton split-KV, prefill SDPA flash"
    )
    one = Request(request_id=0, arrival_s=0.0, prompt_tokens=8, output_tokens=20)
    runner.start_trial(max_batch_size=1, max_request_tokens=40, prompts=lambda _: np.arange(8))
    runner.step([one])
    with torch.profiler.profile() as profile:
        for _ in range(4):
            runner.step([])
        torch.cuda.synchronize()
    names = {event.key for event in profile.key_averages()}
    assert any("graphlaunch" in name.lower() for name in names), sorted(names)
    assert any("decode" in name or "attention" in name for name in names), sorted(names)


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_tokens_in_bfloat16_part_from_generate_only_where_the_margin_is_small(
    options: dict[str, Any],
) -> None:
    requests, prompts = draw(24)
    found = serve(over("nano", torch.bfloat16, **options), requests, prompts)
    reference = build("nano", torch.bfloat16)
    for r in requests:
        expected, margins = generated(reference, prompts[r.request_id], r.output_tokens)
        parted = [
            margin
            for ours, theirs, margin in zip(found[r.request_id], expected, margins, strict=True)
            if ours != theirs
        ]
        assert not parted or parted[0] < MARGIN  # after the first, the contexts differ


@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_quantised_weights_run_and_are_recorded(kind: str) -> None:
    if kind == "fp8" and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("fp8 needs compute capability 8.9")
    runner = over("nano", torch.bfloat16, quantization=kind)
    requests, prompts = draw(12)
    tokens = serve(runner, requests, prompts)
    assert all(len(tokens[r.request_id]) == r.output_tokens for r in requests)
    assert runner.describe()["quantization"] == kind


def test_float16_runs() -> None:
    requests, prompts = draw(12)
    tokens = serve(over("nano", torch.float16), requests, prompts)
    assert all(len(tokens[r.request_id]) == r.output_tokens for r in requests)


@pytest.mark.gpu_alone
def test_a_request_too_large_for_the_memory_is_refused_and_the_runner_recovers() -> None:
    runner = build_runner(Model(preset="llama-3.2-1b", device="cuda"))
    before = torch.cuda.memory_allocated()
    hog = torch.empty(int(torch.cuda.mem_get_info()[0] * 0.97), dtype=torch.uint8, device="cuda")
    with pytest.raises(DeviceOutOfMemoryError, match="lower max_batch_size"):
        runner.start_trial(
            max_batch_size=1,
            max_request_tokens=131072,
            prompts=lambda r: np.zeros(r.prompt_tokens, np.int64),
        )
    del hog
    torch.cuda.empty_cache()
    assert torch.cuda.memory_allocated() < before + 2**30
    requests, prompts = draw(5)
    tokens = serve(runner, requests, prompts)
    assert [len(tokens[r.request_id]) for r in requests] == [r.output_tokens for r in requests]


@pytest.mark.gpu_alone
def test_memory_that_runs_out_in_a_step_ends_the_trial_and_the_next_one_runs() -> None:
    runner = build_runner(Model(preset="nano", device="cuda"))

    def trial(prompt_tokens: int, batch: int) -> Trial:
        return Trial(
            batching=BatchingConfig(policy="static", max_batch_size=batch, max_waiting_time_s=0.0),
            load=ClosedLoop(concurrency=batch),
            workload=WorkloadSpec(
                prompt_tokens=FixedLength(value=prompt_tokens),
                output_tokens=FixedLength(value=4),
            ),
            num_requests=2 * batch,
            num_warmup=0,
            min_duration_s=0.0,
            timeout_s=60.0,
            repeat=0,
            seed=0,
        )

    runner.warm_up([64], prompt_tokens=2000, max_request_tokens=2004)
    hog: list[torch.Tensor] = []
    start_trial = runner.start_trial

    def start_and_fill(**limits: Any) -> None:
        start_trial(**limits)
        torch.cuda.empty_cache()
        free = torch.cuda.mem_get_info()[0] - (64 << 20)
        hog.append(torch.empty(free, dtype=torch.uint8, device="cuda"))

    runner.start_trial = start_and_fill  # type: ignore[method-assign]
    trace = serve_trial(trial(2000, 64), runner, WallClock(), vocab_size=runner.vocab_size)
    assert trace.outcome == "out_of_memory"
    assert trace.reason is not None
    assert "no memory for" in trace.reason
    hog.clear()
    torch.cuda.empty_cache()
    runner.start_trial = start_trial  # type: ignore[method-assign]
    trace = serve_trial(trial(16, 4), runner, WallClock(), vocab_size=runner.vocab_size)
    assert trace.outcome == "completed"


def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(EnvironmentUnfitError, match=r"cuda:99 needs 100 GPUs"):
        build_runner(Model(preset="nano", device="cuda:99"))


@pytest.mark.gpu_alone
def test_warm_up_records_every_batch_size_and_measures_the_kv_budget() -> None:
    runner = build_runner(Model(preset="nano", device="cuda"))
    runner.warm_up([1, 2, 4, 8, 16, 32, 64], prompt_tokens=128, max_request_tokens=192)
    assert runner.capacity().free_slots == 0
    facts = runner.describe()
    free = torch.cuda.mem_get_info()[0]
    assert 0 < facts["kv_budget_tokens"] * facts["kv_bytes_per_token"] < free * 1.1
    recorded = facts["cuda_graphs"]
    runner.start_trial(
        max_batch_size=64, max_request_tokens=192, prompts=lambda _: np.zeros(1, np.int64)
    )
    assert runner.describe()["cuda_graphs"] == recorded


def test_llama_3_2_1b_in_bfloat16_builds_and_steps() -> None:
    runner = build_runner(Model(preset="llama-3.2-1b", device="cuda"))
    facts = runner.describe()
    assert facts["dtype"] == "bfloat16"
    assert facts["device_name"] == torch.cuda.get_device_name(0)
    requests, prompts = draw(16)
    tokens = serve(runner, requests, prompts)
    assert all(len(tokens[r.request_id]) == r.output_tokens for r in requests)
