"""`gpu_utilization.png`: how busy the GPU was at each batch size, in each sense of busy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from paretobench.analysis.configurations import Configuration
from paretobench.core.metrics import metric_of
from paretobench.report.figures.canvas import category_axis, new_figure, plain_linear_axis
from paretobench.report.figures.encoding import legend_mark, side_legend
from paretobench.report.figures.series import (
    batch_sizes,
    by_wait,
    finite,
    largest,
    load_families,
    one_limit,
    prefer_closed_loop,
)
from paretobench.report.manifest import model_name, provenance_line
from paretobench.report.model import Report
from paretobench.report.text import wait_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MAX_PANELS = 3
# colour, line and marker all differ: grey print keeps the four apart
_LOOKS: dict[str, tuple[str, object, str]] = {
    "gpu_util_pct": ("#222222", "-", "o"),
    "sm_util_pct": ("#31688e", (0, (5, 1.5)), "s"),
    "tensor_util_pct": ("#b3261e", (0, (1, 1.2)), "^"),
    "dram_util_pct": ("#2f9e6e", (0, (5, 1.5, 1, 1.5)), "D"),
}


def draw_gpu_utilization(report: Report) -> Figure | str:
    """Return the figure of the valid trials at the lowest wait, or why there is none to draw."""
    measured = [c for c in report.configurations if any(finite(c, m) is not None for m in _LOOKS)]
    if not measured:
        return "no GPU utilisation was measured"
    valid = prefer_closed_loop(one_limit(c for c in measured if c.is_valid))
    if not valid:
        return "no valid trial with one batch size for all requests has a GPU utilisation"
    families = load_families(valid)
    shown = largest(families, _MAX_PANELS)
    metrics = [m for m in _LOOKS if any(finite(c, m) is not None for c in valid)]
    figure = new_figure(
        f"{model_name(report.run)}: how busy the GPU was",
        provenance_line(report.run),
        width_in=max(7.5, 2.9 + 3.6 * len(shown)),
        height_in=4.9,
    )
    width = figure.get_figwidth()
    grid = figure.subplots(1, len(shown), squeeze=False)
    figure.subplots_adjust(
        left=0.65 / width, right=1 - 2.0 / width, top=0.76, bottom=0.12, wspace=0.22
    )
    for axes, name in zip(grid[0], shown, strict=True):
        wait, line = next(iter(by_wait(families[name]).items()))
        _draw_panel(axes, line, metrics)
        axes.set_title(f"{name}\nwait {wait_label(wait)}", loc="left", fontsize=9.5)
    handles = [
        legend_mark(
            metric_of(m).label,
            color=_LOOKS[m][0],
            linestyle=_LOOKS[m][1],
            marker=_LOOKS[m][2],
            ms=5,
            lw=1.6,
        )
        for m in metrics
    ]
    side_legend(grid[0][-1], handles)
    return figure


def _draw_panel(axes: Axes, line: Sequence[Configuration], metrics: Sequence[str]) -> None:
    sizes = batch_sizes(line)
    category_axis(axes, [str(size) for size in sizes])
    for metric in metrics:
        colour, style, marker = _LOOKS[metric]
        pairs = [(sizes.index(c.settings.max_batch_size), finite(c, metric)) for c in line]
        xs = [x for x, y in pairs if y is not None]
        ys = [y for _, y in pairs if y is not None]
        axes.plot(xs, ys, color=colour, linestyle=style, marker=marker, ms=5, lw=1.6)
    plain_linear_axis(axes, "y", 0, 105)
    axes.set_xlabel("max batch size")
    axes.set_ylabel("%")
