"""A report as one JSON document, for `--json`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from paretobench.analysis.configurations import Configuration
from paretobench.core.intervals import interval_cells
from paretobench.core.metrics import METRICS, qualified
from paretobench.report.controllers import regret_mapping
from paretobench.report.deploy import operating_points_mapping
from paretobench.report.frontier_uncertainty import (
    is_near,
    near_frontier,
    probability_of,
    uncertainty_documents,
)
from paretobench.report.limits import limits_document
from paretobench.report.markdown_conditions import conditions_document
from paretobench.report.model import DATA_FILES, Report
from paretobench.report.points import configuration_row
from paretobench.report.shift import find_shifts, shift_documents


def report_document(report: Report) -> dict[str, Any]:
    """Return the report in values that strict JSON can hold: null for missing and for infinite."""
    run = report.run
    document: dict[str, Any] = strict(
        {
            "name": run.manifest.get("name"),
            "folder": str(run.path),
            "state": run.manifest.get("state"),
            "objectives": {"throughput": report.throughput, "latency": report.latency},
            "frontier": [_frontier_entry(report, c) for c in report.frontier],
            "near_frontier": [_frontier_entry(report, c) for c in near_frontier(report)],
            **uncertainty_documents(report),
            "shifts": shift_documents(find_shifts(report)),
            "operating_points": operating_points_mapping(report),
            "controllers": [
                {
                    "variant": contest.variant,
                    "load": contest.load,
                    "workload": contest.workload,
                    **regret_mapping(regret),
                }
                for contest in report.contests
                for regret in contest.regrets
            ],
            "limit": limits_document(report.limits),
            "conditions": conditions_document(run),
            "verdicts": report.verdicts,
            "files": [*DATA_FILES, *(path.name for path in report.figures)],
            "left_out": list(report.left_out),
            "damaged": list(report.damaged),
        }
    )
    return document


def _frontier_entry(report: Report, configuration: Configuration) -> dict[str, Any]:
    """Return a row of the frontier, or near it, with the figures of each class of mixed traffic."""
    by_class = {
        name: {
            **{metric: configuration.figures.get(qualified(name, metric)) for metric in METRICS},
            **interval_cells(configuration.intervals, name),
        }
        for name in report.class_names
    }
    row = configuration_row(configuration)
    row["interval_notes"] = configuration.interval_notes
    row["class_batching"] = configuration.settings.class_limits() or None
    row["probability_on_frontier"] = probability_of(report, configuration)
    row["on_epsilon_front"] = is_near(report, configuration)
    return {**row, **({"classes": by_class} if by_class else {})}


def strict(value: Any) -> Any:
    """Return a value that strict JSON can hold: null where it has a number that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [strict(item) for item in value]
    return value
