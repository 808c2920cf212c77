"""Architectures that need no download: two small ones and published shapes.

The numbers are those of each model's published `config.json`; `runners/torch` fills them with
seeded random weights (speed does not depend on the values).
"""

from __future__ import annotations

from typing import Any


def _qwen3(**shape: Any) -> dict[str, Any]:
    return {
        "model_type": "qwen3",
        "head_dim": 128,
        "rms_norm_eps": 1e-6,
        "max_position_embeddings": 40960,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        **shape,
    }


def _llama3(*, rope_factor: float, **shape: Any) -> dict[str, Any]:
    return {
        "model_type": "llama",
        "num_key_value_heads": 8,
        "vocab_size": 128256,
        "rms_norm_eps": 1e-5,
        "max_position_embeddings": 131072,
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 5e5,
            "factor": rope_factor,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        **shape,
    }


PRESETS: dict[str, dict[str, Any]] = {
    "nano": _qwen3(
        hidden_size=384,
        num_hidden_layers=8,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=64,
        intermediate_size=1024,
        vocab_size=16384,
        tie_word_embeddings=True,
    ),
    "mini": _qwen3(
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        num_key_value_heads=4,
        head_dim=64,
        intermediate_size=2048,
        vocab_size=32768,
        tie_word_embeddings=True,
    ),
    "llama-3.2-1b": _llama3(
        rope_factor=32.0,
        hidden_size=2048,
        num_hidden_layers=16,
        num_attention_heads=32,
        head_dim=64,
        intermediate_size=8192,
        tie_word_embeddings=True,
    ),
    "llama-3.1-8b": _llama3(
        rope_factor=8.0,
        hidden_size=4096,
        num_hidden_layers=32,
        num_attention_heads=32,
        head_dim=128,
        intermediate_size=14336,
        tie_word_embeddings=False,
    ),
    "qwen3-0.6b": _qwen3(
        hidden_size=1024,
        num_hidden_layers=28,
        num_attention_heads=16,
        num_key_value_heads=8,
        intermediate_size=3072,
        vocab_size=151936,
        tie_word_embeddings=True,
    ),
    "qwen3-8b": _qwen3(
        hidden_size=4096,
        num_hidden_layers=36,
        num_attention_heads=32,
        num_key_value_heads=8,
        intermediate_size=12288,
        vocab_size=151936,
        tie_word_embeddings=False,
    ),
}


def num_parameters(architecture: dict[str, Any]) -> int:
    """Return the weights of a Llama- or Qwen3-shaped decoder, norms included.

    >>> round(num_parameters(PRESETS["nano"]) / 1e6, 1)
    18.9
    """
    hidden = architecture["hidden_size"]
    heads = architecture["num_attention_heads"]
    head_dim = architecture.get("head_dim") or hidden // heads
    kv_heads = architecture.get("num_key_value_heads") or heads
    attention = 2 * hidden * heads * head_dim + 2 * hidden * kv_heads * head_dim
    if architecture["model_type"] == "qwen3":
        attention += 2 * head_dim  # q_norm and k_norm
    layer = attention + 3 * hidden * architecture["intermediate_size"] + 2 * hidden
    embedding = architecture["vocab_size"] * hidden
    heads_out = 0 if architecture.get("tie_word_embeddings", True) else embedding
    return int(architecture["num_hidden_layers"] * layer + embedding + heads_out + hidden)
