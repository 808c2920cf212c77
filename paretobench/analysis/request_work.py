"""What requests cost a device at least: from their lengths, a model's counts and the ceilings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.counts import DTYPE_BYTES, ModelCounts, prefill_work
from paretobench.analysis.limits import rates_of, step_limit
from paretobench.core.ceilings import Ceilings
from paretobench.core.columns import RequestColumns

Values = NDArray[np.float64]
Lengths = NDArray[np.int64]  # [requests, 2]: prompt tokens, output tokens


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestWork:
    """What requests cost at least, in seconds of one device; arrays are [requests].

    `own_s` is the moving of everything but weights, `arithmetic_s` all FLOPs, `alone_s` the decode
    steps of a request that has the device to itself. `memory_roots` and `arithmetic_roots` sum the
    square roots of what its decode rows move and compute.
    """

    weights_s: float
    num_rows: Values
    prefill_s: Values
    alone_s: Values
    own_s: Values
    arithmetic_s: Values
    memory_roots: Values
    arithmetic_roots: Values


def served_lengths(requests: RequestColumns) -> Lengths:
    """Return prompt and output tokens of the measured requests that were served, [requests, 2]."""
    served = requests.measured & requests.status.says("finished")
    return np.stack((requests.prompt_tokens[served], requests.output_tokens[served]), axis=1)


def request_work(lengths: Lengths, counts: ModelCounts, ceilings: Ceilings) -> RequestWork | None:
    """Return the least work of requests; None where the device's rates were not measured.

    `lengths` has shape [requests, 2], prompt and output tokens, at least one request.
    """
    rates = rates_of(counts, ceilings)
    if rates is None:
        return None
    assert lengths.ndim == 2  # [requests, 2]
    assert lengths.shape[1] == 2
    assert len(lengths) > 0
    prompts, rows = lengths[:, 0], lengths[:, 1] - 1
    weights_s = counts.weight_bytes / rates.read_bytes_per_s
    contexts = np.arange(1, int((prompts + rows).max()) + 1, dtype=float)
    row_bytes = counts.hidden_size * DTYPE_BYTES[counts.dtype]
    own_s: Values = (row_bytes + counts.kv_bytes_per_token * contexts) / rates.read_bytes_per_s
    linear = 2.0 * (counts.linear_weights + counts.head_weights)
    attention = counts.attention_flops_per_position * contexts
    arithmetic_s: Values = linear / rates.linear_flop_per_s + attention / rates.attention_flop_per_s

    def over_rows(of_context: Values) -> Values:
        # a request's rows have the contexts prompt + 1 … prompt + rows
        up_to = np.concatenate(([0.0], np.cumsum(of_context)))
        total: Values = up_to[prompts + rows] - up_to[prompts]
        return total

    prefill_s, prefill_own_s, prefill_arithmetic_s = _prefills(prompts, counts, ceilings)
    return RequestWork(
        weights_s=weights_s,
        num_rows=rows.astype(float),
        prefill_s=prefill_s,
        alone_s=over_rows(np.maximum(weights_s + own_s, arithmetic_s)),
        own_s=prefill_own_s - weights_s + over_rows(own_s),
        arithmetic_s=prefill_arithmetic_s + over_rows(arithmetic_s),
        memory_roots=over_rows(np.sqrt(own_s)),
        arithmetic_roots=over_rows(np.sqrt(arithmetic_s)),
    )


def _prefills(
    prompts: Lengths, counts: ModelCounts, ceilings: Ceilings
) -> tuple[Values, Values, Values]:
    """Return each prompt's least time, its reading and its arithmetic, in seconds."""
    sizes, which = np.unique(prompts, return_inverse=True)
    limits = [step_limit(counts, ceilings, prefill_work(int(size))) for size in sizes]
    known = [limit for limit in limits if limit is not None]
    assert len(known) == len(limits)  # the rates are known
    least = np.array([limit.least_s for limit in known])
    memory = np.array([limit.memory_s for limit in known])
    arithmetic = np.array([limit.arithmetic_s for limit in known])
    return least[which], memory[which], arithmetic[which]
