"""Presets, checkpoints, devices and precisions become a model, or a refusal that helps."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM

from paretobench.core.errors import CheckpointError, EnvironmentUnfitError, UserInputError
from paretobench.core.values import Request
from paretobench.runners.torch import TorchRunner, build_runner, make_runner
from paretobench.runners.torch.context import max_exact_tokens
from paretobench.runners.torch.devices import resolve_device, resolve_dtype
from paretobench.runners.torch.models import random_model
from paretobench.scenario.presets import PRESETS, num_parameters
from paretobench.scenario.systems import Model

CPU = torch.device("cpu")
TINY = {
    **PRESETS["llama-3.2-1b"],
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 96,
    "vocab_size": 256,
    "max_position_embeddings": 16384,
}


def tiny(**shape: Any) -> Any:
    return random_model({**TINY, **shape}, device=CPU, dtype=torch.float32, seed=0, std=0.25)


def tokens(runner: TorchRunner) -> list[int]:
    request = Request(request_id=0, arrival_s=0.0, prompt_tokens=9, output_tokens=20)
    runner.start_trial(
        max_batch_size=1, max_request_tokens=40, prompts=lambda r: np.arange(r.prompt_tokens)
    )
    return [runner.step([request] if i == 0 else []).tokens[0][1] for i in range(20)]


def tokens_of(model: Any) -> list[int]:
    return tokens(
        make_runner(
            model, name="tiny", weights="random weights", options=Model(preset="nano", device="cpu")
        )
    )


def on_cpu(path: Path) -> TorchRunner:
    return build_runner(Model(path=str(path), device="cpu"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "tiny-llama"
    tiny(tie_word_embeddings=False).save_pretrained(path)
    return path


@pytest.fixture
def copied(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "tiny-llama"))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_has_the_parameters_that_it_says(preset: str) -> None:
    architecture = {k: v for k, v in PRESETS[preset].items() if k != "model_type"}
    config = AutoConfig.for_model(PRESETS[preset]["model_type"], **architecture)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model.tie_weights()
    assert model.num_parameters() == num_parameters(PRESETS[preset])
    assert max_exact_tokens(config.to_dict()) == PRESETS[preset]["max_position_embeddings"]


@pytest.mark.parametrize("model_type", ["llama", "qwen3"])
def test_random_weights_follow_the_seed(model_type: str) -> None:
    def weights(seed: int) -> dict[str, torch.Tensor]:
        return dict(
            random_model(
                {**TINY, "model_type": model_type}, device=CPU, dtype=torch.float32, seed=seed
            ).state_dict()
        )

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])


def test_rotary_frequencies_are_those_of_a_model_built_the_slow_way() -> None:
    model = random_model(TINY, device=CPU, dtype=torch.bfloat16, seed=0)
    slow = AutoModelForCausalLM.from_config(model.config)
    for fast, expected in zip(model.buffers(), slow.buffers(), strict=True):
        assert fast.dtype == torch.float32
        assert torch.equal(fast, expected)


def test_a_preset_runs_and_is_described() -> None:
    runner = build_runner(Model(preset="nano", device="cpu"), init_std=0.06)
    facts = runner.describe()
    assert facts["model"] == "nano (18.9 M parameters, random weights)"
    assert facts["num_parameters"] == num_parameters(PRESETS["nano"])
    assert facts["dtype"] == "float32"
    assert len(set(tokens(runner))) > 5


def test_a_preset_runs_in_bfloat16_on_the_cpu() -> None:
    runner = build_runner(Model(preset="nano", device="cpu", dtype="bfloat16"))
    assert len(tokens(runner)) == 20


def test_a_saved_checkpoint_reads_back_with_equal_tokens(saved: Path) -> None:
    runner = on_cpu(saved)
    expected = tokens_of(tiny(tie_word_embeddings=False))
    assert tokens(runner) == expected
    assert len(set(expected)) > 4
    assert runner.describe()["model"].startswith("tiny-llama (")


@pytest.mark.parametrize("tied", [True, False])
def test_a_sharded_checkpoint_reads_back_with_equal_tokens(tmp_path: Path, tied: bool) -> None:
    model = tiny(tie_word_embeddings=tied)
    model.save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    assert tokens(on_cpu(tmp_path)) == tokens_of(tiny(tie_word_embeddings=tied))


def test_missing_weights_are_never_made_up(copied: Path) -> None:
    weights = load_file(copied / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, copied / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 missing \(model.layers.1.mlp.up_proj.weight\)"):
        on_cpu(copied)


def test_weights_of_another_shape_are_refused(copied: Path) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, "intermediate_size": 100}))
    with pytest.raises(CheckpointError, match="tiny-llama: expected"):
        on_cpu(copied)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"model_type": "no_such_model"}, "cannot be loaded"),
        ({"model_type": "bert"}, "tiny-llama"),
        ({"hidden_size": "wide"}, "cannot be loaded"),
        ({"quantization_config": {"quant_method": "gptq", "bits": 4}}, "quantised"),
        ({"model_type": "x", "auto_map": {"AutoConfig": "x.X"}}, "cannot be loaded"),
    ],
    ids=["unknown", "no causal LM", "nonsense", "quantised", "code of its own"],
)
def test_a_config_that_cannot_be_run_is_refused(
    copied: Path, change: dict[str, Any], found: str
) -> None:
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(CheckpointError, match=found):
        on_cpu(copied)


def test_a_damaged_file_is_refused_before_anything_is_built(copied: Path) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="damaged or cut short"):
        on_cpu(copied)


def test_pickle_weights_are_refused(copied: Path) -> None:
    (copied / "model.safetensors").unlink()
    torch.save({}, copied / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="pickle is never loaded"):
        on_cpu(copied)


@pytest.mark.parametrize("hub_id", ["../somewhere", "a/b/c", "here"])
def test_a_hub_id_that_is_a_folder_or_no_id_is_refused(
    hub_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="expected an id such as owner/name"):
        build_runner(Model(hub=hub_id, device="cpu"))


def test_a_hub_id_that_cannot_be_reached_is_refused_with_what_to_do() -> None:
    with pytest.raises(CheckpointError, match="give `path:`"):
        build_runner(Model(hub="paretobench-tests/no-such-model", device="cpu"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_cuda_without_a_gpu_says_how_to_run_on_the_cpu(name: str) -> None:
    with pytest.raises(EnvironmentUnfitError, match="`device: cpu`"):
        build_runner(Model(preset="nano", device=name))


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_auto_is_the_cpu_in_float32_without_a_gpu() -> None:
    assert resolve_device("auto") == CPU
    assert resolve_dtype("auto", CPU) == torch.float32


def test_auto_is_bfloat16_on_a_gpu() -> None:
    assert resolve_dtype("auto", torch.device("cuda", 0)) == torch.bfloat16


def test_float16_on_the_cpu_is_refused_with_the_reason() -> None:
    with pytest.raises(UserInputError, match="1 to 53 GFLOP/s"):
        build_runner(Model(preset="nano", device="cpu", dtype="float16"))


def test_beyond_window_and_longrope_nothing_is_exact() -> None:
    base = {"model_type": "x", "max_position_embeddings": 1000}
    sliding = {"sliding_window": 100}
    assert max_exact_tokens({**base, **sliding}) == 100
    assert max_exact_tokens({**base, **sliding, "use_sliding_window": False}) == 1000
    assert max_exact_tokens({**base, **sliding, "layer_types": ["full_attention"]}) == 1000
    rope = {"rope_type": "longrope", "original_max_position_embeddings": 64}
    assert max_exact_tokens({**base, "rope_parameters": rope}) == 64
    with pytest.raises(CheckpointError, match="linear_attention"):
        max_exact_tokens({**base, "layer_types": ["full_attention", "linear_attention"]})
