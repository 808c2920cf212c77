"""Which model back end, kernels and options a runner gets, and what is refused."""

from __future__ import annotations

import itertools
import logging
import shutil
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend
from transformers import AutoConfig, AutoModelForCausalLM

from paretobench.core.errors import EnvironmentUnfitError, UserInputError
from paretobench.runners.torch import build_runner, kernels, make_runner
from paretobench.runners.torch.graphs import kv_buckets, row_buckets
from paretobench.runners.torch.kernels import AttentionKernels, choose_kernels
from paretobench.runners.torch.models import random_model
from paretobench.runners.torch.slots import KVShape
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.systems import Model

CPU = torch.device("cpu")
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
SHAPE = KVShape(num_layers=2, kv_heads=2, key_dim=8, value_dim=8)


def tiny() -> Any:
    return random_model(TINY, device=CPU, dtype=torch.float32, seed=0, std=0.2)


def gpt2() -> Any:
    config = AutoConfig.for_model("gpt2", n_embd=32, n_layer=2, n_head=4, vocab_size=128)
    return AutoModelForCausalLM.from_config(config).eval()


def options(**given: Any) -> Model:
    return Model(preset="nano", device="cpu", **given)


def facts(model: Any, **given: Any) -> dict[str, Any]:
    return make_runner(model, name="tiny", weights="random", options=options(**given)).describe()


def test_auto_takes_the_fused_decoder_where_there_is_one() -> None:
    assert facts(tiny())["backend"] == "fused"
    assert facts(gpt2())["backend"] == "transformers"
    assert facts(tiny(), backend="transformers")["backend"] == "transformers"


def test_what_ran_is_recorded() -> None:
    found = facts(tiny())
    assert found["linear_backend"] in ("prepacked oneDNN", "plain")
    assert found["attention_backend"] == "slots: decode SDPA and matmul, prefill SDPA (CPU)"
    assert found["kv_bytes_per_token"] == 2 * 2 * 2 * 8 * 4  # both, layers, heads, dim, bytes
    assert found["cuda_graphs"] is None
    assert found["compile_s"] is None
    assert found["quantization"] is None


def test_int8_runs_on_a_cpu_and_is_recorded() -> None:
    found = build_runner(options(quantization="int8")).describe()
    assert found["quantization"] == "int8"
    assert found["linear_backend"] == "int8 weights and inputs"


def test_a_family_without_a_fused_decoder_is_named() -> None:
    with pytest.raises(UserInputError, match=r"fused computes the llama and qwen3.*found .* gpt2"):
        facts(gpt2(), backend="fused")


def test_another_activation_is_not_fused() -> None:
    model = random_model(
        {**TINY, "hidden_act": "gelu"}, device=CPU, dtype=torch.float32, seed=0, std=0.2
    )
    assert facts(model)["backend"] == "transformers"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cuda_graphs": True}, r"model.cuda_graphs: true needs an NVIDIA GPU, found device cpu"),
        ({"attention": "triton"}, r"model.attention: triton needs an NVIDIA GPU"),
        ({"quantization": "fp8"}, r"model.quantization: fp8 needs an NVIDIA GPU"),
        ({"quantization": "fp8", "backend": "transformers"}, r"works in the fused decoder alone"),
        ({"compile": True, "backend": "transformers"}, r"model.compile: works in the fused"),
        ({"dtype": "float16"}, r"float16 on a CPU is emulated \(1 to 53 GFLOP/s"),
    ],
)
def test_what_a_cpu_does_not_do_is_refused_before_anything_is_loaded(
    given: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paretobench.runners.torch.build.load_model", None)
    with pytest.raises(UserInputError, match=message):
        build_runner(options(**given))


def test_row_buckets_leave_at_most_eight_rows_void() -> None:
    for max_rows in (1, 2, 7, 8, 9, 64, 100):
        sizes = row_buckets(max_rows)
        assert sizes == sorted(set(sizes))
        assert sizes[-1] == max_rows
        assert all(b - a <= 8 for a, b in itertools.pairwise(sizes))


def test_kv_buckets_reach_from_the_smallest_to_the_whole_slot() -> None:
    assert kv_buckets(96) == [96]
    assert kv_buckets(256) == [256]
    assert kv_buckets(4096) == [256, 512, 1024, 2048, 4096]


CUDA = torch.device("cuda", 0)


def chosen(option: Any = "auto") -> AttentionKernels:
    return choose_kernels(option, heads=4, shape=SHAPE, dtype=torch.bfloat16, device=CUDA)


class Trials:
    """Stands for a GPU: which kernels run on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, runs: set[SDPBackend], triton: bool):
        def attempt(backend: SDPBackend, *_: Any) -> None:
            if backend not in runs:
                raise RuntimeError(f"No available kernel for {backend}")

        def load(*_: Any) -> Any:
            if not triton:
                raise ModuleNotFoundError("No module named 'triton'")
            return SimpleNamespace(name="Triton split-KV")

        monkeypatch.setattr(kernels, "_try_causal", attempt)
        monkeypatch.setattr(kernels, "_try_masked", attempt)
        monkeypatch.setattr(kernels, "_load_triton", load)


EVERY = {SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH}


def test_the_fastest_kernels_that_run_are_taken_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Trials(monkeypatch, runs=EVERY, triton=True)
    assert chosen().describe() == "slots: decode Triton split-KV, prefill SDPA flash"
    found = chosen("sdpa")
    assert found.slots is None
    assert found.describe() == "slots: decode SDPA memory-efficient, prefill SDPA flash"


def test_without_triton_decode_goes_through_sdpa_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Trials(monkeypatch, runs={SDPBackend.MATH}, triton=False)
    with caplog.at_level(logging.WARNING):
        assert chosen().describe() == "slots: decode SDPA math, prefill SDPA math"
    assert "Triton does not run: ModuleNotFoundError" in caplog.text
    with pytest.raises(EnvironmentUnfitError, match="triton does not run here"):
        chosen("triton")


def test_a_device_on_which_no_kernel_runs_is_unfit(monkeypatch: pytest.MonkeyPatch) -> None:
    Trials(monkeypatch, runs=set(), triton=True)
    with pytest.raises(EnvironmentUnfitError, match=r"no kernel runs .*flash: No available"):
        chosen()


@pytest.mark.slow  # half a minute of compiling
@pytest.mark.filterwarnings("default")  # the compiler's own
def test_compiled_functions_give_what_eager_ones_give() -> None:
    from paretobench.runners.torch.elementwise import EAGER, compiled

    if shutil.which("g++") is None:
        pytest.skip("no C++ compiler here")
    fast = compiled(
        hidden=32, intermediate=48, heads=6, dim=8, norms_heads=True,
        dtype=torch.float32, device=CPU,
    )  # fmt: skip
    assert fast.compile_s is not None
    torch.manual_seed(0)
    for tokens in (1, 5, 40):  # one compilation for all numbers of tokens
        hidden, weight = torch.randn(2, tokens, 32), torch.randn(32)
        for a, b in zip(
            fast.add_norm(*hidden, weight, 1e-6),
            EAGER.add_norm(*hidden, weight, 1e-6),
            strict=True,
        ):
            torch.testing.assert_close(a, b)
        heads, angles = torch.randn(tokens, 7, 8)[:, :6], torch.randn(2, tokens, 1, 4)
        norm = torch.randn(6, 8)
        torch.testing.assert_close(
            fast.rotate(heads, *angles, norm, 1e-6), EAGER.rotate(heads, *angles, norm, 1e-6)
        )
        wide = torch.randn(tokens, 96)
        torch.testing.assert_close(fast.gate(wide), EAGER.gate(wide))
