"""Ours: the point's entry of operating_points.yaml."""

from __future__ import annotations

import yaml

from paretobench.report.exporters.base import Deployment, Document


def export(deployment: Deployment) -> tuple[Document, ...]:
    """Return the entry, which says everything."""
    body = yaml.safe_dump(
        {deployment.name: dict(deployment.entry)}, sort_keys=False, allow_unicode=True, width=100
    )
    return (Document(class_name=None, body=body.rstrip(), notes=()),)
