"""What happened to every request and in every step, kept with as little work as can be."""

from __future__ import annotations

from typing import Any

from paretobench.core.values import (
    CloseReason,
    Phase,
    Request,
    RequestRecord,
    RequestStatus,
    StepRecord,
)
from paretobench.runners.base import StepResult


class InFlight:
    """A request from its arrival to its end. `remaining` counts the tokens still owed."""

    __slots__ = (
        "admitted_s",
        "kv_blocked_s",
        "measured",
        "remaining",
        "request",
        "token_times_s",
    )

    def __init__(self, request: Request, *, measured: bool) -> None:
        self.request = request
        self.measured = measured
        self.remaining = request.output_tokens
        self.kv_blocked_s: float | None = None
        self.admitted_s: float | None = None
        self.token_times_s: list[float] = []

    def record(
        self, status: RequestStatus, *, finished_s: float | None = None, error: str | None = None
    ) -> RequestRecord:
        """Return what became of the request."""
        request, times = self.request, self.token_times_s
        return RequestRecord(
            request_id=request.request_id,
            class_name=request.class_name,
            arrival_s=request.arrival_s,
            prompt_tokens=request.prompt_tokens,
            output_tokens=request.output_tokens,
            measured=self.measured,
            kv_blocked_s=self.kv_blocked_s,
            admitted_s=self.admitted_s,
            first_token_s=times[0] if times else None,
            finished_s=finished_s,
            status=status,
            error=error,
            token_times_s=tuple(times),
        )


class StepLog:
    """Steps as plain tuples: a dataclass a step would cost more than the step of a null runner."""

    _FIELDS = (
        "phase",
        "start_s",
        "duration_s",
        "batch_size",
        "joined",
        "decode_rows",
        "prompt_tokens",
        "new_tokens",
        "kv_tokens",
        "padded_tokens",
        "queue_depth",
        "close_reason",
        "num_prompts",
        "decode_kv_tokens",
    )

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []

    def add(
        self,
        phase: Phase,
        start_s: float,
        end_s: float,
        batch_size: int,
        joined: int,
        result: StepResult,
        queue_depth: int,
        close_reason: CloseReason | None,
    ) -> None:
        """Append one step."""
        self._rows.append(
            (
                phase,
                start_s,
                end_s - start_s,
                batch_size,
                joined,
                result.decode_rows,
                result.prompt_tokens,
                len(result.tokens),
                result.kv_tokens,
                result.padded_rows,
                queue_depth,
                close_reason,
                result.num_prompts,
                result.decode_kv_tokens,
            )
        )

    def records(self) -> tuple[StepRecord, ...]:
        """Return the steps in the order they ran."""
        return tuple(StepRecord(**dict(zip(self._FIELDS, r, strict=True))) for r in self._rows)
