"""`queue_vs_compute.png`: where the mean latency goes, waiting or computing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paretobench.analysis.configurations import Configuration
from paretobench.core.points import Settings
from paretobench.report.figures.canvas import INK, MUTED, new_figure, plain_linear_axis
from paretobench.report.figures.series import finite, load_families
from paretobench.report.manifest import model_name, provenance_line
from paretobench.report.model import Report
from paretobench.report.settings_text import batching_label
from paretobench.report.text import number, plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_BARS = 24
_QUEUE, _COMPUTE = "#e0a030", "#31688e"  # far apart in grey too


def draw_queue_vs_compute(report: Report) -> Figure | str:
    """Return the figure of the valid configurations, or why there is none to draw."""
    every = [c for c in report.configurations if c.is_valid and _parts(c) is not None]
    if not every:
        return "no valid trial measured queue time and E2E latency"
    chosen = _chosen(report, every)
    rows = _rows(load_families(chosen))
    height = 1.75 + 0.235 * len(rows)
    notes = []
    if len(every) > len(chosen):
        notes.append(f"{len(every) - len(chosen)} valid configurations not shown")
    if len(report.configurations) > len(every):
        notes.append(f"{len(report.configurations) - len(every)} not valid left out")
    figure = new_figure(
        f"{model_name(report.run)}: where a request's time goes",
        " · ".join([provenance_line(report.run), *notes]),
        height_in=height,
    )
    bottom = 0.6 / height
    longest = max(len(bar_label(c.settings)) for c in chosen)
    left = max(0.20, 0.02 + 0.0062 * longest)
    axes = figure.add_axes((left, bottom, 0.97 - left, 1 - 1.12 / height - bottom))
    _draw_bars(axes, rows)
    return figure


def _parts(configuration: Configuration) -> tuple[float, float] | None:
    queue, whole = finite(configuration, "mean_queue_ms"), finite(configuration, "mean_e2e_ms")
    return None if queue is None or whole is None else (queue, max(whole - queue, 0.0))


def _chosen(report: Report, every: Sequence[Configuration]) -> list[Configuration]:
    """Return all, or where they are many: the operating points, then an even spread of the rest.

    The rest are ordered by load, batch size and wait, so first and largest are among them.
    """
    if len(every) <= _MAX_BARS:
        return list(every)
    ordered = [row for row in _rows(load_families(every)) if isinstance(row, Configuration)]
    starred = {
        p.configuration.settings.configuration_id
        for p in report.operating_points
        if p.configuration is not None
    }
    keep = [c for c in ordered if c.settings.configuration_id in starred][: _MAX_BARS - 2]
    others = [c for c in ordered if c not in keep]
    room = _MAX_BARS - len(keep)
    keep += [others[round(i * (len(others) - 1) / (room - 1))] for i in range(room)]
    return [c for c in ordered if c in keep]


def _rows(families: dict[str, list[Configuration]]) -> list[str | Configuration]:
    """Return headings and bars from top to bottom."""
    rows: list[str | Configuration] = []
    for name, family in families.items():
        rows.append(name)
        bars = sorted(family, key=_batch_then_wait)
        rows += bars
    return rows


def _batch_then_wait(configuration: Configuration) -> tuple[int, float]:
    return configuration.settings.max_batch_size, configuration.settings.max_waiting_time_ms


def bar_label(settings: Settings) -> str:
    """Return what to call a bar whose heading says the load, the policy and the arrangement."""
    label = batching_label(settings).removeprefix(f"{settings.arrangement}: ")
    return label.replace(", ", " · ").replace(" / ", "/")


def _draw_bars(axes: Axes, rows: Sequence[str | Configuration]) -> None:
    ticks: list[float] = []
    labels: list[str] = []
    longest = 0.0
    for y, row in enumerate(rows):
        if isinstance(row, str):
            axes.text(0, y, row, weight="bold", fontsize=9, va="center", color=INK)
            continue
        parts = _parts(row)
        assert parts is not None
        queue, compute = parts
        first = not ticks
        axes.barh(y, compute, height=0.72, color=_COMPUTE, label="compute" if first else None)
        axes.barh(
            y, queue, left=compute, height=0.72, color=_QUEUE, label="queue" if first else None
        )
        axes.annotate(
            f"{number(queue + compute)} ms",
            (queue + compute, y),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=7.5,
            color=MUTED,
        )
        longest = max(longest, queue + compute)
        ticks.append(y)
        labels.append(bar_label(row.settings))
    plain_linear_axis(axes, "x", 0, (longest or 1) * 1.12)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(ticks, labels, fontsize=8)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(f"mean E2E latency (ms), {plural(len(ticks), 'configuration')}")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, fontsize=9)
