"""`report.md`: the answer first, then the picture, the tables and what stands behind them."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.operating_points import OperatingPoint
from paretobench.core.points import Settings
from paretobench.report.certificates import certificate_of, status_text
from paretobench.report.columns import column_title, frontier_columns, setting_columns
from paretobench.report.deploy import reason_of
from paretobench.report.figures import FIGURES
from paretobench.report.frontier_uncertainty import (
    PROBABILITY_TITLE,
    probability_of,
    probability_text,
)
from paretobench.report.manifest import device_name, is_simulated, model_name
from paretobench.report.markdown_certificates import certificate_sections
from paretobench.report.markdown_classes import class_sections
from paretobench.report.markdown_controllers import controller_lines
from paretobench.report.markdown_damage import damage_lines
from paretobench.report.markdown_limits import beyond_text, limit_sections
from paretobench.report.markdown_measured import measured_lines, reproduce_lines
from paretobench.report.markdown_shift import shift_lines
from paretobench.report.markdown_table import table
from paretobench.report.markdown_trust import trust_lines
from paretobench.report.markdown_uncertainty import (
    energy_lines,
    probability_note,
    uncertainty_lines,
)
from paretobench.report.model import Report
from paretobench.report.settings_text import configuration_label
from paretobench.report.shift import find_shifts, shift_sentence
from paretobench.report.terminal import deploy_text, empty_frontier, expect_text, margin_text
from paretobench.report.text import (
    joined,
    markdown,
    marked,
    short_label,
    with_unit,
)
from paretobench.report.uncertainty import interval_note, repeats_note, with_interval


def report_markdown(report: Report) -> bytes:
    """Return `report.md`."""
    name = markdown(str(report.run.manifest.get("name") or report.run.path.name))
    drawn = {path.name for path in report.figures}
    wrong = beyond_text(report)
    lines = [f"# {name}", "", *([f"**{markdown(wrong)}**", ""] if wrong else [])]
    lines += [_answer(report), "", *damage_lines(report)]
    if "frontier.png" in drawn:
        lines += ["![Throughput against latency, and the frontier](frontier.png)", ""]
    lines += ["## Frontier", "", *frontier_lines(report), *uncertainty_lines(report), ""]
    lines += energy_lines(report)
    if report.variants:
        lines += ["## Shift between curves", "", *_shift_lines(report), ""]
    lines += ["## Operating points", "", *_operating_point_lines(report), ""]
    lines += certificate_sections(report)
    lines += limit_sections(report)
    lines += class_sections(report)
    if report.contests:
        lines += ["## Controllers against fixed batch sizes", ""]
        if "adaptive.png" in drawn:
            lines += ["![The limit over time, goodput and p95 by phase](adaptive.png)", ""]
        lines += [*controller_lines(report.contests), ""]
    lines += ["## What was measured", "", *measured_lines(report), ""]
    lines += ["## What to trust less, and why", "", *trust_lines(report), ""]
    lines += ["## Other figures", "", *_figure_lines(report, drawn), ""]
    lines += ["## Reproduce", "", *reproduce_lines(report)]
    return ("\n".join(lines).rstrip() + "\n").encode("utf-8")


def _answer(report: Report) -> str:
    """Return two sentences: how far the frontier runs, and where to run on it."""
    where = device_name(report.run)
    subject = f"{model_name(report.run)}{f' on {where}' if where else ''}"
    if is_simulated(report.run):
        subject += " (simulated)"
    subject = markdown(subject)
    if not report.frontier:
        return f"**{subject}: there is no frontier.** {markdown(_sentence(empty_frontier(report)))}"
    runs = [
        _extent(report, front, named=len(report.workloads) > 1) for front in report.curves.values()
    ]
    points = [_deploy_sentence(report, point) for point in report.operating_points]
    moved = shift_sentence(report)
    if moved is not None:
        runs.insert(0, markdown(moved))
    where_to_run = " ".join(points) or "The scenario names no operating points."
    answer = f"**{subject}: {'; '.join(runs)}.** {where_to_run}"
    low = "`~`: fewer than 10 samples lie beyond this percentile."
    return f"{answer} {low}" if "~" in answer else answer


def _extent(report: Report, front: Sequence[Configuration], *, named: bool) -> str:
    prefix = f"for {markdown(front[0].settings.workload)} " if named else ""
    low, high = front[0], front[-1]
    if low is high:
        return f"{prefix}the frontier is one point, {_end(report, low)}"
    return f"{prefix}the frontier runs from {_end(report, low)} to {_end(report, high)}"


def _end(report: Report, configuration: Configuration) -> str:
    throughput = with_unit(report.throughput, configuration.figures[report.throughput])
    latency = with_unit(report.latency, configuration.figures[report.latency])
    mark = "~" if report.latency in configuration.low_percentiles else ""
    where = markdown(configuration_label(configuration.settings, report.varied))
    return f"{throughput} at {short_label(report.latency)} {mark}{latency} ({where})"


def _deploy_sentence(report: Report, point: OperatingPoint) -> str:
    name = markdown(point.goal.name)
    chosen = point.configuration
    if chosen is None:
        return f"Nothing meets `{name}`. {markdown(_sentence(reason_of(report, point)))}"
    variant = f"run {markdown(chosen.settings.variant or '')} and " if report.variants else ""
    room = "" if not point.margins else f", {markdown(margin_text(point))}"
    shown = f"; {markdown(status_text(certificate_of(report, point)))}" if point.margins else ""
    to_set = _to_set(report, chosen.settings)
    return f"For `{name}` {variant}{to_set} ({expect_text(point)}{room}){shown}."


_NAMED = {"arrangement", "mix_classes"}  # settings that two numbers do not tell


def _to_set(report: Report, settings: Settings) -> str:
    if settings.class_batching or settings.controller or report.varied & _NAMED:
        return f"deploy {markdown(configuration_label(settings, report.varied))}"
    named = settings.policy != "static" or "policy" in report.varied
    return (
        f"set {f'`policy: {settings.policy}`, ' if named else ''}"
        f"`max_batch_size: {settings.max_batch_size}` and "
        f"`max_waiting_time_ms: {settings.max_waiting_time_ms:g}`"
    )


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def frontier_lines(report: Report) -> list[str]:
    """Return the table of the frontier with its notes, or why it is empty."""
    if not report.frontier:
        return [markdown(_sentence(empty_frontier(report)))]
    settings, figures = setting_columns(report), frontier_columns(report)
    probabilities = probability_note(report)
    rows = [
        [column.cell(c.settings) for column in settings]
        + [_cell(report, c, metric) for metric in figures]
        + ([probability_text(probability_of(report, c))] if probabilities else [])
        for c in report.frontier
    ]
    header = [column.title for column in settings] + [column_title(metric) for metric in figures]
    header += [PROBABILITY_TITLE] if probabilities else []
    lines = table(header, rows, num_left=sum(column.is_text for column in settings))
    notes = _table_notes(report, figures)
    return [*lines, "", *notes] if notes else lines


def _shift_lines(report: Report) -> list[str]:
    return shift_lines(
        find_shifts(report), named="variant", throughput=report.throughput, latency=report.latency
    )


def _cell(report: Report, configuration: Configuration, metric: str) -> str:
    is_objective = metric in (report.throughput, report.latency)
    return (with_interval if is_objective else marked)(configuration, metric)


def _table_notes(report: Report, columns: Sequence[str]) -> list[str]:
    objectives = (report.throughput, report.latency)
    notes = [repeats_note(report.frontier), interval_note(report.frontier, objectives)]
    if any(set(c.low_percentiles) & set(columns) for c in report.frontier):
        notes.append("`~`: fewer than 10 samples lie beyond this percentile.")
    notes.append(probability_note(report))
    notes.append("All figures of these configurations: [frontier.csv](frontier.csv).")
    return [" ".join(filter(None, notes))]


def _operating_point_lines(report: Report) -> list[str]:
    if not report.operating_points:
        return ["The scenario names none. Add `operating_points` to it to be told where to run."]
    rows = [
        [
            point.goal.name,
            deploy_text(report, point),
            expect_text(point),
            margin_text(point),
            status_text(certificate_of(report, point)),
            reason_of(report, point),
        ]
        for point in report.operating_points
    ]
    header = ["for", "deploy", "expect", "against its limit (room)", "shown", "why"]
    lines = table(header, rows, num_left=len(header))
    met = [p for p in report.operating_points if p.configuration is not None]
    note = "To deploy: [operating_points.yaml](operating_points.yaml)." if met else ""
    if len(met) < len(report.operating_points):
        missed = [
            f"`{markdown(p.goal.name)}`" for p in report.operating_points if p.configuration is None
        ]
        note += f" No constraint was relaxed for {joined(missed)}."
    return [*lines, "", note.strip()]


def _figure_lines(report: Report, drawn: set[str]) -> list[str]:
    others = [p for p in FIGURES if p.file_name in drawn and p.file_name != "frontier.png"]
    lines = ["Every figure is there as SVG too, under the same name.", ""]
    lines += [f"- [{p.file_name}]({p.file_name}): {p.shows}." for p in others]
    lines += [f"- Left out: {markdown(line)}." for line in report.left_out]
    return lines
