"""An operating point in the settings of the server that it will run on.

The settings say in comments what is exact, what is approximate and what has no equivalent there.
"""

from __future__ import annotations

from paretobench.core.errors import PointNotMetError, UserInputError
from paretobench.core.naming import suggestion
from paretobench.report.deploy import reason_of
from paretobench.report.exporters import bentoml, own, ray_serve, torchserve, triton, vllm
from paretobench.report.exporters.base import Deployment, Document, Exporter, comment
from paretobench.report.exporters.servers import deployment_of
from paretobench.report.model import Report

EXPORTERS: dict[str, Exporter] = {
    "triton": triton.export,
    "vllm": vllm.export,
    "torchserve": torchserve.export,
    "ray-serve": ray_serve.export,
    "bentoml": bentoml.export,
    "yaml": own.export,
}


def find_deployment(report: Report, name: str) -> Deployment:
    """Return what the operating point of that name deploys.

    Raises UserInputError where the run has none of that name, PointNotMetError where nothing
    meets it.
    """
    points = {point.goal.name: point for point in report.operating_points}
    if name not in points:
        known = ", ".join(points) or "none: its scenario names no operating points"
        raise UserInputError(
            f"{report.run.path}: --point must be one of its operating points ({known}), found "
            f"{name!r}{suggestion(name, points)}"
        )
    point = points[name]
    if point.configuration is None:
        raise PointNotMetError(
            f"{report.run.path}: nothing meets {name}: {reason_of(report, point)}; nothing was "
            "written"
        )
    return deployment_of(report, point, point.configuration)


def exported(deployment: Deployment, name: str) -> dict[str | None, str]:
    """Return the settings in the format of that name, by class where each has a server, else
    under None. Every document stands alone, its comments first."""
    documents = EXPORTERS[name](deployment)
    return {document.class_name: _rendered(deployment, document) for document in documents}


def _rendered(deployment: Deployment, document: Document) -> str:
    lines = [comment(line, indent="  ") for line in deployment.header]
    if document.class_name is not None:
        lines.append(comment(f"server of class {document.class_name}; each class has its own"))
    lines += [
        comment(f"{note.mapped + ':':<12} {note.text}", indent="  ") for note in document.notes
    ]
    return "\n".join([*lines, document.body]) + "\n"


__all__ = ["EXPORTERS", "exported", "find_deployment"]
