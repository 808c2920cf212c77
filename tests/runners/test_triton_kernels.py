"""The Triton kernels against explicit formulas: on a GPU, and in Triton's interpreter on the CPU.

Triton decides when it is imported whether it interprets, and in this process something else may
have imported it by now. So the interpreter has a process of its own, which runs this same file.
It does not know bfloat16 products nor roundings to e4m3, and truncates where bfloat16 is rounded.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

triton = pytest.importorskip("triton", reason="triton is not installed here")

from transformers.models.qwen3.modeling_qwen3 import (  # noqa: E402
    Qwen3RMSNorm,
    apply_rotary_pos_emb,
)

from paretobench.core.values import Request  # noqa: E402
from paretobench.runners.torch import build, make_runner, triton_kernels  # noqa: E402
from paretobench.runners.torch.kernels import AttentionKernels  # noqa: E402
from paretobench.runners.torch.models import random_model  # noqa: E402
from paretobench.runners.torch.quantised import dequantise, quantise_int8  # noqa: E402
from paretobench.runners.torch.triton_kernels import (  # noqa: E402
    decode_attention,
    plan_splits,
    rotate_and_store,
)
from paretobench.runners.torch.triton_linear import (  # noqa: E402
    int8_linear,
    plan_matmul,
    quantise_rows_fp8,
)
from paretobench.scenario.presets import PRESETS  # noqa: E402
from paretobench.scenario.systems import Model  # noqa: E402

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"

needs_gpu = pytest.mark.skipif(
    INTERPRETED or not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine"
)
DEVICES = ["cpu"] if INTERPRETED else [pytest.param("cuda", marks=[pytest.mark.gpu, needs_gpu])]
DOT_DTYPES = [torch.float32, torch.float16] + [torch.bfloat16] * (not INTERPRETED)
HALF_DTYPE = torch.float16 if INTERPRETED else torch.bfloat16

SHAPES = [(6, 2, 64), (32, 8, 128), (4, 4, 16), (4, 2, 80)]  # heads, kv_heads, head_dim
BUCKET = 384
LENGTHS = [1, 63, 64, 65, BUCKET - 1, BUCKET]
ONE_SPLIT, MANY_SPLITS = 1, 132  # multiprocessors for which these shapes are (not) split


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


@pytest.fixture
def generator(device: torch.device) -> torch.Generator:
    return torch.Generator(device).manual_seed(0)


@pytest.mark.skipif(INTERPRETED, reason="this is the interpreter's process")
@pytest.mark.skipif(
    tuple(int(part) for part in triton.__version__.split(".")[:2]) < (3, 7),
    reason="Triton's interpreter before 3.7 converts arrays as NumPy no longer does",
)
def test_all_kernels_hold_in_the_interpreter(request: pytest.FixtureRequest) -> None:
    inner = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", __file__],
        env=os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""},
        cwd=request.config.rootpath,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert inner.returncode == 0, inner.stdout[-4000:] + inner.stderr[-2000:]


class Attention:
    """Queries over slots in permuted order; what lies past a row's length is `beyond`."""

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: torch.dtype,
        generator: torch.Generator,
        *,
        beyond: float = math.nan,
    ) -> None:
        heads, kv_heads, head_dim = shape
        device, rows = generator.device, len(LENGTHS)
        options: dict[str, Any] = {"generator": generator, "device": device, "dtype": dtype}
        layers = torch.randn(2, 3, rows + 2, kv_heads, BUCKET + 32, head_dim, **options)
        self.keys, self.values = layers[:, 1]  # one layer of three
        fused = torch.randn(rows, (heads + 2 * kv_heads) * head_dim, **options)
        self.query = fused[:, : heads * head_dim].view(rows, heads, head_dim)
        self.lengths = torch.tensor(LENGTHS, device=device)
        self.slots = torch.tensor([5, 0, 7, 2, 6, 1], device=device)
        self.scale = head_dim**-0.5
        for row, length in enumerate(LENGTHS):
            self.keys[self.slots[row], :, length:] = beyond
            self.values[self.slots[row], :, length:] = beyond

    def by_the_kernel(self, num_sms: int) -> torch.Tensor:
        return decode_attention(
            self.query,
            self.keys,
            self.values,
            self.lengths,
            self.slots,
            scale=self.scale,
            max_tokens=BUCKET,
            num_sms=num_sms,
        )

    def expected(self) -> torch.Tensor:
        group = self.query.shape[1] // self.keys.shape[1]
        outputs = []
        for row, length in enumerate(self.lengths.tolist()):
            slot = self.slots[row]
            k, v = (
                stored[slot, :, :length].double().repeat_interleave(group, 0)
                for stored in (self.keys, self.values)
            )  # [heads, length, head_dim]
            scores = torch.einsum("hd,hnd->hn", self.query[row].double(), k) * self.scale
            outputs.append(torch.einsum("hn,hnd->hd", scores.softmax(-1), v))
        return torch.stack(outputs).float()


