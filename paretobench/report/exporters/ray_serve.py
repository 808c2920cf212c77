"""Ray Serve: the arguments of @serve.batch, as a deployment's entry in the Serve config file."""

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

_BATCHES_IN_FLIGHT = 2  # one runs, the next fills


def export(deployment: Deployment) -> tuple[Document, ...]:
    """Return an entry of `deployments` for each server: add its name."""
    return tuple(
        Document(
            class_name=server.class_name,
            body=yaml.safe_dump(
                {
                    "num_replicas": 1,
                    "max_ongoing_requests": _BATCHES_IN_FLIGHT * server.max_batch_size,
                    "user_config": {
                        "max_batch_size": server.max_batch_size,
                        "batch_wait_timeout_s": server.shortest_wait_ms / 1e3,
                    },
                },
                sort_keys=False,
            ).rstrip(),
            notes=tuple(_notes(server)),
        )
        for server in deployment.servers
    )


def _notes(server: Server) -> list[Note]:
    wait_s = server.shortest_wait_ms / 1e3
    since = (
        "counted from when the batcher begins a batch, not from the arrival of its oldest "
        "request: requests that aged while a batch ran are held again"
    )
    return [
        Note(
            mapped="exact",
            text="user_config: have the deployment's reconfigure() call set_max_batch_size() and "
            "set_batch_wait_timeout_s() of the method under @serve.batch, or give both to "
            "@serve.batch; max_concurrent_batches stays 1",
        ),
        Note(
            mapped="approximate" if wait_s else "exact",
            text=f"batch_wait_timeout_s {wait_s:g}: max_waiting_time_ms in seconds, "
            f"{since if wait_s else 'at 0 nothing is held'}",
        ),
        Note(
            mapped="exact",
            text="max_ongoing_requests: Ray's default of 5 would cap every batch at 5; twice "
            "max_batch_size lets the next batch fill while one runs",
        ),
        *request_level_notes(server),
        *no_priority_notes(server),
        *kv_notes(server),
        *common_notes(server),
    ]
