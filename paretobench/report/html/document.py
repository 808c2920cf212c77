"""What the page works with: every configuration of every run, column by column."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.operating_points import OperatingPoint
from paretobench.core.metrics import METRICS, metric_of, qualified, split_name
from paretobench.report.certificates import certificate_of, status_text
from paretobench.report.columns import column_title, frontier_columns
from paretobench.report.deploy import reason_of
from paretobench.report.figures.encoding import load_name
from paretobench.report.frontier_uncertainty import probability_of
from paretobench.report.html.colours import (
    curve_colours,
    curve_symbols,
    load_symbol,
    point_colours,
)
from paretobench.report.html.courses import QUANTILES_PCT, bins_for, digest, timeline
from paretobench.report.html.packing import (
    INTERVAL_DIGITS,
    SHOWN_DIGITS,
    cell,
    coded,
    column,
)
from paretobench.report.manifest import goals, is_simulated
from paretobench.report.model import Report
from paretobench.report.settings_text import (
    batch_cell,
    batching_label,
    configuration_label,
    policy_label,
    wait_cell,
)
from paretobench.report.terminal import deploy_text, expect_text, margin_text
from paretobench.report.text import memory_label, one_line, short_label, unit_of

_MAX_REASON = 400


def page_document(reports: Sequence[Report], names: Sequence[str]) -> dict[str, Any]:
    """Return the page's data in values that strict JSON can hold.

    The figures that the scenario's objectives and operating points name are exact, so that the
    page chooses as the report does; others have 5 significant digits.
    """
    runs = [_with_figures(report) for report in reports]
    measured = dict.fromkeys(name for names_of in runs for name in names_of)
    measured |= dict.fromkeys(name for report in reports for name in _named(report))
    num_points = sum(len(report.configurations) for report in reports)
    return {
        "metrics": {name: _metric(name) for name in _in_order(measured)},
        "quantiles": list(QUANTILES_PCT),
        "curve_colours": curve_colours(),
        "curve_symbols": curve_symbols(),
        "runs": [
            _run(report, name, figures, bins_for(num_points))
            for report, name, figures in zip(reports, names, runs, strict=True)
        ],
    }


def _with_figures(report: Report) -> list[str]:
    """Return the names of the figures that any configuration has."""
    return [
        name
        for of_class in (None, *report.class_names)
        for name in (m if of_class is None else qualified(of_class, m) for m in METRICS)
        if any(c.figures.get(name) is not None for c in report.configurations)
    ]


def _in_order(names: Iterable[str]) -> list[str]:
    """Return the names of all requests' figures, then each class's."""
    every = list(names)
    classes = list(dict.fromkeys(split_name(name)[0] for name in every))
    classes.sort(key=lambda name: name is not None)
    return [name for of_class in classes for name in every if split_name(name)[0] == of_class]


def _metric(name: str) -> dict[str, Any]:
    metric = metric_of(name)
    of_class, base = split_name(name)
    return {
        "label": metric.label,
        "short": short_label(name),
        "title": column_title(name),
        "unit": metric.unit,
        "counts": unit_of(name),
        "axis": "share" if metric.unit == "share" else unit_of(base),
        "better": metric.better,
        "class": of_class,
        "base": base,
    }


def _run(report: Report, name: str, measured: list[str], num_bins: int) -> dict[str, Any]:
    every = report.configurations
    heading, legend, colours = point_colours(report)
    return {
        "name": one_line(name),
        "throughput": report.throughput,
        "latency": report.latency,
        "columns": frontier_columns(report),
        "classes": list(report.class_names),
        "variants": [one_line(name) for name in report.variants],
        "goals": [
            {
                "name": goal.name,
                "objective": goal.objective,
                "maximize": goal.maximize,
                "subject_to": goal.subject_to,
            }
            for goal in goals(report.run)
        ],
        "chosen": [_chosen(report, point) for point in report.operating_points],
        "colour_heading": heading,
        "legend": legend,
        "colour": colours,
        "symbol": coded([load_symbol(c.settings.load_kind) for c in every]),
        **_settings(report),
        **_verdicts(every),
        "probability": column([probability_of(report, c) for c in every], 3),
        "figures": {
            m: column([c.figures.get(m) for c in every], _digits(report, m)) for m in measured
        },
        "intervals": {m: ends for m in measured if (ends := _intervals(every, m)) is not None},
        **_behind(report, num_bins),
    }


def _digits(report: Report, metric: str) -> int | None:
    """Return how many digits of a figure are kept, None for all."""
    return None if metric in _named(report) else SHOWN_DIGITS


def _named(report: Report) -> list[str]:
    """Return the figures that the scenario names, measured or not."""
    of_goals = [name for g in goals(report.run) for name in (g.objective, *g.subject_to)]
    return list(dict.fromkeys([report.throughput, report.latency, *of_goals]))


def _settings(report: Report) -> dict[str, Any]:
    """Return what tells the configurations apart, as text, and by what to sort it."""
    settings = [c.settings for c in report.configurations]
    varied = report.varied
    apart = "mix_classes" in varied or any(s.class_batching for s in settings)
    return {
        "label": [one_line(configuration_label(s, varied)) for s in settings],
        "variant": coded([one_line(s.variant or "") if report.variants else "" for s in settings]),
        "workload": coded([one_line(s.workload) for s in settings]),
        "load": coded([one_line(s.load) for s in settings]),
        "kind": coded([load_name(s.load_kind) for s in settings]),
        "policy": coded([policy_label(s) for s in settings]),
        "batching": coded([one_line(batching_label(s, varied)) if apart else "" for s in settings]),
        "batch": coded([batch_cell(s) for s in settings]),
        "wait": coded([wait_cell(s) for s in settings]),
        "limits": coded([memory_label(s) for s in settings]),
        "batch_size": [s.max_batch_size for s in settings],
        "wait_ms": [cell(s.max_waiting_time_ms) for s in settings],
    }


def _verdicts(every: Sequence[Configuration]) -> dict[str, Any]:
    return {
        "verdict": coded([c.verdict.replace("_", " ") for c in every]),
        "valid": [int(c.is_valid) for c in every],
        "reason": coded([one_line(c.reason, limit=_MAX_REASON) for c in every]),
        "remedy": coded([one_line(c.remedy, limit=_MAX_REASON) for c in every]),
        "repeats": [c.num_repeats for c in every],
        "confirmed": [int(c.is_confirmed) for c in every],
        "low": coded([" ".join(c.low_percentiles) for c in every]),
    }


def _intervals(every: Sequence[Configuration], metric: str) -> list[list[Any]] | None:
    found = [c.intervals.get(metric) for c in every]
    if not any(found):
        return None
    return [
        column([None if i is None else i.low for i in found], INTERVAL_DIGITS),
        column([None if i is None else i.high for i in found], INTERVAL_DIGITS),
    ]


def _behind(report: Report, num_bins: int) -> dict[str, Any]:
    """Return each configuration's latencies and timeline, and why there are none."""
    every, run = report.configurations, report.run
    raw = set(run.trial_ids())
    missing = "The raw files of this trial are not at hand: a committed run has none."
    if is_simulated(run):
        missing_timeline = "Simulated: no device was there to watch."
    else:
        missing_timeline = "The telemetry names no series of this trial." if raw else missing
    timelines = [
        timeline(run, c, num_bins) if c.runs and c.runs[0].settings.trial_id in raw else None
        for c in every
    ]
    return {
        "digests": {
            of_class or "": [digest(c, of_class) for c in every]
            for of_class in (None, *report.class_names)
        },
        "timelines": timelines,
        "no_digest": missing,
        "no_timeline": missing_timeline,
    }


def _chosen(report: Report, point: OperatingPoint) -> dict[str, Any]:
    """Return a row of the table of operating points, in the words of report.md."""
    chosen = point.configuration
    value = None if chosen is None else chosen.figures.get(point.goal.objective)
    ids = [c.settings.configuration_id for c in report.configurations]
    rooms = [m.share for m in point.margins if math.isfinite(m.share)]
    return {
        "goal": point.goal.name,
        "deploy": one_line(deploy_text(report, point)),
        "expect": expect_text(point),
        "value": cell(value),
        "margins": margin_text(point),
        "room": cell(min(rooms, default=None), SHOWN_DIGITS),
        "shown": status_text(certificate_of(report, point)),
        "why": one_line(reason_of(report, point)),
        "place": None if chosen is None else ids.index(chosen.settings.configuration_id),
    }
