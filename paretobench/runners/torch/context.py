"""How long a request may be for the slots to compute exactly what the model defines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from paretobench.core.errors import CheckpointError
from paretobench.runners.checkpoint import max_positions

_LAYER_TYPES = {"full_attention", "sliding_attention", "chunked_attention"}


def max_exact_tokens(config: Mapping[str, Any]) -> int | None:
    """Return the longest prompt + output that full causal attention computes exactly.

    Within a sliding window, an attention chunk, or the original length of a longrope model, the
    model IS full causal attention with fixed frequencies; beyond, it is not, and the slots do not
    follow. None: no limit known. Raises CheckpointError for layers that are not attention.

    >>> max_exact_tokens({"max_position_embeddings": 32768, "sliding_window": 4096})
    4096
    """
    text = config.get("text_config")
    if isinstance(text, Mapping):
        config = {**config, **text}
    layer_types = set(config.get("layer_types") or ())
    if unknown := layer_types - _LAYER_TYPES:
        raise CheckpointError(
            f"model type {config.get('model_type')}: expected attention in every layer, "
            f"found {', '.join(sorted(unknown))}; choose a model of attention layers only"
        )
    limits = [max_positions(config), *_windows(config, layer_types), *_longrope_limits(config)]
    return min((limit for limit in limits if limit), default=None)


def _windows(config: Mapping[str, Any], layer_types: set[str]) -> Iterator[int | None]:
    # configurations without layer_types apply the window in all layers
    if config.get("use_sliding_window", True) and layer_types != {"full_attention"}:
        yield config.get("sliding_window")
        yield config.get("attention_chunk_size")


def _longrope_limits(config: Mapping[str, Any]) -> Iterator[int | None]:
    rope = config.get("rope_parameters") or {}
    for one in (rope, *(v for v in rope.values() if isinstance(v, Mapping))):
        if one.get("rope_type") == "longrope":
            yield one.get("original_max_position_embeddings") or config.get(
                "original_max_position_embeddings"
            )