@pytest.mark.parametrize("num_sms", [ONE_SPLIT, MANY_SPLITS])
@pytest.mark.parametrize("dtype", DOT_DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_decode_attention_is_softmax_over_the_row_s_own_tokens(
    shape: tuple[int, int, int], dtype: torch.dtype, num_sms: int, generator: torch.Generator
) -> None:
    attention = Attention(shape, dtype, generator)
    num_splits, _ = plan_splits(
        num_programs=len(LENGTHS) * shape[1], max_tokens=BUCKET, num_sms=num_sms
    )
    assert (num_splits == 1) is (num_sms == ONE_SPLIT)
    found = attention.by_the_kernel(num_sms)
    assert found.dtype == dtype
    bound = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 3e-2}[dtype]
    torch.testing.assert_close(found.float(), attention.expected(), rtol=bound, atol=bound)


@pytest.mark.parametrize("num_sms", [ONE_SPLIT, MANY_SPLITS])
@pytest.mark.parametrize("beyond", [math.nan, math.inf])
def test_memory_past_the_length_changes_no_bit(
    beyond: float, num_sms: int, device: torch.device
) -> None:
    found = [
        Attention(
            (6, 2, 64), HALF_DTYPE, torch.Generator(device).manual_seed(0), beyond=filler
        ).by_the_kernel(num_sms)
        for filler in (0.0, beyond)
    ]
    assert torch.equal(*found)


def test_lengths_may_be_of_32_or_64_bits(generator: torch.Generator) -> None:
    attention = Attention((6, 2, 64), HALF_DTYPE, generator)
    found = attention.by_the_kernel(MANY_SPLITS)
    attention.lengths = attention.lengths.to(torch.int32)
    assert torch.equal(found, attention.by_the_kernel(MANY_SPLITS))


