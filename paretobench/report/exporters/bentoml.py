"""BentoML: the arguments of @bentoml.api that its adaptive batching takes."""

from __future__ import annotations

import yaml

from paretobench.report.exporters.base import (
    Deployment,
    Document,
    Note,
    Server,
    common_notes,
    kv_notes,
    no_priority_notes,
    request_level_notes,
)


def export(deployment: Deployment) -> tuple[Document, ...]:
    """Return the keyword arguments of @bentoml.api for each server."""
    return tuple(
        Document(
            class_name=server.class_name,
            body=yaml.safe_dump(
                {"batchable": True, "max_batch_size": server.max_batch_size}, sort_keys=False
            ).rstrip(),
            notes=tuple(_notes(server)),
        )
        for server in deployment.servers
    )


def _notes(server: Server) -> list[Note]:
    return [
        Note(
            mapped="exact",
            text=f"max_batch_size {server.max_batch_size}: @bentoml.api(batchable=True, "
            f"max_batch_size={server.max_batch_size})",
        ),
        Note(
            mapped="absent",
            text=f"max_waiting_time_ms {server.shortest_wait_ms:g}: BentoML chooses the wait "
            "from recent traffic. Its max_latency_ms is an SLO for the whole request, one that it "
            "cannot keep is answered with 503; it is not a wait, so it is not set here. Set it to "
            "what your clients accept, never to the wait",
        ),
        *request_level_notes(server),
        *no_priority_notes(server),
        *kv_notes(server),
        *common_notes(server),
    ]
