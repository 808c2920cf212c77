"""How sure the figures are, in words: cells with intervals, notes under tables and caveats."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.analysis.configurations import Configuration
from paretobench.core.metrics import metric_of
from paretobench.report.model import Report
from paretobench.report.settings_text import configuration_label
from paretobench.report.text import markdown, marked, number, plural

_MAX_NOTED = 3
_METHODS = {
    "t_over_runs": "t-intervals over the repeats",
    "jackknife_over_runs": "for percentiles, which are those of the repeats' pooled requests, "
    "from leaving out one repeat at a time",
    "block_within_run": "from blocks of neighbours within one run, which do not know how runs "
    "differ",
}


def with_interval(configuration: Configuration, metric: str) -> str:
    """Return a figure as `marked` does, then its interval in brackets where it has one."""
    cell = marked(configuration, metric)
    interval = configuration.intervals.get(metric)
    if interval is None:
        return cell
    scale = 100 if metric_of(metric).unit == "share" else 1
    return f"{cell} ({number(scale * interval.low)}–{number(scale * interval.high)})"


def interval_note(front: Sequence[Configuration], metrics: Sequence[str]) -> str:
    """Return what stands in brackets behind these figures, empty where nothing does."""
    methods = {c.intervals[m].method for c in front for m in metrics if m in c.intervals}
    if not methods:
        return ""
    return f"In brackets 95% intervals: {'; '.join(_METHODS[m] for m in _METHODS if m in methods)}."


def repeats_note(front: Sequence[Configuration]) -> str:
    """Return how the repeats make one figure, empty where there is one each."""
    if all(c.num_repeats == 1 for c in front):
        return ""
    if all(run.samples for c in front for run in c.runs):
        return "A figure is the mean of the repeats, a percentile that of all their requests."
    return "A figure is the mean of the repeats."


def interval_caveats(report: Report) -> list[str]:
    """Return where the intervals say less than they seem to."""
    caveats = []
    if report.points and all(c.num_repeats == 1 for c in report.configurations):
        caveats.append(
            "One run alone: an interval is one of blocks within it, and does not know how runs "
            "differ. Set `measure.repeats` to 3 or more."
        )
    noted = [c for c in report.configurations if c.is_valid and c.interval_notes]
    for configuration in noted[:_MAX_NOTED]:
        label = configuration_label(configuration.settings, report.varied)
        for note in configuration.interval_notes:
            caveats.append(
                f"{markdown(label)}: {markdown(note)}. Its intervals are narrower than they should "
                "be; more `measure.requests` or `measure.repeats` mend that."
            )
    if len(noted) > _MAX_NOTED:
        more = plural(len(noted) - _MAX_NOTED, "more configuration")
        caveats.append(f"Utilisation too high for this length: {more}.")
    return caveats