class Projection:
    """Fused projections of tokens, the tables that turn them, and the slots they go to."""

    heads, kv_heads, head_dim, eps = 6, 2, 64, 1e-6

    def __init__(self, family: str, dtype: torch.dtype, generator: torch.Generator) -> None:
        device = generator.device
        options: dict[str, Any] = {"generator": generator, "device": device}
        self.positions = torch.tensor([0, 31, 7, 8, 40], device=device)
        self.slots = torch.tensor([4, 0, 2, 2, 1], device=device)
        features = (self.heads + 2 * self.kv_heads) * self.head_dim
        self.qkv = torch.randn(len(self.slots), features, **options).to(dtype)
        frequencies = 10_000.0 ** -(torch.arange(self.head_dim // 2, device=device) / 32)
        angles = torch.arange(48, device=device)[:, None] * frequencies
        self.cos, self.sin = angles.cos().to(dtype), angles.sin().to(dtype)
        stored = torch.randn(2, 3, 5, self.kv_heads, 48, self.head_dim, **options).to(dtype)
        self.keys, self.values = stored[:, 1]
        self.norms: list[Any] = [None, None]
        if family == "qwen3":
            self.norms = [Qwen3RMSNorm(self.head_dim, self.eps).to(device) for _ in "qk"]
            for norm in self.norms:
                norm.weight.data = 1 + 0.2 * torch.randn(self.head_dim, **options)
                norm.to(dtype).requires_grad_(False)

    def by_the_kernel(self) -> torch.Tensor:
        query_norm, key_norm = (None if norm is None else norm.weight for norm in self.norms)
        return rotate_and_store(
            self.qkv,
            self.positions,
            self.slots,
            self.cos,
            self.sin,
            self.keys,
            self.values,
            heads=self.heads,
            kv_heads=self.kv_heads,
            query_norm=query_norm,
            key_norm=key_norm,
            eps=self.eps,
        )

    def by_transformers(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return queries, keys and values, each [tokens, heads or kv_heads, head_dim]."""
        every = self.qkv.view(len(self.slots), -1, self.head_dim)
        query, key, value = every.split([self.heads, self.kv_heads, self.kv_heads], 1)
        if self.norms[0] is not None:
            query, key = self.norms[0](query), self.norms[1](key)
        cos, sin = (torch.cat([t, t], -1)[self.positions] for t in (self.cos, self.sin))
        return *apply_rotary_pos_emb(query, key, cos, sin, unsqueeze_dim=1), value


def relative_difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_queries_and_keys_turn_as_in_transformers(
    family: str, dtype: torch.dtype, generator: torch.Generator
) -> None:
    projection = Projection(family, dtype, generator)
    query, key, _ = projection.by_transformers()
    found = projection.by_the_kernel()
    stored = projection.keys[projection.slots, :, projection.positions]
    bound = 1e-6 if dtype == torch.float32 else 2**-5 if INTERPRETED else 2**-8
    assert found.dtype == dtype
    assert relative_difference(found, query) < bound
    assert relative_difference(stored, key) < bound


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_nothing_but_the_tokens_own_places_is_written(
    family: str, dtype: torch.dtype, generator: torch.Generator
) -> None:
    projection = Projection(family, dtype, generator)
    keys, values = projection.keys.clone(), projection.values.clone()
    projection.by_the_kernel()
    _, _, value = projection.by_transformers()
    places = (projection.slots, slice(None), projection.positions)
    values[places] = value  # bit for bit
    keys[places] = projection.keys[places]
    assert torch.equal(projection.keys, keys)
    assert torch.equal(projection.values, values)


@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("num_sms", [ONE_SPLIT, MANY_SPLITS])
@pytest.mark.parametrize(
    ("rows", "in_features", "out_features"),
    [(1, 1024, 64), (16, 1100, 77), (17, 1056, 33), (70, 2048, 129), (5, 33, 16)],
)
def test_int8_linear_is_the_product_by_the_dequantised_weight(
    rows: int,
    in_features: int,
    out_features: int,
    num_sms: int,
    has_bias: bool,
    generator: torch.Generator,
) -> None:
    options: dict[str, Any] = {"generator": generator, "device": generator.device}
    inputs = torch.randn(rows, in_features, **options).to(HALF_DTYPE)
    weight, scale = quantise_int8(torch.randn(out_features, in_features, **options))
    bias = torch.randn(out_features, **options).to(HALF_DTYPE) if has_bias else None
    found = int8_linear(inputs, weight, scale, bias, num_sms=num_sms)
    expected = inputs.double() @ dequantise(weight, scale).double().T
    if bias is not None:
        expected += bias.double()
    # each output is rounded once; the sums before are in float32
    bound = torch.finfo(HALF_DTYPE).eps
    torch.testing.assert_close(found.double(), expected, rtol=bound, atol=1e-3)
    again = int8_linear(inputs, weight, scale, bias, num_sms=num_sms)
    assert torch.equal(found, again)


def test_input_features_are_split_where_outputs_leave_multiprocessors_idle() -> None:
    shape: dict[str, int] = {"in_features": 2048, "out_features": 129}
    assert plan_matmul(70, **shape, num_sms=MANY_SPLITS).num_splits == 4
    assert plan_matmul(70, **shape, num_sms=ONE_SPLIT).num_splits == 1


def test_a_row_s_largest_magnitude_becomes_the_largest_of_e4m3(
    generator: torch.Generator,
) -> None:
    options: dict[str, Any] = {"generator": generator, "device": generator.device}
    inputs = torch.randn(5, 5000, **options).to(torch.bfloat16)
    inputs[2] = 0
    quantised, scale = quantise_rows_fp8(inputs)
    largest = inputs.float().abs().amax(1, keepdim=True)
    torch.testing.assert_close(scale, largest.clamp(min=1e-12) / 448, rtol=1e-6, atol=0)
    assert not quantised[2].float().any()
    if not INTERPRETED:
        difference = (quantised.float() * scale - inputs.float()).abs()
        bound = torch.maximum(inputs.float().abs() / 16, scale / 1024)
        assert (difference <= 1.001 * bound).all()


@pytest.mark.gpu
@needs_gpu
def test_a_captured_graph_follows_lengths_and_positions_on_the_device() -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    attention = Attention((6, 2, 64), torch.bfloat16, generator)
    projection = Projection("qwen3", torch.bfloat16, generator)
    weight, scale = quantise_int8(torch.randn(96, 1024, device="cuda", generator=generator))
    inputs = torch.randn(3, 1024, device="cuda", generator=generator).to(torch.bfloat16)

    def step() -> list[torch.Tensor]:
        return [
            attention.by_the_kernel(MANY_SPLITS),
            projection.by_the_kernel(),
            int8_linear(inputs, weight, scale),
        ]

    step()  # compiles, which a capture may not
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        captured = step()
    attention.lengths.copy_(torch.tensor([1, 2, 64, 3, 200, 129]))
    projection.positions.add_(1)
    inputs.mul_(2)
    graph.replay()
    for found, expected in zip(captured, step(), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.gpu
@needs_gpu
def test_no_launcher_waits_for_the_device() -> None:
    generator = torch.Generator("cuda").manual_seed(0)
    attention = Attention((6, 2, 64), torch.bfloat16, generator)
    projection = Projection("llama", torch.bfloat16, generator)
    rows = np.array([1.0], dtype=np.float32)
    inputs = torch.from_numpy(rows).to("cuda", torch.bfloat16).expand(4, 64).contiguous()
    weight, scale = quantise_int8(torch.ones(64, 64, device="cuda"))
    for mode in ("default", "error"):  # first to compile
        torch.cuda.set_sync_debug_mode(mode)
        try:
            attention.by_the_kernel(MANY_SPLITS)
            projection.by_the_kernel()
            int8_linear(inputs, weight, scale)
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(not INTERPRETED, reason="on a GPU the runner's own tests do this")
@pytest.mark.parametrize("family", ["llama-3.2-1b", "nano"])
def test_the_fused_decoder_over_these_kernels_gives_the_tokens_of_generate(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = {
        **PRESETS[family],
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 64,
        "vocab_size": 256,
        "max_position_embeddings": 16384,
    }

    def model() -> Any:
        return random_model(
            architecture, device=torch.device("cpu"), dtype=torch.float32, seed=0, std=0.25
        )

    monkeypatch.setattr(
        build, "choose_kernels", lambda *_, **__: AttentionKernels(slots=triton_kernels)
    )
    replayed: list[int] = []

    def capture(body: Any) -> Any:
        return lambda: (replayed.append(1), body())

    runner = make_runner(
        model(),
        name="tiny",
        weights="random weights",
        options=Model(preset="nano", device="cpu"),
        make_capture=lambda: capture,
    )
    rng = np.random.default_rng(0)
    requests = [
        Request(
            request_id=i,
            arrival_s=0.0,
            prompt_tokens=int(rng.integers(2, 30)),
            output_tokens=int(rng.integers(2, 9)),
        )
        for i in range(7)
    ]
    prompts = {r.request_id: rng.integers(256, size=r.prompt_tokens) for r in requests}
    runner.start_trial(
        max_batch_size=3,
        max_request_tokens=40,
        prompts=lambda r: prompts[r.request_id],
        max_prefill_tokens_per_step=17,
    )
    tokens: dict[int, list[int]] = {r.request_id: [] for r in requests}
    waiting, inside = list(requests), {}
    while waiting or inside:
        join = [waiting.pop(0)] if waiting and runner.capacity().free_slots else []
        inside |= {r.request_id: r for r in join}
        for request_id, token in runner.step(join).tokens:
            tokens[request_id].append(token)
        done = [i for i, r in inside.items() if len(tokens[i]) == r.output_tokens]
        runner.leave(done)
        inside = {i: r for i, r in inside.items() if i not in done}
    assert len(replayed) > 10
    reference = model()
    for r in requests:
        ids = torch.from_numpy(prompts[r.request_id])[None]
        expected = reference.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=r.output_tokens,
            min_new_tokens=r.output_tokens,
            do_sample=False,
            pad_token_id=0,
        )
        assert tokens[r.request_id] == expected[0, r.prompt_tokens :].tolist()
