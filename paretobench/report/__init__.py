"""Figures, tables and text, from a run folder only."""

from paretobench.report.document import report_document
from paretobench.report.markdown_limits import beyond_text
from paretobench.report.model import Report
from paretobench.report.points import load_points
from paretobench.report.terminal import frontier_table, operating_points_table
from paretobench.report.write import write_report

__all__ = [
    "Report",
    "beyond_text",
    "frontier_table",
    "load_points",
    "operating_points_table",
    "report_document",
    "write_report",
]
