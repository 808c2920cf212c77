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
_MOST_SHAPES = 50_000
_MOST_BITS = 10  # of a length, where they are too many


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestWork:
    """What requests cost at least, in seconds of one device; arrays are [shapes].

    Requests of equal lengths are of one shape, of which there are `counts`. `own_s` is the moving
    of everything but weights, `arithmetic_s` all FLOPs, `alone_s` the decode steps of a request
    that has the device to itself. `memory_roots` and `arithmetic_roots` sum the square roots of
    what its decode rows move and compute.
    """

    weights_s: float
    counts: Values
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
    shapes, num_alike = shapes_of(lengths)
    prompts, rows = shapes[:, 0], shapes[:, 1] - 1
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
        counts=num_alike.astype(float),
        num_rows=rows.astype(float),
        prefill_s=prefill_s,
        alone_s=over_rows(np.maximum(weights_s + own_s, arithmetic_s)),
        own_s=prefill_own_s - weights_s + over_rows(own_s),
        arithmetic_s=prefill_arithmetic_s + over_rows(arithmetic_s),
        memory_roots=over_rows(np.sqrt(own_s)),
        arithmetic_roots=over_rows(np.sqrt(arithmetic_s)),
    )


def shapes_of(lengths: Lengths) -> tuple[Lengths, NDArray[np.int64]]:
    """Return the different pairs of lengths, [shapes, 2], and how many requests have each.

    Beyond 50,000 pairs lengths are rounded down, by as little as it takes to be fewer: a shorter
    request costs no more, so that what is least for these is least for all.

    >>> shapes_of(np.array([[8, 2], [4, 1], [8, 2]]))[1].tolist()
    [1, 2]
    """
    bits = 62
    while True:
        exponents = np.frexp(lengths.astype(float))[1] - bits  # of what is rounded away
        coarse = lengths >> exponents.clip(min=0) << exponents.clip(min=0)
        width = int(coarse[:, 1].max()) + 1
        pairs, counts = np.unique(coarse[:, 0] * width + coarse[:, 1], return_counts=True)
        if pairs.size <= _MOST_SHAPES:
            return np.stack(np.divmod(pairs, width), axis=1), counts
        bits = min(bits - 1, _MOST_BITS)


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
