"""The legend of several runs' frontiers."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from paretobench.report.figures import frontier_labels, frontier_uncertainty
from paretobench.report.figures.canvas import INK, MUTED
from paretobench.report.figures.encoding import dot, legend_mark, side_legend
from paretobench.report.manifest import device_name, is_simulated
from paretobench.report.overlay import Overlay
from paretobench.report.overlay_differences import differing
from paretobench.report.text import one_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

    from paretobench.report.figures.overlay import Layer

_WRAP = 27


def add_legend(
    axes: Axes, overlay: Overlay, layers: Sequence[Layer], *, dots: bool, bars: bool, bands: bool
) -> None:
    """Name every curve, with its device where they differ, and explain every mark."""
    handles = [legend_mark("frontier of each run"), *_curves(overlay, layers)]
    handles += _workloads(overlay)
    handles += [legend_mark("marks"), *_marks(layers, dots=dots, bars=bars, bands=bands)]
    side_legend(axes, handles)


def _curves(overlay: Overlay, layers: Sequence[Layer]) -> list[Line2D]:
    apart = differing(overlay)
    handles = []
    for layer in layers:
        series = layer.series
        lines = wrapped(one_line(series.label, limit=3 * _WRAP))
        if "device" in apart and (device := device_name(series.report.run)):
            lines += textwrap.wrap(one_line(device, limit=2 * _WRAP), _WRAP)
        if "measured or simulated" in apart and is_simulated(series.report.run):
            lines.append("SIMULATED")
        if not series.curves:
            lines.append("no valid trial")
        handles.append(
            legend_mark(
                "\n".join(lines), color=layer.colour, linestyle="-", lw=2.2, marker=layer.marker,
                markersize=7, markeredgecolor="white",
            )
        )  # fmt: skip
    return handles


def wrapped(name: str, width: int = _WRAP) -> list[str]:
    """Return a name in lines that end, where they can, at one of its separators.

    >>> wrapped("llama_chat_bfloat16_new-kernels", 20)
    ['llama_chat_bfloat16_', 'new-kernels']
    """
    lines = [""]
    for part in re.findall(r".*?[-_ /·]+|.+$", name):
        if len(lines[-1]) + len(part.rstrip()) > width:
            lines.append("")
        lines[-1] += part
    return [piece for line in lines if line for piece in textwrap.wrap(line, width)]


def _workloads(overlay: Overlay) -> list[Line2D]:
    from paretobench.report.figures.frontier import LINE_STYLES

    if len(overlay.workloads) < 2:
        return []
    return [
        legend_mark("workload"),
        *(
            legend_mark(
                textwrap.fill(one_line(workload, limit=3 * _WRAP), _WRAP),
                color=INK,
                linestyle=LINE_STYLES[index % len(LINE_STYLES)],
                lw=1.5,
            )
            for index, workload in enumerate(overlay.workloads[: len(LINE_STYLES)])
        ),
    ]


def _marks(layers: Sequence[Layer], *, dots: bool, bars: bool, bands: bool) -> list[Line2D]:
    handles = []
    if any(frontier_labels.starred_configurations(layer.series.report) for layer in layers):
        look = {"markerfacecolor": "white", "markeredgecolor": INK}
        handles.append(legend_mark("operating point", marker="*", markersize=13, **look))
    if bars:
        handles.append(legend_mark("numbers: max batch size", marker=""))
    if dots:
        small = dot("valid, off the frontier", "#b3b7bd")
        small.set_markersize(4)
        handles.append(small)
    planes = [layer.plane for layer in layers]
    with_bars = any(
        frontier_uncertainty.has_bars(layer.plane, c) for layer in layers for c in layer.front
    )
    if bars and with_bars:
        handles.append(
            legend_mark("95% intervals", marker="+", markersize=11, color=MUTED, mew=1.3)
        )
    if bands and any(frontier_uncertainty.with_band(plane) for plane in planes):
        handles.append(frontier_uncertainty.band_mark())
    return handles
