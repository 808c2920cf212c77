"""A comparison as one JSON document, for `--json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from paretobench.analysis.configurations import Configuration
from paretobench.core.intervals import Interval
from paretobench.gate.matching import measures_of
from paretobench.gate.values import (
    Comparison,
    ConfigurationLoss,
    Loss,
    Match,
    Measure,
    OperatingPointChange,
    Side,
)
from paretobench.report.document import strict
from paretobench.report.manifest import commit
from paretobench.report.settings_text import configuration_label


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """Return the comparison in values that strict JSON can hold: null for missing and infinite.

    A loss is a share, 0.02 is 2% worse; `metrics` says which figure each measure is.
    """
    decision = comparison.decision
    report = comparison.baseline.report
    judged = {found.match.key: found for found in decision.configurations}
    document: dict[str, Any] = strict(
        {
            "outcome": decision.outcome,
            "strict_outcome": decision.strict_outcome,
            "reason": decision.reason,
            "is_advisory": decision.is_advisory,
            "num_pairs": decision.num_pairs,
            "more_pairs": decision.more_pairs,
            "thresholds": asdict(decision.thresholds),
            "metrics": measures_of(report.throughput, report.latency),
            "overall": _loss(decision.overall),
            "by_measure": _losses(decision.by_measure),
            "configurations": [_match(m, judged.get(m.key)) for m in comparison.matches],
            "lost": [asdict(lost) for lost in decision.lost],
            "unmatched": [asdict(found) for found in comparison.unmatched],
            "differences": [asdict(found) for found in comparison.differences],
            "hypervolumes": [
                {"curve": h.curve, "ratio": h.ratio, **_ends(h.interval)}
                for h in comparison.hypervolumes
            ],
            "operating_points": [
                _operating_point(point, comparison) for point in comparison.operating_points
            ],
            "joined": [asdict(move) for move in comparison.joined],
            "left": [asdict(move) for move in comparison.left],
            "baseline": _side(comparison.baseline),
            "candidate": _side(comparison.candidate),
            "warnings": comparison.warnings,
            "notes": decision.notes,
        }
    )
    return document


def _match(match: Match, found: ConfigurationLoss | None) -> dict[str, Any]:
    return {
        "key": match.key,
        "label": match.label,
        "is_gating": match.is_gating,
        "is_paired": match.is_paired,
        "is_regression": found is not None and found.is_regression,
        "losses": {} if found is None else _losses(found.losses),
        "p_values": {} if found is None else found.p_values,
        "baseline": _of_side(match.before, match.baseline, match.baseline_rounds),
        "candidate": _of_side(match.after, match.candidate, match.candidate_rounds),
    }


def _of_side(
    configuration: Configuration,
    values: Mapping[Measure, tuple[float, ...]],
    rounds: tuple[int, ...],
) -> dict[str, Any]:
    return {
        "configuration_id": configuration.settings.configuration_id,
        "trial_ids": [run.settings.trial_id for run in configuration.runs],
        "pairs": [number + 1 for number in rounds],
        "values": values,
    }


def _operating_point(point: OperatingPointChange, comparison: Comparison) -> dict[str, Any]:
    def named(configuration: Configuration | None, side: Side) -> dict[str, Any] | None:
        if configuration is None:
            return None
        return {
            "label": configuration_label(configuration.settings, side.report.varied),
            "configuration_id": configuration.settings.configuration_id,
            "objective": configuration.figures.get(point.objective),
        }

    return {
        "name": point.goal,
        "objective": point.objective,
        "limits": point.limits,
        "before": named(point.before, comparison.baseline),
        "same_now": named(point.same_now, comparison.candidate),
        "best_now": named(point.best_now, comparison.candidate),
        "still_meets": point.still_meets,
        "cost": point.cost,
        "note": point.note,
    }


def _side(side: Side) -> dict[str, Any]:
    return {
        "path": str(side.path),
        "name": side.report.run.manifest.get("name"),
        "runs": [
            {
                "path": str(run.path),
                "created_at": run.manifest.get("created_at"),
                "finished_at": run.manifest.get("finished_at"),
                "state": run.manifest.get("state"),
                "commit": commit(run),
            }
            for run in side.runs
        ],
        "frontier": [
            configuration_label(c.settings, side.report.varied) for c in side.report.frontier
        ],
    }


def _losses(losses: Mapping[Measure, Loss]) -> dict[str, Any]:
    return {measure: _loss(loss) for measure, loss in losses.items()}


def _loss(loss: Loss | None) -> dict[str, Any] | None:
    if loss is None:
        return None
    return {"loss": loss.loss, **_ends(loss.interval), "num_runs": loss.num_runs}


def _ends(interval: Interval | None) -> dict[str, Any]:
    if interval is None:
        return {"low": None, "high": None, "method": None}
    return {"low": interval.low, "high": interval.high, "method": interval.method}
