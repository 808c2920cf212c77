"""Counting what a step must read and compute, from a model's configuration alone.

Counted: matrix products (a multiplication and an addition are two FLOPs), the weights that a step
reads, and its keys and values. Not counted: norms, rotations, softmax, activations and sampling,
so the counts are the least that any implementation needs. For dense Llama and Qwen3 decoders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from paretobench.core.columns import Floats, StepColumns
from paretobench.core.errors import UserInputError
from paretobench.core.values import StepRecord

Quantization = Literal["int8", "fp8"]

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
MODEL_TYPES = ("llama", "qwen3")
_SCALE_BYTES = 4  # of a quantised linear layer: one float32 an output
_HEAD_DIM = {"qwen3": 128}  # where a configuration has none; else hidden_size / heads


@dataclass(frozen=True, slots=True, kw_only=True)
class StepWork:
    """What one step computes, summed over its rows; add two for a step that does both.

    `tokens` go through the layers. `attended` counts, for each of them, the positions that it
    attends to, itself included. `kv_tokens` are the cache entries read or written, `num_wanted` the
    rows whose next token is wanted: the output head is applied to those alone.
    """

    tokens: int = 0
    attended: float = 0
    kv_tokens: int = 0
    num_wanted: int = 0

    def __add__(self, other: StepWork) -> StepWork:
        return StepWork(
            tokens=self.tokens + other.tokens,
            attended=self.attended + other.attended,
            kv_tokens=self.kv_tokens + other.kv_tokens,
            num_wanted=self.num_wanted + other.num_wanted,
        )


def decode_work(contexts: Sequence[int]) -> StepWork:
    """Return the work of one decode row for each context, in tokens, the row's own included.

    >>> decode_work([100, 28])
    StepWork(tokens=2, attended=128, kv_tokens=128, num_wanted=2)
    """
    rows, total = len(contexts), sum(contexts)
    return StepWork(tokens=rows, attended=total, kv_tokens=total, num_wanted=rows)


def prefill_work(tokens: int, *, cached_tokens: int = 0, is_last: bool = True) -> StepWork:
    """Return the work of a prompt's next `tokens`, after `cached_tokens` that are computed.

    Causal: a token attends to those before it and to itself, half of the full square. Only the
    last chunk of a prompt wants a token.

    >>> prefill_work(4)
    StepWork(tokens=4, attended=10, kv_tokens=4, num_wanted=1)
    >>> prefill_work(3, is_last=False).attended + prefill_work(1, cached_tokens=3).attended
    10
    """
    return StepWork(
        tokens=tokens,
        attended=tokens * cached_tokens + tokens * (tokens + 1) // 2,
        kv_tokens=cached_tokens + tokens,
        num_wanted=int(is_last),
    )


def recorded_work(step: StepRecord) -> StepWork:
    """Return the least work of a recorded step, the rows computed as padding included.

    A record holds only the sum of its prompts' tokens, so they count as equally long, and what was
    cached of them as attended to once: any other split attends to more. Of a record of several
    steps it is their sum.
    """
    prompts = step.num_prompts or max(1, step.batch_size - step.decode_rows)
    causal = step.prompt_tokens * (step.prompt_tokens / prompts + 1) / 2
    return StepWork(
        tokens=step.decode_rows + step.prompt_tokens,
        attended=step.kv_tokens - step.prompt_tokens + causal,
        kv_tokens=step.kv_tokens,
        num_wanted=step.new_tokens + step.padded_tokens,
    )


def recorded_work_columns(steps: StepColumns) -> Floats:
    """Return `recorded_work` of each step, [records, 4]: tokens, positions attended to, cache
    entries and wanted rows.

    >>> steps = [StepRecord(phase="mixed", start_s=0.0, duration_s=1.0, batch_size=3, joined=1,
    ...     decode_rows=2, prompt_tokens=4, new_tokens=3, kv_tokens=24, padded_tokens=0,
    ...     queue_depth=0, close_reason=None)]
    >>> recorded_work_columns(StepColumns.of(steps)).tolist(), recorded_work(steps[0]).attended
    ([[6.0, 30.0, 24.0, 3.0]], 30.0)
    """
    joined = np.maximum(1, steps.batch_size - steps.decode_rows)
    prompts = np.where(steps.num_prompts > 0, steps.num_prompts, joined)
    causal = steps.prompt_tokens * (steps.prompt_tokens / prompts + 1) / 2
    return np.stack(
        (
            steps.decode_rows + steps.prompt_tokens,
            steps.kv_tokens - steps.prompt_tokens + causal,
            steps.kv_tokens,
            steps.new_tokens + steps.padded_tokens,
        ),
        axis=1,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCounts:
    """A model's weights, keys and values, in elements; `weight_bytes` and the like in bytes."""

    linear_weights: int  # of the linear layers of all decoder layers
    linear_outputs: int  # their outputs: a quantised one has a scale each
    other_weights: int  # norms and biases
    head_weights: int  # the output head's, also where the embedding is the same matrix
    hidden_size: int
    kv_values: int  # keys and values of one token, all layers
    attention_flops_per_position: int  # of one token attending to one position, all layers
    dtype: str
    quantization: Quantization | None = None

    @property
    def weight_bytes(self) -> int:
        """Bytes of all weights that a step with a wanted token reads; of the embedding none.

        Quantised are the linear layers of the decoder layers; the head keeps its precision.
        """
        return self.layer_bytes + self.head_bytes

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that a token's keys and values take in the cache."""
        return self.kv_values * DTYPE_BYTES[self.dtype]

    def linear_flops(self, work: StepWork) -> float:
        """Return the FLOPs of the linear layers and the output head."""
        head = work.num_wanted * self.head_weights
        return 2.0 * (work.tokens * self.linear_weights + head)

    def attention_flops(self, work: StepWork) -> float:
        """Return the FLOPs of the products query · keysᵀ and scores · values."""
        return float(work.attended * self.attention_flops_per_position)

    def step_flops(self, work: StepWork) -> float:
        """Return the FLOPs of a step."""
        return self.linear_flops(work) + self.attention_flops(work)

    def step_weight_bytes(self, work: StepWork) -> int:
        """Return the bytes of weights that a step reads: each once, and its embedding rows."""
        rows = work.tokens * self.hidden_size * DTYPE_BYTES[self.dtype]
        return self.layer_bytes + rows + (self.head_bytes if work.num_wanted else 0)

    def step_kv_bytes(self, work: StepWork) -> int:
        """Return the bytes of keys and values that a step reads or writes, each once."""
        return work.kv_tokens * self.kv_bytes_per_token

    @property
    def layer_bytes(self) -> int:
        """Bytes of the weights that every step reads: all but the output head."""
        size = DTYPE_BYTES[self.dtype]
        linear = self.linear_weights * size
        if self.quantization is not None:
            linear = self.linear_weights + self.linear_outputs * _SCALE_BYTES
        return linear + self.other_weights * size

    @property
    def head_bytes(self) -> int:
        """Bytes of the output head, which only a step with a wanted token reads."""
        return self.head_weights * DTYPE_BYTES[self.dtype]


