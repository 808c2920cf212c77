"""What `--output-tokens` asks of `paretobench limits`: the best that whole requests can get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.table import Table

from paretobench.analysis.counts import ModelCounts
from paretobench.analysis.limit_line import LimitLine
from paretobench.analysis.request_work import request_work
from paretobench.core.ceilings import Ceilings
from paretobench.report.text import number


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """The line nothing can cross, for requests that are all alike.

    `by_batch_size` holds rows a step, the most output tokens/s, the least E2E latency at that in
    ms; it is empty where the device's rates were not measured.
    """

    prompt_tokens: int
    output_tokens: int
    by_batch_size: tuple[tuple[int, float, float], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold."""
        return {
            "prompt_tokens": self.prompt_tokens,
            "output_tokens": self.output_tokens,
            "by_batch_size": [
                {"max_batch_size": size, "output_tokens_per_s": throughput, "e2e_ms": latency}
                for size, throughput, latency in self.by_batch_size
            ],
        }

    def table(self, title: str) -> Table:
        """Return the best of each batch size, the title beginning as given."""
        table = Table(
            title=f"{title}, requests of {self.prompt_tokens} tokens in, {self.output_tokens} out"
        )
        for heading in ("batch", "tokens/s at most", "E2E at least (ms)"):
            table.add_column(heading, justify="right")
        for size, throughput, latency in self.by_batch_size:
            table.add_row(f"{size}", number(throughput), number(latency))
        return table


def request_limits(
    counts: ModelCounts,
    ceilings: Ceilings,
    *,
    prompt_tokens: int,
    output_tokens: int,
    batch_sizes: Sequence[int],
) -> RequestLimits:
    """Return the best throughput of each batch size, and the least latency at it."""
    lengths = np.array([[prompt_tokens, output_tokens]], dtype=np.int64)
    work = request_work(lengths, counts, ceilings)
    found: tuple[tuple[int, float, float], ...] = ()
    if work is not None:
        line = LimitLine(work, lengths, throughput="output_tokens_per_s", latency="mean_e2e_ms")
        found = tuple((size, *line.at_batch_size(size)) for size in batch_sizes)
    return RequestLimits(
        prompt_tokens=prompt_tokens, output_tokens=output_tokens, by_batch_size=found
    )
