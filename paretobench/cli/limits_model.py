"""What `--model` asks of `paretobench limits`: the least times of one model's steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import typer

from paretobench.analysis.counts import (
    ModelCounts,
    Quantization,
    count_model,
    decode_work,
    prefill_work,
)
from paretobench.analysis.limits import StepLimit, step_limit
from paretobench.cli.limits_requests import RequestLimits, request_limits
from paretobench.cli.options import integers
from paretobench.core.ceilings import Ceilings
from paretobench.core.errors import UserInputError
from paretobench.core.naming import suggestion
from paretobench.core.units import to_ms
from paretobench.runners.checkpoint import check_checkpoint, max_positions
from paretobench.scenario.presets import PRESETS


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLimits:
    """The least times of a model's decode steps, by batch size, and of one prompt's prefill.

    A limit is None where the device's rates were not measured.
    """

    name: str
    context_tokens: int
    counts: ModelCounts
    decode: tuple[tuple[int, StepLimit | None], ...]
    prefill: StepLimit | None
    requests: RequestLimits | None = None  # where the length of the answers was given

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold; missing is None."""
        return {
            "model": self.name,
            "dtype": self.counts.dtype,
            "quantization": self.counts.quantization,
            "context_tokens": self.context_tokens,
            "weight_bytes": self.counts.weight_bytes,
            "kv_bytes_per_token": self.counts.kv_bytes_per_token,
            "decode": [
                {
                    "max_batch_size": size,
                    **_row(limit),
                    "tokens_per_s": None if limit is None else size / limit.least_s,
                }
                for size, limit in self.decode
            ],
            "prefill": _row(self.prefill),
            "requests": None if self.requests is None else self.requests.to_dict(),
        }


def batch_sizes(text: str) -> list[int]:
    """Return the batch sizes of `--max-batch-size`. A bad one exits 2."""
    sizes = integers(text, "--max-batch-size") or []
    if min(sizes) < 1:
        raise typer.BadParameter(f"--max-batch-size must be ≥ 1, found {min(sizes)}")
    return sizes


def read_config(name: str, context: int) -> Mapping[str, Any]:
    """Return the configuration of a preset or checkpoint folder.

    Raises UserInputError for any other name, a model that cannot be counted, or a context that it
    does not reach.
    """
    config: Mapping[str, Any]
    if name in PRESETS:
        config = PRESETS[name]
    elif Path(name).expanduser().exists() or name.startswith((".", "/", "~")):
        config = check_checkpoint(Path(name).expanduser())
    else:
        hint = suggestion(name, PRESETS) or f", one of: {', '.join(PRESETS)}"
        raise UserInputError(
            f"--model: expected a preset or a checkpoint folder, found {name!r}{hint}"
        )
    count_model(config, dtype="float32")  # a model of another family is refused before measuring
    positions = max_positions(config)
    if positions is not None and context > positions:
        raise UserInputError(f"--context must fit {name}'s {positions} positions, found {context}")
    return config


def limits_of(
    name: str,
    config: Mapping[str, Any],
    ceilings: Ceilings,
    *,
    dtype: str,
    quantization: str | None,
    batch_sizes: Sequence[int],
    context: int,
    output_tokens: int | None = None,
) -> ModelLimits:
    """Return the least times of a model; `auto` is the dtype that it would run in on the device."""
    if dtype == "auto":
        dtype = "bfloat16" if str(ceilings.system["device"]).startswith("cuda") else "float32"
    counts = count_model(config, dtype=dtype, quantization=cast(Quantization | None, quantization))
    return ModelLimits(
        name=name,
        context_tokens=context,
        counts=counts,
        decode=tuple(
            (size, step_limit(counts, ceilings, decode_work([context] * size)))
            for size in batch_sizes
        ),
        prefill=step_limit(counts, ceilings, prefill_work(context)),
        requests=None
        if output_tokens is None
        else request_limits(
            counts,
            ceilings,
            prompt_tokens=context,
            output_tokens=output_tokens,
            batch_sizes=batch_sizes,
        ),
    )


def _row(limit: StepLimit | None) -> dict[str, Any]:
    return {
        "least_step_ms": None if limit is None else to_ms(limit.least_s),
        "weight_bytes": None if limit is None else limit.weight_bytes,
        "kv_bytes": None if limit is None else limit.kv_bytes,
        "flops": None if limit is None else limit.flops,
        "binds": None if limit is None else limit.binds,
    }
