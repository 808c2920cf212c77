"""The C++ kernels against the plain formulas, on whatever CPU this is."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from paretobench.core.errors import EnvironmentUnfitError
from paretobench.runners.torch import cpu_kernels, make_runner
from paretobench.runners.torch.cpu_kernels import CpuKernels, load_cpu_kernels
from paretobench.runners.torch.elementwise import EAGER
from paretobench.runners.torch.models import random_model
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.systems import Model

needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler here"
)
DTYPES = [torch.float32, torch.bfloat16]
BOUND = {torch.float32: 2e-6, torch.bfloat16: 1e-2}


def kernels(dtype: torch.dtype) -> CpuKernels:
    return load_cpu_kernels(dtype, head_dim=64, widths=(96,))


def assert_near(found: torch.Tensor, expected: torch.Tensor) -> None:
    bound = BOUND[found.dtype]
    torch.testing.assert_close(found.float(), expected.float(), rtol=bound, atol=bound)


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("heads", "kv_heads", "dim"), [(6, 2, 64), (14, 2, 32), (4, 4, 96), (16, 2, 128), (4, 1, 256)]
)
def test_decode_attention_is_softmax_over_the_rows_own_tokens(
    heads: int, kv_heads: int, dim: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = [1, 15, 16, 17, 63, 96]
    keys, values = torch.randn(2, 8, kv_heads, 96, dim, generator=generator).to(dtype)
    slots = torch.tensor([5, 0, 7, 2, 1, 4])
    for slot, length in zip(slots.tolist(), lengths, strict=True):
        keys[slot, :, length:] = math.nan  # never looked at
        values[slot, :, length:] = math.nan
    # a strided view, as transformers hands it over
    query = torch.randn(heads, 6, dim, generator=generator).to(dtype).transpose(0, 1)
    found = load_cpu_kernels(dtype, head_dim=dim, widths=()).decode_attention(
        query, keys, values, torch.tensor(lengths), slots, scale=dim**-0.5, max_tokens=96
    )
    for row, (slot, length) in enumerate(zip(slots.tolist(), lengths, strict=True)):
        expected = functional.scaled_dot_product_attention(
            query[row][:, None].float(),
            keys[slot, :, :length].float(),
            values[slot, :, :length].float(),
            enable_gqa=True,
        )[:, 0]
        assert_near(found[row], expected.to(dtype))


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("norms", [True, False])
@pytest.mark.parametrize("tokens", [1, 40])
def test_rotation_stores_what_the_plain_functions_give_and_touches_nothing_else(
    dtype: torch.dtype, norms: bool, tokens: int
) -> None:
    torch.manual_seed(0)
    heads, kv_heads, dim = 3, 2, 64
    qkv = torch.randn(tokens, (heads + 2 * kv_heads) * dim).to(dtype)
    cosine, sine = torch.randn(2, 64, dim // 2).to(dtype)
    weights = torch.randn(2, dim).to(dtype) if norms else (None, None)
    positions, slots = torch.arange(tokens) % 20, torch.arange(tokens) // 20
    keys, values = torch.full((2, 4, kv_heads, 32, dim), 7.0, dtype=dtype)
    query = kernels(dtype).rotate_and_store(
        qkv, positions, slots, cosine, sine, keys, values, heads=heads, kv_heads=kv_heads,
        query_norm=weights[0], key_norm=weights[1], eps=1e-6,
    )  # fmt: skip
    split = qkv.view(tokens, heads + 2 * kv_heads, dim)
    norm = None
    if norms:
        norm = torch.cat([weights[0].expand(heads, -1), weights[1].expand(kv_heads, -1)])
    rotated = EAGER.rotate(
        split[:, : heads + kv_heads].float(),
        cosine[positions][:, None].float(),
        sine[positions][:, None].float(),
        None if norm is None else norm.float(),
        1e-6,
    ).to(dtype)
    assert_near(query, rotated[:, :heads])
    assert_near(keys[slots, :, positions], rotated[:, heads:])
    assert torch.equal(values[slots, :, positions], split[:, heads + kv_heads :])
    keys[slots, :, positions] = 7.0
    values[slots, :, positions] = 7.0
    assert bool((keys == 7.0).all())
    assert bool((values == 7.0).all())


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 5, 300])
def test_norm_and_gate_give_what_the_plain_functions_give(dtype: torch.dtype, rows: int) -> None:
    torch.manual_seed(0)
    hidden, update = torch.randn(2, rows, 96).to(dtype)
    weight = torch.randn(96).to(dtype)
    for found, expected in zip(
        kernels(dtype).add_norm(hidden, update, weight, 1e-6),
        EAGER.add_norm(hidden, update, weight, 1e-6),
        strict=True,
    ):
        assert_near(found, expected)
    wide = 8 * torch.randn(rows, 192).to(dtype)
    assert_near(kernels(dtype).gate(wide), EAGER.gate(wide.float()).to(dtype))


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_not_a_number_stays_so(dtype: torch.dtype) -> None:
    hidden = torch.ones(1, 96).to(dtype)
    hidden[0, 5] = math.nan
    sums, normed = kernels(dtype).add_norm(hidden, hidden, hidden[0], 1e-6)
    assert bool(sums[0, 5].isnan())
    assert bool(normed.isnan().all())
    gated = kernels(dtype).gate(torch.cat([hidden, hidden], 1))
    assert gated.isnan().nonzero().tolist() == [[0, 5]]


def test_shapes_that_the_kernels_do_not_serve_are_refused() -> None:
    with pytest.raises(EnvironmentUnfitError, match="heads of 48"):
        load_cpu_kernels(torch.float32, head_dim=48, widths=())
    with pytest.raises(EnvironmentUnfitError, match="float16"):
        load_cpu_kernels(torch.float16, head_dim=64, widths=())


@needs_compiler
def test_a_library_is_compiled_once_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cpu_kernels._library.cache_clear()
    assert kernels(torch.float32).compile_s > 0
    cpu_kernels._library.cache_clear()
    assert kernels(torch.float32).compile_s == 0
    cpu_kernels._library.cache_clear()
    assert [path.suffix for path in (tmp_path / "paretobench").iterdir()] == [".so"]


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(cpu_kernels.shutil, "which", lambda _: None)
    cpu_kernels._library.cache_clear()
    yield
    cpu_kernels._library.cache_clear()


ARCHITECTURE = {
    **PRESETS["nano"], "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "intermediate_size": 96, "vocab_size": 128,
    "max_position_embeddings": 128,
}  # fmt: skip


def facts(**options: Any) -> dict[str, Any]:
    model = random_model(
        ARCHITECTURE, device=torch.device("cpu"), dtype=torch.float32, seed=0, std=0.2
    )
    given = Model(preset="nano", device="cpu", **options)
    return make_runner(model, name="tiny", weights="random", options=given).describe()


@needs_compiler
def test_the_kernels_that_run_are_recorded() -> None:
    found = facts()
    assert found["attention_backend"] == "slots: decode C++, prefill SDPA (CPU)"
    assert found["elementwise"] == "C++"
    found = facts(attention="sdpa", compile=False)
    assert found["attention_backend"] == "slots: decode SDPA and matmul, prefill SDPA (CPU)"
    assert found["elementwise"] == "torch"


def test_without_a_compiler_torch_does_it_unless_compiling_was_asked_for(no_compiler: Any) -> None:
    found = facts()
    assert found["attention_backend"] == "slots: decode SDPA and matmul, prefill SDPA (CPU)"
    assert found["elementwise"] == "torch"
    with pytest.raises(EnvironmentUnfitError, match=r"no C\+\+ compiler found"):
        facts(compile=True)


@needs_compiler
def test_scores_far_apart_neither_overflow_nor_vanish() -> None:
    keys = torch.zeros(1, 1, 32, 64)
    keys[0, 0, :, 0] = torch.linspace(-500, 500, 32)
    values = torch.arange(32.0)[None, None, :, None].expand(1, 1, 32, 64).contiguous()
    query = torch.zeros(1, 1, 64)
    query[..., 0] = 1.0
    found = kernels(torch.float32).decode_attention(
        query, keys, values, torch.tensor([32]), torch.tensor([0]), scale=1.0, max_tokens=32
    )
    np.testing.assert_allclose(found.numpy(), 31.0, rtol=1e-6)