def count_model(
    config: Mapping[str, Any], *, dtype: str, quantization: Quantization | None = None
) -> ModelCounts:
    """Return the counts of the model that a preset or a config.json describes.

    `dtype` is that of weights, keys and values; `quantization` that of the layers' weights.
    Raises UserInputError for another family than Llama and Qwen3, or a number that is missing.

    >>> nano = {"model_type": "llama", "hidden_size": 8, "num_hidden_layers": 1, "vocab_size": 10,
    ...         "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 16}
    >>> counts = count_model(nano, dtype="bfloat16")
    >>> counts.linear_weights, counts.weight_bytes, counts.kv_bytes_per_token
    (576, 1360, 16)
    """
    family = config.get("model_type")
    if family not in MODEL_TYPES:
        raise UserInputError(
            f"limits: expected a dense {' or '.join(MODEL_TYPES)} model to count, "
            f"found model_type {family!r}; choose a model of one of these families"
        )
    layers, hidden = _number(config, "num_hidden_layers"), _number(config, "hidden_size")
    inner, vocabulary = _number(config, "intermediate_size"), _number(config, "vocab_size")
    heads = _number(config, "num_attention_heads")
    kv_heads = config.get("num_key_value_heads") or heads
    head_dim = config.get("head_dim") or _HEAD_DIM.get(family) or hidden // heads
    query, key_value = heads * head_dim, 2 * kv_heads * head_dim
    attention_outputs = query + key_value + hidden
    biases = attention_outputs if config.get("attention_bias") else 0
    biases += 2 * inner + hidden if config.get("mlp_bias") else 0
    norms = 2 * hidden + (2 * head_dim if family == "qwen3" else 0)  # q_norm and k_norm
    return ModelCounts(
        linear_weights=layers * hidden * (2 * query + key_value + 3 * inner),
        linear_outputs=layers * (attention_outputs + 2 * inner + hidden),
        other_weights=layers * (norms + biases) + hidden,
        head_weights=vocabulary * hidden,
        hidden_size=hidden,
        kv_values=layers * key_value,
        attention_flops_per_position=layers * 4 * query,
        dtype=dtype,
        quantization=quantization,
    )


def _number(config: Mapping[str, Any], name: str) -> int:
    value = config.get(name)
    if not isinstance(value, int) or value < 1:
        raise UserInputError(
            f"limits: expected {name} of the model's configuration to be a whole number from 1, "
            f"found {value!r}; give the config.json that came with the weights"
        )
    return value
