"""TorchServe's model-config.yaml; the same keys go into `models` of config.properties."""

from __future__ import annotations

import math

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
    """Return a model-config.yaml for each server: one worker, as one engine was measured."""
    return tuple(
        Document(
            class_name=server.class_name,
            body=yaml.safe_dump(
                {
                    "minWorkers": 1,
                    "maxWorkers": 1,
                    "batchSize": server.max_batch_size,
                    "maxBatchDelay": delay_ms(server.shortest_wait_ms),
                },
                sort_keys=False,
            ).rstrip(),
            notes=tuple(_notes(server)),
        )
        for server in deployment.servers
    )


def delay_ms(max_waiting_time_ms: float) -> int:
    """Return the whole milliseconds nearest the wait, at least 1.

    >>> [delay_ms(wait) for wait in (0, 0.4, 2.5, 50)]
    [1, 1, 3, 50]
    """
    return max(1, math.floor(max_waiting_time_ms + 0.5))


def _notes(server: Server) -> list[Note]:
    wait_ms, delay = server.shortest_wait_ms, delay_ms(server.shortest_wait_ms)
    rounded = "" if wait_ms == delay else f" ({wait_ms:g} ms was measured)"
    return [
        Note(mapped="exact", text=f"batchSize {server.max_batch_size}: max_batch_size"),
        Note(
            mapped="approximate",
            text=f"maxBatchDelay {delay}: max_waiting_time_ms in whole milliseconds{rounded}, "
            "counted from when a worker takes the first request of a batch, not from its arrival: "
            "requests that aged while the worker was busy are held again. At least 1: at 0 "
            "TorchServe ends a batch after two requests",
        ),
        *request_level_notes(server),
        *no_priority_notes(server),
        *kv_notes(server),
        *common_notes(server),
    ]
