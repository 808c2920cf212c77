"""Triton's config.pbtxt: what the dynamic batcher takes, or for a continuous point the
TensorRT-LLM backend.

The batcher's delay counts from when the oldest request of the batch was queued, and a batch whose
oldest is older goes at once: as our wait.
"""

from __future__ import annotations

from paretobench.report.exporters.base import (
    Deployment,
    Document,
    Note,
    Server,
    common_notes,
    kv_notes,
    prefill_notes,
    unequal_queue_notes,
)


def export(deployment: Deployment) -> tuple[Document, ...]:
    """Return a fragment of config.pbtxt for each server: add name, backend and tensors."""
    return tuple(
        Document(class_name=server.class_name, body=_body(server), notes=tuple(_notes(server)))
        for server in deployment.servers
    )


def _body(server: Server) -> str:
    lines = [f"max_batch_size: {server.max_batch_size}", "dynamic_batching {"]
    lines.append(f"  max_queue_delay_microseconds: {_delay_us(server)}")
    num_levels = _num_levels(server)
    if num_levels > 1:
        lines += [
            f"  priority_levels: {num_levels}",
            f"  default_priority_level: {num_levels}",
        ]
    lines.append("}")
    if server.policy == "continuous":
        lines += ["model_transaction_policy { decoupled: true }"]
        lines += _parameter("batching_strategy", "inflight_fused_batching")
        if server.kv_budget_tokens is not None:
            lines += _parameter("max_tokens_in_paged_kv_cache", str(server.kv_budget_tokens))
    return "\n".join(lines)


def _parameter(key: str, value: str) -> list[str]:
    return ["parameters {", f'  key: "{key}"', f'  value {{ string_value: "{value}" }}', "}"]


def _delay_us(server: Server) -> int:
    return round(server.shortest_wait_ms * 1000)


def _num_levels(server: Server) -> int:
    return max(server.levels.values(), default=0)


def _notes(server: Server) -> list[Note]:
    return [
        *(_inflight_notes(server) if server.policy == "continuous" else _dynamic_notes(server)),
        Note(
            mapped="exact",
            text="preferred_batch_size is unset: a batch of a preferred size goes without waiting "
            "for more, which our policies never do",
        ),
        *_priority_notes(server),
        *common_notes(server),
    ]


def _dynamic_notes(server: Server) -> list[Note]:
    return [
        Note(
            mapped="exact",
            text=f"policy {server.policy}: the dynamic batcher batches whole requests; the model "
            "must run a batch to its longest request's end",
        ),
        Note(
            mapped="exact",
            text=f"max_batch_size {server.max_batch_size}: of requests, if each has batch "
            "dimension 1; with one instance of the model (Triton's default)",
        ),
        Note(
            mapped="exact",
            text="max_queue_delay_microseconds: max_waiting_time_ms; both count from when the "
            "oldest request of the batch was queued, and both hold nothing at 0",
        ),
        *kv_notes(server),
        *prefill_notes(server),
    ]


def _inflight_notes(server: Server) -> list[Note]:
    notes = [
        Note(
            mapped="approximate",
            text="policy continuous: Triton's own batcher takes whole requests, so this needs a "
            "decoupled backend that batches in flight; the settings are those of the tensorrt_llm "
            "model of the TensorRT-LLM backend",
        ),
        Note(
            mapped="approximate",
            text=f"max_batch_size {server.max_batch_size}: that backend may run more; build its "
            f"engine with --max_batch_size {server.max_batch_size} to bound it",
        ),
        Note(
            mapped="approximate",
            text="max_queue_delay_microseconds: there it only raises the chance that requests "
            "begin in the same step; a free slot is not held for a group",
        ),
    ]
    if server.kv_budget_tokens is not None:
        notes.append(
            Note(
                mapped="approximate",
                text="max_tokens_in_paged_kv_cache: kv_budget_tokens, rounded there to blocks",
            )
        )
    if server.max_prefill_tokens_per_step is not None:
        total = server.max_prefill_tokens_per_step + server.max_batch_size
        notes.append(
            Note(
                mapped="absent",
                text=f"max_prefill_tokens_per_step {server.max_prefill_tokens_per_step}: build the "
                f"engine with --max_num_tokens {total} (prompts and one token a decode row) and "
                "set enable_chunked_context",
            )
        )
    return notes


def _priority_notes(server: Server) -> list[Note]:
    if not server.queues:
        return []
    numbers = ", ".join(f"{name} {level}" for name, level in server.levels.items())
    waits = {queue.max_waiting_time_ms for queue in server.queues}
    notes = [
        Note(
            mapped="exact" if server.policy != "continuous" else "approximate",
            text=f"priority_levels: clients send the request parameter `priority`: {numbers}; a "
            "request without one counts as the lowest",
        )
        if _num_levels(server) > 1
        else Note(mapped="exact", text="all classes have one priority: no priority_levels"),
        Note(
            mapped="exact",
            text="priority_queue_policy is unset: it sets queue lengths and time-outs that reject "
            "requests, and our queues have neither",
        ),
    ]
    if len(waits) > 1:
        notes.append(
            Note(
                mapped="approximate",
                text=f"max_queue_delay_microseconds is one for all levels: {_delay_us(server)} is "
                "the shortest wait of the classes, so that none is held longer than measured",
            )
        )
    if server.preemption is not None:
        notes.append(
            Note(mapped="absent", text=f"preemption {server.preemption}: running requests stay")
        )
    return [*notes, *unequal_queue_notes(server)]
