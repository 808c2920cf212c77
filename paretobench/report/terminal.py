"""The two tables that the terminal shows at the end of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from paretobench.analysis.operating_points import OperatingPoint
from paretobench.report.certificates import certificate_of, status_text
from paretobench.report.columns import column_title, frontier_columns, setting_columns
from paretobench.report.deploy import reason_of
from paretobench.report.frontier_uncertainty import hypervolume_caption
from paretobench.report.markdown_stages import imprecise_text
from paretobench.report.model import Report, no_valid_trial
from paretobench.report.settings_text import configuration_label
from paretobench.report.text import marked, number, one_line, short_label, with_unit
from paretobench.report.uncertainty import interval_note, with_interval

if TYPE_CHECKING:
    from rich.table import Table


def frontier_table(report: Report) -> Table:
    """Return the frontier, one row a configuration, as a rich table; objectives have intervals.

    `~` marks a percentile with fewer than 10 samples beyond it. With no valid trial the table has
    no row and its caption says why.
    """
    from rich.markup import escape
    from rich.table import Table

    settings, figures = setting_columns(report), frontier_columns(report)
    objectives = (report.throughput, report.latency)
    table = Table(title=f"Frontier: {report.throughput} against {report.latency}")
    for column in settings:
        table.add_column(column.title, justify="left" if column.is_text else "right")
    for title in map(column_title, figures):
        table.add_column(title, justify="right")
    for configuration in report.frontier:
        table.add_row(
            *(escape(one_line(column.cell(configuration.settings))) for column in settings),
            *(
                (with_interval if metric in objectives else marked)(configuration, metric)
                for metric in figures
            ),
        )
    if not report.frontier:
        table.caption = escape(empty_frontier(report))
        return table
    notes = [interval_note(report.frontier, objectives), hypervolume_caption(report)]
    notes.append(imprecise_text(report))
    if any(set(c.low_percentiles) & set(figures) for c in report.frontier):
        notes.append("~ fewer than 10 samples beyond this percentile")
    table.caption = escape("\n".join(note for note in notes if note))
    return table


def operating_points_table(report: Report) -> Table:
    """Return where to run for each goal, or why nothing meets it, as a rich table."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Operating points")
    for title in ("for", "deploy", "expect", "margin", "shown", "why"):
        table.add_column(title, overflow="fold")
    for point in report.operating_points:
        cells = (
            point.goal.name,
            deploy_text(report, point),
            expect_text(point),
            margin_text(point),
            status_text(certificate_of(report, point)),
            reason_of(report, point),
        )
        table.add_row(*(escape(one_line(cell)) for cell in cells))
    if not report.operating_points:
        table.caption = "the scenario names no operating points"
    return table


def empty_frontier(report: Report) -> str:
    """Return why the frontier is empty."""
    if any(c.is_valid for c in report.configurations):
        return f"no valid trial measured both {report.throughput} and {report.latency}"
    return no_valid_trial(report.points)


def deploy_text(report: Report, point: OperatingPoint) -> str:
    """Return the configuration to deploy, `nothing` where none meets the goal."""
    chosen = point.configuration
    return "nothing" if chosen is None else configuration_label(chosen.settings, report.varied)


def expect_text(point: OperatingPoint) -> str:
    """Return the value of the goal's objective with its unit."""
    chosen, objective = point.configuration, point.goal.objective
    if chosen is None:
        return number(None)
    low = "~" if objective in chosen.low_percentiles else ""
    return f"{low}{with_unit(objective, chosen.figures.get(objective))}"


def margin_text(point: OperatingPoint) -> str:
    """Return each constraint: the value, its limit and the room left as a share of the limit."""
    low = () if point.configuration is None else point.configuration.low_percentiles
    parts = []
    for margin in point.margins:
        mark = "~" if margin.metric in low else ""
        value, limit = (
            with_unit(margin.metric, margin.value),
            with_unit(margin.metric, margin.limit),
        )
        share = f"{abs(margin.share):.0%} " if abs(margin.share) < 100 else "far "
        room = f"{share}to spare" if margin.share >= 0 else f"{share}beyond"
        parts.append(f"{short_label(margin.metric)} {mark}{value} of {limit} ({room})")
    return "; ".join(parts) or number(None)
