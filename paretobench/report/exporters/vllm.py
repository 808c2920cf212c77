"""vLLM's engine arguments, as the YAML file that `vllm serve --config` reads."""

from __future__ import annotations

from typing import Any

import yaml

from paretobench.report.exporters.base import (
    Deployment,
    Document,
    Note,
    Server,
    common_notes,
    unequal_queue_notes,
)


def export(deployment: Deployment) -> tuple[Document, ...]:
    """Return a file for each server: `vllm serve MODEL --config FILE`."""
    return tuple(
        Document(
            class_name=server.class_name,
            body=yaml.safe_dump(_arguments(server), sort_keys=False).rstrip(),
            notes=tuple(_notes(server)),
        )
        for server in deployment.servers
    )


def _arguments(server: Server) -> dict[str, Any]:
    arguments: dict[str, Any] = {"max-num-seqs": server.max_batch_size}
    if server.max_prefill_tokens_per_step is not None:
        # theirs counts the decode rows' tokens too, one a row
        arguments["max-num-batched-tokens"] = (
            server.max_prefill_tokens_per_step + server.max_batch_size
        )
    if len(set(server.levels.values())) > 1:
        arguments["scheduling-policy"] = "priority"
    return arguments


def _notes(server: Server) -> list[Note]:
    notes = [
        Note(
            mapped="approximate",
            text="max-num-seqs: max_batch_size, the most requests that run at once; vLLM starts a "
            "request as soon as a slot and memory are free",
        ),
        Note(
            mapped="absent",
            text=f"max_waiting_time_ms {server.shortest_wait_ms:g}: vLLM has no wait timeout, it "
            "never holds a request for company"
            + ("" if server.shortest_wait_ms else ", as a wait of 0 does here"),
        ),
    ]
    if server.policy != "continuous":
        notes.append(
            Note(
                mapped="absent",
                text=f"policy {server.policy}: vLLM always batches continuously, so expect lower "
                "latency than measured; sweep `policy: continuous` for figures that compare",
            )
        )
    if server.max_prefill_tokens_per_step is not None:
        notes.append(
            Note(
                mapped="approximate",
                text=f"max-num-batched-tokens: max_prefill_tokens_per_step "
                f"{server.max_prefill_tokens_per_step}, and one token for each of "
                f"{server.max_batch_size} decode rows, which vLLM counts too",
            )
        )
    if server.kv_budget_tokens is not None:
        notes.append(
            Note(
                mapped="absent",
                text=f"kv_budget_tokens {server.kv_budget_tokens}: set --kv-cache-memory-bytes to "
                "that many tokens times the bytes of one (layers, KV heads, dtype); otherwise "
                "--gpu-memory-utilization decides. vLLM admits what fits now and recomputes what "
                "it must evict, we reserve prompt and output",
            )
        )
    return [*notes, *_priority_notes(server), *common_notes(server)]


def _priority_notes(server: Server) -> list[Note]:
    if not server.queues:
        return []
    numbers = ", ".join(f"{name} {level}" for name, level in server.levels.items())
    notes = [
        Note(
            mapped="approximate",
            text=f"scheduling-policy priority: every request must carry `priority`: {numbers} "
            "(lower goes first); vLLM evicts lower ones only where memory runs out",
        )
        if len(set(server.levels.values())) > 1
        else Note(mapped="exact", text="all classes have one priority: first come, first served")
    ]
    if server.preemption is not None:
        notes.append(
            Note(
                mapped="absent",
                text=f"preemption {server.preemption} for a slot: a higher class waits for one",
            )
        )
    return [*notes, *unequal_queue_notes(server)]
