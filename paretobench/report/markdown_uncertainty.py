"""The parts of `report.md` that say how sure the frontier is, and what energy adds to it."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.front_uncertainty import (
    COST_EPSILON,
    ENERGY,
    GAIN_EPSILON,
    NUM_RESAMPLES,
)
from paretobench.report.columns import column_title, setting_columns
from paretobench.report.frontier_uncertainty import (
    PROBABILITY_TITLE,
    hypervolume_caption,
    is_near,
    near_frontier,
    probability_of,
    probability_text,
)
from paretobench.report.markdown_table import table
from paretobench.report.model import Report
from paretobench.report.text import markdown, plural
from paretobench.report.uncertainty import with_interval

_MAX_ROWS = 20


def uncertainty_lines(report: Report) -> list[str]:
    """Return the hypervolume, and a table of who may belong on the frontier beside its own."""
    lines = []
    volume = hypervolume_caption(report)
    if volume:
        lines += ["", f"{markdown(volume[:1].upper() + volume[1:])}."]
    near = near_frontier(report)
    if near:
        lines += [
            "",
            f"Not on the frontier, but not to be ruled out: {plural(len(near), 'configuration')} "
            f"in the ε-front (within {GAIN_EPSILON:.0%} of the throughput and {COST_EPSILON:.0%} "
            "of the latency of one that is on it) or non-dominated in at least 5% of the "
            "resamples.",
            "",
            *_rows(report, near, (report.throughput, report.latency), near_too=True),
        ]
    return lines


def probability_note(report: Report) -> str:
    """Return what the column of probabilities says, empty where none is known."""
    if not any(found.probability for found in report.uncertainties):
        return ""
    note = (
        f"`{PROBABILITY_TITLE}`: the share of {NUM_RESAMPLES:,} resamples of the runs in which "
        "nothing beats the configuration."
    )
    if any(found.from_one_run for found in report.uncertainties):
        note += (
            " Where there is one run alone they are drawn from within it, and a percentile whose "
            "interval has no upper end as wide as its lower part or the mean's interval, the "
            "wider: that is rather too sure."
        )
    return note


def energy_lines(report: Report) -> list[str]:
    """Return the section on energy as a third objective, nothing where no curve's is known."""
    known = [found for found in report.uncertainties if found.by_energy is not None]
    if not known:
        return []
    lines = ["## With energy as a third objective", ""]
    added = [c for found in known for c in found.by_energy or ()]
    if not added:
        return [*lines, "No configuration is non-dominated for its tokens per joule alone.", ""]
    some = "" if len(known) == len(report.uncertainties) else ", where that is known of all"
    return [
        *lines,
        f"Non-dominated only when tokens per joule count too{some}: something else is at least as "
        "good in throughput and latency, nothing in all three.",
        "",
        *_rows(report, added, (report.throughput, report.latency, ENERGY), near_too=False),
        "",
    ]


def _rows(
    report: Report,
    configurations: Sequence[Configuration],
    figures: Sequence[str],
    *,
    near_too: bool,
) -> list[str]:
    settings = setting_columns(report)
    rows = []
    for c in configurations[:_MAX_ROWS]:
        row = [column.cell(c.settings) for column in settings]
        row += [with_interval(c, metric) for metric in figures]
        if near_too:
            row += [probability_text(probability_of(report, c))]
            row += ["yes" if is_near(report, c) else "no"]
        rows.append(row)
    header = [column.title for column in settings] + [column_title(metric) for metric in figures]
    header += [PROBABILITY_TITLE, "ε-front"] if near_too else []
    lines = table(header, rows, num_left=sum(column.is_text for column in settings))
    more = len(configurations) - len(rows)
    return [*lines, "", f"and {more} more; `--json` lists all."] if more else lines
