"""Mixed traffic on an engine a class: what each engine serves, and their traces as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from paretobench.core.values import BatchingConfig, ClassBatching, Outcome, Trace, Trial

# worst first: what one engine suffered is the trial's
_SEVERITY: tuple[Outcome, ...] = ("failed", "out_of_memory", "timed_out", "completed")


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
