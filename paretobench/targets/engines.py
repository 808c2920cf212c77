"""Mixed traffic on an engine a class: what each engine serves, and their traces as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from paretobench.core.values import BatchingConfig, ClassBatching, Outcome, Trace, Trial
from paretobench.core.workloads import TrafficSpec, WorkloadSpec, classes_of
from paretobench.workload.lengths import max_prompt_tokens, max_request_tokens

# worst first: what one engine suffered is the trial's
_SEVERITY: tuple[Outcome, ...] = ("failed", "out_of_memory", "timed_out", "completed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """The engine of one class: its share of the device, and all that it will be asked to serve."""

    name: str
    device_share: float
    batch_sizes: tuple[int, ...]
    max_request_tokens: int
    max_prompt_tokens: int


def planned_engines(trials: Sequence[Trial]) -> tuple[Engine, ...]:
    """Return the engines that the trials need, each ready for every trial; none where one engine
    serves all."""
    separate = [trial for trial in trials if engines_of(trial)]
    shares = {own.name: own.device_share for trial in separate for own in engines_of(trial)}
    engines = []
    for name, device_share in shares.items():
        sizes = {o.max_batch_size for t in separate for o in engines_of(t) if o.name == name}
        lengths = [engine_workload(trial.workload, name) for trial in separate]
        engines.append(
            Engine(
                name=name,
                device_share=device_share,
                batch_sizes=tuple(sorted(sizes)),
                max_request_tokens=max(map(max_request_tokens, lengths)),
                max_prompt_tokens=max(map(max_prompt_tokens, lengths)),
            )
        )
    return tuple(engines)


def shared_batch_sizes(trials: Sequence[Trial]) -> set[int]:
    """Return the batch sizes of the trials that one engine serves, those of their classes too."""
    shared = [trial.batching for trial in trials if not engines_of(trial)]
    return {b.max_batch_size for b in shared} | {
        min(own.max_batch_size, b.max_batch_size) for b in shared for own in b.classes
    }


def engines_of(trial: Trial) -> tuple[ClassBatching, ...]:
    """Return the engines that a trial runs on at once; none where one serves all."""
    return trial.batching.classes if trial.batching.arrangement == "separate" else ()


def engine_batching(batching: BatchingConfig, engine: str) -> BatchingConfig:
    """Return how one engine batches its class; of a KV budget it has its share of the device."""
    own = next(c for c in batching.classes if c.name == engine)
    budget = batching.kv_budget_tokens
    return replace(
        batching,
        arrangement="shared",
        classes=(),
        max_batch_size=own.max_batch_size,
        max_waiting_time_s=own.max_waiting_time_s,
        kv_budget_tokens=None if budget is None else int(budget * own.device_share),
    )


def engine_workload(workload: TrafficSpec, engine: str) -> WorkloadSpec:
    """Return the lengths of the requests that one engine serves."""
    return next(c.lengths for c in classes_of(workload) if c.name == engine)


def merge_traces(traces: Mapping[str, Trace]) -> Trace:
    """Return the traces of the engines, by name, as one: all on the same clock.

    Telemetry is the device's, and is left to whoever sampled it.
    """
    worst = min(traces, key=lambda name: _SEVERITY.index(traces[name].outcome))
    reason = traces[worst].reason
    started = [t.started_monotonic_s for t in traces.values() if t.started_monotonic_s is not None]
    return Trace(
        requests=tuple(
            sorted((r for t in traces.values() for r in t.requests), key=lambda r: r.request_id)
        ),
        steps=tuple(
            sorted(
                (replace(step, engine=name) for name, t in traces.items() for step in t.steps),
                key=lambda step: step.start_s,
            )
        ),
        window=traces[worst].window,
        outcome=traces[worst].outcome,
        reason=None if reason is None else f"engine of {worst}: {reason}",
        started_monotonic_s=min(started, default=None),
        limit_changes=tuple(
            sorted(
                (replace(c, engine=name) for name, t in traces.items() for c in t.limit_changes),
                key=lambda change: change.at_s,
            )
        ),
    )
