"""The value objects that pass between packages. Times are seconds since the trial began."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from paretobench.core.workloads import LoadSpec, WorkloadSpec

Phase = Literal["prefill", "decode", "mixed"]
CloseReason = Literal["full", "timeout", "drain"]
RequestStatus = Literal["finished", "rejected", "failed", "unfinished"]
Outcome = Literal["completed", "timed_out", "out_of_memory", "failed"]
Verdict = Literal["valid", "overloaded", "out_of_memory", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request as scheduled. `output_tokens` is how many it will generate, at least 1."""

    request_id: int
    class_name: str = "default"
    arrival_s: float
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """What became of a request; times it never reached are None.

    `finished_s` is when the result was delivered: with static batching, when the whole batch was
    done. `token_times_s` holds when each token was available on the host. `kv_blocked_s` is when it
    was first due to join and had to wait for memory for its keys and values; None: never.
    """

    request_id: int
    class_name: str
    arrival_s: float
    prompt_tokens: int
    output_tokens: int
    measured: bool
    kv_blocked_s: float | None = None
    admitted_s: float | None
    first_token_s: float | None
    finished_s: float | None
    status: RequestStatus
    error: str | None
    token_times_s: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One call of the runner.

    `batch_size` counts the requests that held a slot, joiners included; `decode_rows` those that
    decoded, of whom `padded_tokens` already had all their tokens; `prompt_tokens` the tokens of
    prompts computed; `kv_tokens` the cache entries attended to; `new_tokens` the tokens that
    became visible to the host; `queue_depth` who still waited. Where the device is a step ahead of
    the host, all of these are of the step that ended in this call: its first call has none.
    `close_reason` says why the group that joined was closed, None where none joined.
    """

    phase: Phase
    start_s: float
    duration_s: float
    batch_size: int
    joined: int
    decode_rows: int
    prompt_tokens: int
    new_tokens: int
    kv_tokens: int
    padded_tokens: int
    queue_depth: int
    close_reason: CloseReason | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySample:
    """What the device and the host did at one moment; what was not reported is None."""

    t_s: float
    gpu_util_pct: float | None = None
    sm_util_pct: float | None = None
    tensor_util_pct: float | None = None
    dram_util_pct: float | None = None
    memory_bytes: int | None = None
    power_w: float | None = None
    energy_j: float | None = None  # counter since the driver was loaded: only differences count
    sm_clock_mhz: float | None = None
    temperature_c: float | None = None
    throttle_reasons: str | None = None
    cpu_util_pct: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The measuring window (start_s, end_s]: what happens at its start belongs to the warm-up."""

    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Everything recorded in one trial. `window` is None where the measuring never began."""

    requests: tuple[RequestRecord, ...]
    steps: tuple[StepRecord, ...]
    window: Window | None
    outcome: Outcome
    reason: str | None = None
    started_monotonic_s: float | None = None  # the trial's zero on the host's monotonic clock
    telemetry: tuple[TelemetrySample, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchingConfig:
    """How requests are grouped. `max_waiting_time_s` 0 never holds a request.

    `kv_budget_tokens` limits prompt + output over all that run, `max_prefill_tokens_per_step` the
    prompt tokens that one step computes; None: only the device limits them.
    """

    policy: str
    max_batch_size: int
    max_waiting_time_s: float
    kv_budget_tokens: int | None = None
    max_prefill_tokens_per_step: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One thing to measure, with everything that decides its result.

    `seed` draws the schedule, arrivals and lengths; trials that differ in batching alone share it.
    """

    batching: BatchingConfig
    load: LoadSpec
    workload: WorkloadSpec
    num_requests: int
    num_warmup: int
    min_duration_s: float
    timeout_s: float
    repeat: int
    seed: int
    system: Mapping[str, Any] = field(default_factory=dict)  # the model or the latency model

    @property
    def trial_id(self) -> str:
        """Return 12 hex digits that differ whenever anything that decides the result differs.

        A rate that follows from a measured capacity is left out: the fraction decides it.
        """
        return content_hash(self._identity())

    @property
    def configuration_id(self) -> str:
        """Return the same for all repeats of one configuration under one load."""
        return content_hash({**self._identity(), "repeat": None, "seed": None})

    def _identity(self) -> dict[str, Any]:
        identity = asdict(self)
        if identity["load"].get("fraction_of_capacity") is not None:
            identity["load"]["requests_per_s"] = None
        return identity

    def __str__(self) -> str:
        batching = self.batching
        wait = f"wait {batching.max_waiting_time_s * 1e3:g} ms"
        limits = ""
        if batching.kv_budget_tokens is not None:
            limits += f"KV {batching.kv_budget_tokens} tokens, "
        if batching.max_prefill_tokens_per_step is not None:
            limits += f"prefill {batching.max_prefill_tokens_per_step} a step, "
        return f"{batching.policy} batch {batching.max_batch_size}, {wait}, {limits}{self.load}"


def content_hash(content: Any) -> str:
    """Return 12 hex digits of SHA-256 over the content's canonical JSON.

    >>> content_hash({"b": 1, "a": 2}) == content_hash({"a": 2, "b": 1})
    True
    """
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_as_text)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _as_text(value: object) -> str:
    # a folder may be moved between two machines: the file's name stands for its path
    return value.name if isinstance(value, Path) else str(value)
