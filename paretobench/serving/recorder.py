"""What happened to every request and in every step, kept with as little work as can be."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from paretobench.core.values import (
    CloseReason,
    Phase,
    Request,
    RequestRecord,
    RequestStatus,
    StepRecord,
)
from paretobench.runners.base import StepResult

Span = tuple[int, int]  # from the first of the steps to behind the last


class TokenTimes(Sequence[float]):
    """When each token came: the ends of the steps in `spans`, in seconds.

    A million requests have a hundred million tokens but few steps: the times are the steps', and
    nothing is copied until somebody asks.
    """

    __slots__ = ("_ends_s", "_spans")

    def __init__(self, ends_s: NDArray[np.float64], spans: Sequence[Span]) -> None:
        self._ends_s = ends_s
        self._spans = spans

    def __array__(
        self,
        dtype: Any = None,
        copy: bool | None = None,
    ) -> NDArray[np.float64]:
        if len(self._spans) == 1:
            (start, stop) = self._spans[0]
            return self._ends_s[start:stop]
        return np.concatenate([self._ends_s[a:b] for a, b in self._spans] or [np.empty(0)])

    def __len__(self) -> int:
        return sum(stop - start for start, stop in self._spans)

    @overload
    def __getitem__(self, index: int) -> float: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[float]: ...
    def __getitem__(self, index: int | slice) -> float | Sequence[float]:
        if isinstance(index, slice):
            return tuple(self)[index]
        if index == 0 and self._spans:
            return float(self._ends_s[self._spans[0][0]])
        return float(self.__array__()[index])

    def __iter__(self) -> Iterator[float]:
        return iter(self.__array__().tolist())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(tuple(self))

    def __reduce__(self) -> tuple[Any, ...]:
        # between processes go a request's own times, not those of all steps
        return TokenTimes, (self.__array__().copy(), ((0, len(self)),))


class InFlight:
    """A request from its arrival to its end.

    While a token comes in every step, its last comes in the step before `end_step`: a token costs
    the loop no more than moving `next_step`.
    """

    __slots__ = (
        "admitted_s",
        "end_step",
        "first_step",
        "joined_s",
        "kv_blocked_s",
        "measured",
        "next_step",
        "num_preemptions",
        "preempted_at_s",
        "preempted_s",
        "recomputed_tokens",
        "request",
        "spans",
        "taken_in_s",
        "tokens_given_up",
    )

    def __init__(
        self, request: Request, *, measured: bool, taken_in_s: float | None = None
    ) -> None:
        self.request = request
        self.measured = measured
        self.taken_in_s = taken_in_s
        self.kv_blocked_s: float | None = None
        self.admitted_s: float | None = None
        self.joined_s = 0.0
        self.preempted_at_s: float | None = None  # None: it is not, now
        self.preempted_s = 0.0
        self.num_preemptions = 0
        self.recomputed_tokens = 0
        self.tokens_given_up = 0  # how many it had when it last gave up its cache
        # tokens came in the steps of spans, then in those from first_step to before next_step
        self.spans: tuple[Span, ...] = ()
        self.first_step = self.next_step = 0
        self.end_step = request.output_tokens

    @property
    def remaining(self) -> int:
        """How many tokens it is still owed."""
        return self.end_step - self.next_step

    def join(self, now_s: float) -> None:
        """Note that it takes a slot, for the first time or again."""
        self.joined_s = now_s
        if self.admitted_s is None:
            self.admitted_s = now_s
        if self.preempted_at_s is not None:
            self.preempted_s += now_s - self.preempted_at_s
            self.preempted_at_s = None

    def preempt(self, now_s: float, *, recompute: bool) -> None:
        """Note that it gives up its slot."""
        self.preempted_at_s = now_s
        self.num_preemptions += 1
        had_tokens = self.request.output_tokens - self.remaining
        # one that is out again before its next token was not computed again yet
        if recompute and had_tokens > self.tokens_given_up:
            # the last token was not in the cache yet
            self.recomputed_tokens += self.request.prompt_tokens + had_tokens - 1
            self.tokens_given_up = had_tokens

    def start_span(self, step: int) -> None:
        """Note that a token came in `step`, and none in the step before."""
        if self.next_step > self.first_step:
            self.spans += ((self.first_step, self.next_step),)
        self.end_step = step + self.remaining
        self.first_step, self.next_step = step, step + 1

    def record(
        self,
        status: RequestStatus,
        ends_s: NDArray[np.float64],
        *,
        finished_s: float | None,
        error: str | None,
    ) -> RequestRecord:
        """Return what became of the request; `ends_s` are the ends of all steps."""
        request, spans = self.request, self.spans
        if self.next_step > self.first_step:
            spans += ((self.first_step, self.next_step),)
        return RequestRecord(
            request_id=request.request_id,
            class_name=request.class_name,
            arrival_s=request.arrival_s,
            prompt_tokens=request.prompt_tokens,
            output_tokens=request.output_tokens,
            measured=self.measured,
            kv_blocked_s=self.kv_blocked_s,
            admitted_s=self.admitted_s,
            first_token_s=float(ends_s[spans[0][0]]) if spans else None,
            finished_s=finished_s,
            status=status,
            error=error,
            num_preemptions=self.num_preemptions,
            preempted_s=self.preempted_s,
            recomputed_tokens=self.recomputed_tokens,
            taken_in_s=self.taken_in_s,
            token_times_s=TokenTimes(ends_s, spans),
        )


class RequestLog:
    """Requests that ended, in the order they did."""

    def __init__(self) -> None:
        self._ended: list[tuple[InFlight, RequestStatus, float | None, str | None]] = []

    def add(
        self,
        in_flight: InFlight,
        status: RequestStatus,
        *,
        finished_s: float | None = None,
        error: str | None = None,
    ) -> None:
        """Note how a request ended."""
        self._ended.append((in_flight, status, finished_s, error))

    def num_measured(self, status: RequestStatus) -> int:
        """Return how many measured requests ended so."""
        return sum(f.measured and s == status for f, s, _, _ in self._ended)

    def records(self, ends_s: NDArray[np.float64]) -> tuple[RequestRecord, ...]:
        """Return the records by request id, and forget them: there may be millions."""
        ended, self._ended = self._ended, []
        ended.sort(key=lambda entry: -entry[0].request.request_id)
        records = []
        while ended:
            in_flight, status, finished_s, error = ended.pop()
            records.append(in_flight.record(status, ends_s, finished_s=finished_s, error=error))
        return tuple(records)


class StepLog:
    """Steps as plain tuples: a dataclass a step would cost more than the step of a null runner.

    `ends_s` has the end of every single step, also where one record stands for many.
    """

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []
        self.ends_s = array("d")

    def add(
        self,
        phase: Phase,
        start_s: float,
        ends_s: Sequence[float],
        batch_size: int,
        joined: int,
        new_tokens: int,
        result: StepResult,
        queue_depth: int,
        close_reason: CloseReason | None,
    ) -> int:
        """Append a step, or several alike that end at `ends_s`; return the first one's number."""
        number = len(self.ends_s)
        self.ends_s.extend(ends_s)
        self._rows.append(
            (
                phase,
                start_s,
                ends_s[-1] - start_s,
                batch_size,
                joined,
                result.decode_rows,
                result.prompt_tokens,
                new_tokens,
                result.kv_tokens,
                result.padded_rows,
                queue_depth,
                close_reason,
                len(ends_s),
                result.num_prompts,
                result.decode_kv_tokens,
            )
        )
        return number

    def records(self) -> tuple[StepRecord, ...]:
        """Return the steps in the order they ran, and forget them: there may be millions."""
        rows, self._rows = self._rows, []
        rows.reverse()
        records = []
        while rows:
            row = rows.pop()
            records.append(
                StepRecord(
                    phase=row[0],
                    start_s=row[1],
                    duration_s=row[2],
                    batch_size=row[3],
                    joined=row[4],
                    decode_rows=row[5],
                    prompt_tokens=row[6],
                    new_tokens=row[7],
                    kv_tokens=row[8],
                    padded_tokens=row[9],
                    queue_depth=row[10],
                    close_reason=row[11],
                    num_steps=row[12],
                    num_prompts=row[13],
                    decode_kv_tokens=row[14],
                )
            )
        return tuple(records)
