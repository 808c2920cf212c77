"""Each way in which a checkpoint folder can be wrong is said before a model is built."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from paretobench.core.errors import CheckpointError
from paretobench.runners.checkpoint import check_checkpoint, max_positions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama"}))
    save_file({"a": np.zeros((64, 64), np.float32)}, tmp_path / "model.safetensors")
    return tmp_path


@pytest.fixture
def sharded(folder: Path) -> Path:
    (folder / "model.safetensors").unlink()
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    for name in names:
        save_file({name: np.zeros(3, np.float32)}, folder / name)
    index = {"weight_map": {name: name for name in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        check_checkpoint(path)
    return str(caught.value)


def test_a_whole_checkpoint_gives_its_config(folder: Path) -> None:
    assert check_checkpoint(folder) == {"model_type": "llama"}


def test_a_whole_sharded_checkpoint_gives_its_config(sharded: Path) -> None:
    assert check_checkpoint(sharded) == {"model_type": "llama"}


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    message = refusal(tmp_path / "gone")
    assert str(tmp_path / "gone") in message
    assert "found nothing" in message


def test_a_file_is_no_checkpoint(folder: Path) -> None:
    assert "found a file" in refusal(folder / "config.json")


def test_a_folder_without_config_is_refused(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert "expected a config.json" in refusal(folder)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "expected JSON"),
        ("\xff\xfe", "expected JSON"),
        ("[]", "expected a JSON object, found list"),
        ("{}", "expected model_type to name an architecture"),
        ('{"model_type": 3}', "found 3"),
    ],
)
def test_a_config_that_says_no_architecture_is_refused(folder: Path, text: str, found: str) -> None:
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    assert found in refusal(folder)


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert "found neither" in refusal(folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "a.pth", "b.ckpt"])
def test_pickle_weights_are_never_loaded(folder: Path, name: str) -> None:
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    message = refusal(folder)
    assert name in message
    assert "pickle is never loaded" in message
    assert "save_pretrained" in message


def test_a_missing_shard_is_named(sharded: Path) -> None:
    (sharded / "model-00002-of-00002.safetensors").unlink()
    assert "model-00002-of-00002.safetensors missing" in refusal(sharded)


def test_a_shard_outside_the_folder_is_refused(sharded: Path) -> None:
    index = {"weight_map": {"a": "../model.safetensors"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    assert "expected shards beside the index" in refusal(sharded)


@pytest.mark.parametrize("text", ["{}", '{"weight_map": {}}', '{"weight_map": []}'])
def test_an_index_without_a_weight_map_is_refused(sharded: Path, text: str) -> None:
    (sharded / "model.safetensors.index.json").write_text(text)
    assert "expected a weight_map" in refusal(sharded)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_file_cut_short_is_refused(folder: Path, keep: int) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    message = refusal(folder)
    assert str(weights) in message
    assert "damaged or cut short" in message


def test_a_damaged_header_is_refused(folder: Path) -> None:
    weights = folder / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[8:20] = b"\0" * 12
    weights.write_bytes(bytes(content))
    assert "damaged or cut short" in refusal(folder)


def test_max_positions_is_found_under_each_name() -> None:
    assert max_positions({"max_position_embeddings": 10}) == 10
    assert max_positions({"n_positions": 11}) == 11
    assert max_positions({"text_config": {"max_position_embeddings": 12}}) == 12
    assert max_positions({"model_type": "bloom"}) is None
