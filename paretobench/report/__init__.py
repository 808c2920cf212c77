"""Figures, tables and text, from a run folder only."""

from paretobench.report.document import report_document
from paretobench.report.markdown_limits import beyond_text
from paretobench.report.model import Report, assemble
from paretobench.report.overlay import Overlay, check_alike, default_folder, run_names
from paretobench.report.overlay_message import message
from paretobench.report.overlay_write import (
    check_overlay_folder,
    make_overlay_folder,
    overlay_document,
    write_overlay,
)
from paretobench.report.points import load_points
from paretobench.report.terminal import frontier_table, operating_points_table
from paretobench.report.write import write_assembled, write_report

__all__ = [
    "Overlay",
    "Report",
    "assemble",
    "beyond_text",
    "check_alike",
    "check_overlay_folder",
    "default_folder",
    "frontier_table",
    "load_points",
    "make_overlay_folder",
    "message",
    "operating_points_table",
    "overlay_document",
    "report_document",
    "run_names",
    "write_assembled",
    "write_overlay",
    "write_report",
]
