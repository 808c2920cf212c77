"""The value objects that pass between packages. Times are seconds since the trial began."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from paretobench.core.controllers import Controller
from paretobench.core.hashing import content_hash
from paretobench.core.workloads import LoadSpec, TrafficSpec

Phase = Literal["prefill", "decode", "mixed"]
CloseReason = Literal["full", "timeout", "drain", "next_class"]
RequestStatus = Literal["finished", "rejected", "failed", "unfinished"]
Outcome = Literal["completed", "timed_out", "out_of_memory", "failed"]
Verdict = Literal[
    "valid",
    "overloaded",
    "too_short",
    "nonstationary",
    "client_limited",
    "throttled",
    "disturbed",
    "out_of_memory",
    "failed",
]
Stage = Literal["explore", "confirm"]
Arrangement = Literal["shared", "priority", "separate"]
Preemption = Literal["recompute", "keep_kv"]


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
    was first due to join and had to wait for memory for its keys and values; None: never. It gave
    up its slot `num_preemptions` times, was out of it for `preempted_s` in all, and
    `recomputed_tokens` of its cache were computed again (what was computed of a prompt that was
    interrupted before its first new token is not counted). `taken_in_s` is when the loop learned of
    it; None in runs of before that was recorded.
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
    num_preemptions: int = 0
    preempted_s: float = 0.0
    recomputed_tokens: int = 0
    taken_in_s: float | None = None
    token_times_s: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRecord:
    """One call of the runner, or in virtual time `num_steps` at which nothing joined or left.

    `batch_size` counts the requests that held a slot, joiners included; `decode_rows` those that
    decoded, of whom `padded_tokens` already had all their tokens; `prompt_tokens` the tokens of
    prompts computed, `num_prompts` how many they were of; `kv_tokens` the cache entries attended
    to, `decode_kv_tokens` those of the decode rows alone (both None in runs of before they were
    recorded); `new_tokens` the tokens that became visible to the host; `queue_depth` who still
    waited. Where the device is a step ahead of the host, all of these are of the step that ended in
    this call: its first call has none. Over several steps, rows and tokens are sums, and
    `batch_size` is that of each. `close_reason` says why the group that joined was closed, None
    where none joined; `engine` which one ran it, where each class has an engine of its own.
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
    num_steps: int = 1
    num_prompts: int | None = None
    decode_kv_tokens: int | None = None
    engine: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitChange:
    """A controller moved the batch limit at `at_s`, and why, in words a report can print.

    `engine` says whose limit, where each class has an engine of its own.
    """

    at_s: float
    before: int
    after: int
    queue_depth: int
    cause: str
    engine: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetrySample:
    """What the device and the host did at one moment; what was not reported is None.

    `cpu_steal_pct` is the time that the hypervisor gave to other machines, of all CPUs, since the
    sample before; `num_other_gpu_processes` counts those on the GPU that are not this run's.
    """

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
    cpu_steal_pct: float | None = None
    num_other_gpu_processes: int | None = None


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
    """Everything recorded in one trial. `window` is None where the measuring never began.

    `requests` and `steps` of a trial read from disk are columns (`core.columns`), which are
    sequences of records as well.
    `attempt` 2: it was measured again at twice the length, since the first looked overloaded.
    """

    requests: Sequence[RequestRecord]
    steps: Sequence[StepRecord]
    window: Window | None
    outcome: Outcome
    reason: str | None = None
    started_monotonic_s: float | None = None  # the trial's zero on the host's monotonic clock
    limit_changes: tuple[LimitChange, ...] = ()
    telemetry: tuple[TelemetrySample, ...] = ()
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassBatching:
    """How one class is batched where it has a queue, or an engine, of its own.

    A higher `priority` goes first. `device_share` is what its engine has of the device where the
    engines are separate, 0 < share < 1.
    """

    name: str
    max_batch_size: int
    max_waiting_time_s: float
    priority: int
    device_share: float

    def __str__(self) -> str:
        return f"{self.name} {self.max_batch_size}/{self.max_waiting_time_s * 1e3:g} ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchingConfig:
    """How requests are grouped. `max_waiting_time_s` 0 never holds a request.

    `kv_budget_tokens` limits prompt + output over all that run, `max_prefill_tokens_per_step` the
    prompt tokens that one step computes; None: only the device limits them. `controller` moves the
    limit of the adaptive policy.

    Mixed traffic has an `arrangement`: one queue (`shared`), one engine with a queue a class
    (`priority`) or an engine a class (`separate`); `classes` says how each is batched in the latter
    two. `mix_classes` lets a batch hold several. With priorities, `aging_s` of waiting raise a
    request by one class (None: never), and under the continuous policy lower classes give up their
    slots by `preemption` (None: they keep them).
    """

    policy: str
    max_batch_size: int
    max_waiting_time_s: float
    kv_budget_tokens: int | None = None
    max_prefill_tokens_per_step: int | None = None
    controller: Controller | None = None
    arrangement: Arrangement = "shared"
    classes: tuple[ClassBatching, ...] = ()
    mix_classes: bool = False
    aging_s: float | None = None
    preemption: Preemption | None = None

    def __str__(self) -> str:
        parts = [f"{self.policy} batch {self.max_batch_size}"]
        if self.controller is not None:
            parts = [f"{self.policy} batch ≤ {self.max_batch_size}", str(self.controller)]
        elif not self.classes:
            parts.append(f"wait {self.max_waiting_time_s * 1e3:g} ms")
        if self.classes:
            parts += [self.arrangement, *map(str, self.classes)]
        if self.mix_classes:
            parts.append("mixed batches")
        if self.aging_s is not None:
            parts.append(f"aging {self.aging_s * 1e3:g} ms")
        if self.preemption is not None:
            parts.append(f"preemption: {self.preemption}")
        if self.kv_budget_tokens is not None:
            parts.append(f"KV {self.kv_budget_tokens} tokens")
        if self.max_prefill_tokens_per_step is not None:
            parts.append(f"prefill {self.max_prefill_tokens_per_step} a step")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One thing to measure, with everything that decides its result.

    `seed` draws the schedule, arrivals and lengths; trials that differ in batching alone share it.
    `variant` is what the scenario calls the system, where it compares several. At least
    `num_warmup` requests and `warmup_e2e` times the mean E2E latency come before the measured ones.
    Stage `confirm` measures a configuration of the frontier again, with seeds of its own.
    """

    batching: BatchingConfig
    load: LoadSpec
    workload: TrafficSpec
    num_requests: int
    num_warmup: int
    warmup_e2e: float = 0.0
    min_duration_s: float
    timeout_s: float
    repeat: int
    seed: int
    system: Mapping[str, Any] = field(default_factory=dict)  # the model or the latency model
    variant: str | None = None
    stage: Stage = "explore"

    @property
    def trial_id(self) -> str:
        """Return 12 hex digits that differ whenever anything that decides the result differs.

        A rate that follows from a measured capacity is left out: the fraction decides it.
        """
        return content_hash(self._identity())

    @property
    def configuration_id(self) -> str:
        """Return the same for all repeats of one configuration under one load."""
        return content_hash({**self._identity(), "repeat": None, "seed": None, "stage": None})

    @property
    def schedule_id(self) -> str:
        """Return the same for trials that serve the same requests under a settled load."""
        decides = ("load", "workload", "num_requests", "num_warmup", "min_duration_s", "seed")
        return content_hash({key: value for key, value in asdict(self).items() if key in decides})

    def _identity(self) -> dict[str, Any]:
        identity = asdict(self)
        if identity["load"].get("fraction_of_capacity") is not None:
            identity["load"]["requests_per_s"] = None
        return identity

    def __str__(self) -> str:
        variant = "" if self.variant is None else f"{self.variant}: "
        return f"{variant}{self.batching}, {self.load}"
