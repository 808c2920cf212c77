"""What of a run could not be read, said at the top of its report."""

from __future__ import annotations

from paretobench.report.model import Report
from paretobench.report.text import markdown, plural


def damage_text(report: Report) -> str | None:
    """Return how much of the run is left out for damage, None where nothing is."""
    if not report.damaged:
        return None
    num, done = len(report.damaged), len(report.damaged) + len(report.points)
    return f"{num} of {plural(done, 'trial')} left out: raw files are damaged or missing"


def damage_lines(report: Report) -> list[str]:
    """Return the lines that name each trial left out; empty where none is."""
    said = damage_text(report)
    if said is None:
        return []
    lines = [f"- {markdown(damage)}." for damage in report.damaged]
    return [f"**{said}.** The figures are those of the rest.", "", *lines, ""]
