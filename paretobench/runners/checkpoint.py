"""Is this folder a checkpoint that can be loaded safely? Needs neither torch nor transformers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from paretobench.core.errors import CheckpointError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")


def check_checkpoint(path: Path) -> dict[str, Any]:
    """Return the parsed config.json of the checkpoint folder at `path`.

    Every weight file is opened and its header read, so that a missing, truncated or damaged one
    is found before a model is built. Raises CheckpointError.
    """
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing"
        raise CheckpointError(
            f"{path}: expected the folder of a checkpoint (config.json, {WEIGHTS}), found {found}; "
            "give the folder that save_pretrained or a download wrote"
        )
    config = _read_config(path / "config.json")
    for weights in _weight_files(path):
        _check_safetensors(weights)
    return config


def max_positions(config: Mapping[str, Any]) -> int | None:
    """Return the longest prompt + output that the model was built for; None where it says none.

    >>> max_positions({"text_config": {"max_position_embeddings": 4096}})
    4096
    """
    for key in ("max_position_embeddings", "n_positions"):
        if isinstance(config.get(key), int):
            return int(config[key])
    nested = config.get("text_config")
    return max_positions(nested) if isinstance(nested, Mapping) else None


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(
            f"{path}: expected JSON, found {_first_line(error)}; copy or download the file again"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: expected a JSON object, found {type(content).__name__}; "
            "copy or download the file again"
        )
    return content


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(
            f"{path.parent}: expected a config.json, found none; "
            "give the folder that save_pretrained or a download wrote"
        )
    config = _read_object(path)
    if not isinstance(config.get("model_type"), str):
        raise CheckpointError(
            f"{path}: expected model_type to name an architecture, such as llama, "
            f"found {config.get('model_type')!r}; give the config.json that came with the weights"
        )
    return config


def _weight_files(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file() and not (folder / WEIGHTS).is_file():
        return _shards(folder)
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    pickles = sorted(p.name for p in folder.iterdir() if p.suffix in PICKLE_SUFFIXES)
    if pickles:
        raise CheckpointError(
            f"{folder}: expected {WEIGHTS}, found only pickle weights ({', '.join(pickles[:3])}); "
            "pickle is never loaded, because it can run any code. Convert weights that you trust: "
            "load them with transformers and call save_pretrained, which writes safetensors"
        )
    raise CheckpointError(
        f"{folder}: expected weights in {WEIGHTS} or shards listed in {INDEX}, found neither; "
        "copy or download the weights too"
    )


def _shards(folder: Path) -> list[Path]:
    weight_map = _read_object(folder / INDEX).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(
            f"{folder / INDEX}: expected a weight_map from tensors to files, found none; "
            "copy or download the file again"
        )
    names = sorted({str(name) for name in weight_map.values()})
    outside = [name for name in names if Path(name).name != name]
    if outside:
        raise CheckpointError(
            f"{folder / INDEX}: expected shards beside the index, found {outside[0]!r}; "
            "move the shards into the folder and write the index anew"
        )
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(
            f"{folder}: expected {len(names)} shards as listed in {INDEX}, "
            f"found {', '.join(missing[:3])} missing; copy or download the missing files"
        )
    return [folder / name for name in names]


def _check_safetensors(path: Path) -> None:
    try:
        with safe_open(path, framework="np") as file:
            file.keys()
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path}: expected a whole safetensors file, found one that is damaged or cut short "
            f"({_first_line(error)}); copy or download the file again"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
