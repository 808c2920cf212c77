"""The line nothing can cross: the best throughput that a device allows at each latency.

Known are how fast the device reads and multiplies, what the model must read and multiply, and the
lengths of the requests. Let a request have n output tokens and so m = n − 1 decode rows, of which
row j attends to c_j positions; in seconds of this device let w be the reading of all weights,
a_j the moving of the row's own bytes (keys, values, its embedding) and f_j its arithmetic.

1. A step with rows R takes at least max(w + Σ a, Σ f): what it reads and computes may overlap.
   A request takes at least the least time of its own prefill, alone, and then its m steps.
2. In a time T in which N requests are served, the device reads the weights once a decode step and
   moves what the requests own, so T/N ≥ max(mean own + S·w/N, mean arithmetic), S decode steps.
   Prefill may share the reading of a step that decodes, so none is charged for it.
3. A low latency wants short steps, short steps have few rows, and few rows make many steps: a step
   of τ has Σ a ≤ τ − w and Σ f ≤ τ. Charge each row its part of the step's one reading, a/Σa: a
   request whose m steps may take D in all is charged at least, by Cauchy and Schwarz,

       w · Σ a_j/(τ_j − w)  ≥  w · (Σ √a_j)² / (D − m·w),   and of the arithmetic, by f/Σf,
       w · Σ f_j/τ_j        ≥  w · (Σ √f_j)² / D.

4. Hence for a percentile q of the latency at y: the share q of the requests has D = y − prefill at
   most (of TPOT: D = m·y); take those that cost least, and let the others be served for nothing.
   For the mean, Cauchy and Schwarz once more over the requests. With S·w/N from this, 2 gives the
   throughput that no scheduler crosses, whatever it favours. Where all requests are alike and b
   decode together, 2 and 3 meet: T/N = max(own + m·w/b, arithmetic), latency = prefill + m steps
   of b rows.
5. Steps with b rows in the mean make a row wait for its fellows, also where more rows give no more
   throughput. The row time of all steps is Σ |R|·τ ≥ w·Σ|R| + Σ (Σ √a)² by Cauchy and Schwarz, and
   once more over the S = N·m/b steps: the mean latency is at least that of the prefill and

       max(m·w + b·(Σ √a_j)²/m,  b·(Σ √f_j)²/m),   m and the sums being means over the requests.

   A percentile has no such least: the others may sit in the steps with the many rows.

Taken for granted: one token a row a step (no speculative decoding), every prompt computed in full
(no shared prefixes), weights, keys and values in memory (a small model may stay in the caches).
Nothing is assumed of arrivals. Tokens are those of a window, whose edges cut requests: of a short
window, the line holds up to them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from paretobench.analysis.request_work import Lengths, RequestWork, Values
from paretobench.core.metrics import split_name
from paretobench.core.units import to_ms

_THROUGHPUTS = (
    "output_tokens_per_s",
    "total_tokens_per_s",
    "requests_per_s",
    "goodput_requests_per_s",
)
_LATENCIES = ("e2e", "ttft", "tpot")
_TINY_S = 1e-300  # for a row that moves nothing of its own
_ROUNDING = 1 + 1e-12
_LONGEST = 1e7  # times the least latency: what is not reached by then is never reached


def why_no_line(throughput: str, latency: str) -> str | None:
    """Return why two objectives have no limit, None where they have one.

    >>> why_no_line("output_tokens_per_s", "p95_e2e_ms") is None
    True
    >>> why_no_line("output_tokens_per_s", "p99_queue_ms")
    'p99_queue_ms has no least value that follows from the device'
    """
    for name in (throughput, latency):
        if split_name(name)[0] is not None:
            return f"{name} is of one class, and what the others need is not known"
    if throughput not in _THROUGHPUTS:
        return f"{throughput} has no greatest value that follows from the device"
    statistic, kind, _ = (*latency.split("_"), "", "")[:3]
    if kind not in _LATENCIES and (statistic, kind) != ("mean", "itl"):
        return f"{latency} has no least value that follows from the device"
    return None


class LimitLine:
    """The best throughput at each latency, for requests of these lengths.

    `throughput` and `latency` name the objectives, in whose units the line speaks; they must be
    some of which `why_no_line` is None.
    """

    def __init__(
        self, work: RequestWork, lengths: Lengths, *, throughput: str, latency: str
    ) -> None:
        assert why_no_line(throughput, latency) is None
        self._work = work
        prompt, output = (float(mean) for mean in lengths.mean(axis=0))
        self._per_request = {
            "output_tokens_per_s": output,
            "total_tokens_per_s": prompt + output,
        }.get(throughput, 1.0)
        statistic, self._kind, _ = latency.split("_")
        self._share = None if statistic == "mean" else float(statistic[1:]) / 100
        self._own_s = float(np.average(work.own_s, weights=work.counts))
        self._arithmetic_s = float(np.average(work.arithmetic_s, weights=work.counts))
        self._budget = _Budget.of(work, self._kind)

    @property
    def greatest_throughput(self) -> float:
        """What no latency, however long, exceeds."""
        return self._per_request / max(self._own_s, self._arithmetic_s)

    @property
    def least_latency(self) -> float:
        """What no throughput, however low, undercuts; inf where no request has that latency."""
        least_s = self._budget.least_s
        if least_s.size == 0:
            return math.inf
        if self._share is None:
            return to_ms(self._budget.mean_least_s)
        order = np.argsort(least_s)
        until = np.cumsum(self._budget.counts[order])
        return to_ms(float(least_s[order[np.searchsorted(until, self._num_kept)]]))

    def throughput_at(self, latency: float) -> float:
        """Return the greatest throughput at a latency, 0 where that latency cannot be."""
        if latency * _ROUNDING < self.least_latency:
            return 0.0
        weights_s = self._weights_s(latency / 1e3)
        return self._per_request / max(self._own_s + weights_s, self._arithmetic_s)

    def latency_at(self, throughput: float) -> float:
        """Return the least latency at a throughput, inf where that throughput cannot be."""
        low = self.least_latency
        if not math.isfinite(low) or self.throughput_at(low) >= throughput:
            return low
        high, longest = 2 * low, _LONGEST * low
        while self.throughput_at(high) < throughput:
            low, high = high, 2 * high
            if high > longest:
                return math.inf
        while high > low * (1 + 1e-10):
            middle = (low + high) / 2
            low, high = (
                (low, middle) if self.throughput_at(middle) >= throughput else (middle, high)
            )
        return high

    def at_batch_size(self, batch_size: float) -> tuple[float, float]:
        """Return the best throughput of steps with so many rows in the mean, and the least latency
        at it; of a mean latency also of steps with so many rows (see 5 above)."""
        num_rows = float(np.average(self._work.num_rows, weights=self._work.counts))
        weights_s = num_rows * self._work.weights_s / batch_size
        throughput = self._per_request / max(self._own_s + weights_s, self._arithmetic_s)
        latency = self.latency_at(throughput)
        if self._share is None and self._kind != "ttft":
            latency = max(latency, to_ms(self._budget.mean_of_rows_s(batch_size)))
        return throughput, latency

    @property
    def _num_kept(self) -> int:
        # the order statistic at or below a percentile that is linear between two
        assert self._share is not None
        return math.floor((float(self._budget.counts.sum()) - 1) * self._share + 1e-9) + 1

    def _weights_s(self, latency_s: float) -> float:
        """Return the seconds of reading weights that a request is charged at least, in the mean."""
        if self._kind == "ttft":
            return 0.0  # a first token needs no decode step
        if self._share is None:
            return self._budget.mean_charge_s(latency_s)
        return self._budget.charge_s(latency_s, self._num_kept)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Budget:
    """What a latency leaves each request that has one for its decode steps, and what that costs.

    A request of latency y has (y − offset_s)·scale for its steps. Of ITL it is all rows of all
    requests, which share one mean. Arrays are [shapes that have the latency], of whose requests
    there are `counts`.
    """

    counts: Values

    offset_s: Values
    scale: Values
    least_s: Values  # the latency of a request that has the device to itself
    num_rows: Values
    memory_roots: Values
    arithmetic_roots: Values
    weights_s: float
    num_requests: int  # all of them: charges are means over these

    @classmethod
    def of(cls, work: RequestWork, kind: str) -> _Budget:
        has = work.num_rows > 0 if kind in ("tpot", "itl") else np.full(work.num_rows.shape, True)
        counts, rows, alone = work.counts[has], work.num_rows[has], work.alone_s[has]
        memory, arithmetic = work.memory_roots[has], work.arithmetic_roots[has]
        offset, scale = work.prefill_s, np.ones(len(rows))
        if kind == "itl" and rows.size:
            rows, alone, memory, arithmetic = (
                np.array([counts @ values]) for values in (rows, alone, memory, arithmetic)
            )
            counts = np.ones(1)
        if kind in ("tpot", "itl"):
            offset, scale = np.zeros(len(rows)), rows
        return cls(
            counts=counts,
            offset_s=offset,
            scale=scale,
            least_s=offset if kind == "ttft" else offset + alone / scale,
            num_rows=rows,
            memory_roots=memory,
            arithmetic_roots=arithmetic,
            weights_s=work.weights_s,
            num_requests=int(work.counts.sum()),
        )

    @property
    def mean_least_s(self) -> float:
        """Return the mean latency of requests that each have the device to themselves."""
        return float(np.average(self.least_s, weights=self.counts))

    def charge_s(self, latency_s: float, num_kept: int) -> float:
        """Return the charge where so many requests keep a latency: those that cost least."""
        steps_s = (latency_s - self.offset_s) * self.scale
        possible = self.least_s <= latency_s * _ROUNDING
        if self.counts @ possible < num_kept:
            return math.inf
        spare_s = np.maximum(steps_s - self.num_rows * self.weights_s, _TINY_S)
        of_memory = np.where(possible, self.memory_roots**2 / spare_s, np.inf)
        spare_s = np.maximum(steps_s, _TINY_S)
        of_arithmetic = np.where(possible, self.arithmetic_roots**2 / spare_s, np.inf)
        return self._charged(max(self._least_sum(c, num_kept) for c in (of_memory, of_arithmetic)))

    def _least_sum(self, costs: Values, num_kept: int) -> float:
        """Return the sum of what so many requests cost, those that cost least."""
        order = np.argsort(costs)
        until = np.cumsum(self.counts[order])
        last = int(np.searchsorted(until, num_kept))
        whole = float(self.counts[order[:last]] @ costs[order[:last]])
        rest = num_kept - float(until[last - 1] if last else 0.0)
        return whole + rest * float(costs[order[last]])

    def mean_charge_s(self, latency_s: float) -> float:
        """Return the charge where the requests keep a latency in the mean."""
        per_s = self.num_rows / self.scale
        spare_s = float(self.counts @ (latency_s - self.offset_s))
        of_memory = float(self.counts @ (self.memory_roots / np.sqrt(self.scale))) ** 2
        of_memory /= max(spare_s - self.weights_s * float(self.counts @ per_s), _TINY_S)
        of_arithmetic = float(self.counts @ (self.arithmetic_roots / np.sqrt(self.scale))) ** 2
        of_arithmetic /= max(spare_s, _TINY_S)
        return self._charged(max(of_memory, of_arithmetic))

    def mean_of_rows_s(self, batch_size: float) -> float:
        """Return the least mean latency where steps have so many rows in the mean."""
        num_rows = float(self.counts @ self.num_rows)
        if not num_rows:
            return 0.0  # no step decodes
        memory_s, arithmetic_s = (
            batch_size * float(self.counts @ (roots / np.sqrt(self.scale))) ** 2 / num_rows
            for roots in (self.memory_roots, self.arithmetic_roots)
        )
        weights_s = self.weights_s * float(self.counts @ (self.num_rows / self.scale))
        steps_s = max(weights_s + memory_s, arithmetic_s)
        return (float(self.counts @ self.offset_s) + steps_s) / float(self.counts.sum())

    def _charged(self, readings: float) -> float:
        return self.weights_s * readings / self.num_requests
