"""The pictures of a report: each is drawn from points alone, or says why it cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from paretobench.report.figures.adaptive import draw_adaptive
from paretobench.report.figures.canvas import render, render_svg, style
from paretobench.report.figures.frontier import draw_frontier
from paretobench.report.figures.gpu_utilization import draw_gpu_utilization
from paretobench.report.figures.latency_by_class import draw_latency_by_class
from paretobench.report.figures.latency_vs_batch_size import draw_latency_vs_batch_size
from paretobench.report.figures.overlay import draw_overlay
from paretobench.report.figures.queue_vs_compute import draw_queue_vs_compute
from paretobench.report.figures.wait_timeout import draw_wait_timeout
from paretobench.report.model import Report
from paretobench.report.overlay import Overlay

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "Picture", "draw_files", "overlay_files", "svg_name"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure's file name, who draws it, and what it shows in one line."""

    file_name: str
    draw: Callable[[Report], Figure | str | None]
    shows: str


FIGURES: tuple[Picture, ...] = (
    Picture(
        file_name="frontier.png",
        draw=draw_frontier,
        shows="every configuration by throughput and latency, and the frontier",
    ),
    Picture(
        file_name="latency_vs_batch_size.png",
        draw=draw_latency_vs_batch_size,
        shows="p50 and p95 E2E latency, and throughput, against the batch size",
    ),
    Picture(
        file_name="queue_vs_compute.png",
        draw=draw_queue_vs_compute,
        shows="how much of the mean E2E latency is waiting and how much is computing",
    ),
    Picture(
        file_name="wait_timeout.png",
        draw=draw_wait_timeout,
        shows="what each wait timeout did to the batches, the runner's idle time and the latency",
    ),
    Picture(
        file_name="latency_by_class.png",
        draw=draw_latency_by_class,
        shows="p50 and p95 E2E latency of each class, policy against policy at equal load",
    ),
    Picture(
        file_name="adaptive.png",
        draw=draw_adaptive,
        shows="how controllers moved the batch limit, and goodput and p95 by phase",
    ),
    Picture(
        file_name="gpu_utilization.png",
        draw=draw_gpu_utilization,
        shows="GPU utilisation, and SM, tensor and DRAM activity where the device reports them",
    ),
)


def svg_name(png_name: str) -> str:
    """Return the name of the SVG beside a PNG."""
    return str(PurePosixPath(png_name).with_suffix(".svg"))


def draw_files(picture: Picture, report: Report) -> dict[str, bytes] | str | None:
    """Return the figure's files by name, PNG and SVG of one drawing; or as text why it is left
    out, or None: it is not about this run."""
    with style():
        drawn = picture.draw(report)
        if drawn is None or isinstance(drawn, str):
            return drawn
        return rendered(picture.file_name, drawn)


def overlay_files(overlay: Overlay) -> dict[str, bytes]:
    """Return the picture of several runs over one another, PNG and SVG, by file name."""
    with style():
        return rendered("frontier.png", draw_overlay(overlay))


def rendered(png_name: str, figure: Figure) -> dict[str, bytes]:
    """Return a figure as PNG and as SVG, by file name."""
    return {png_name: render(figure), svg_name(png_name): render_svg(figure)}
