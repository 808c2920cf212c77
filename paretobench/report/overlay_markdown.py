"""`report.md` of several runs over one another: what they say, and in what they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paretobench.analysis.operating_points import OperatingPoint
from paretobench.report.certificates import certificate_of, status_text
from paretobench.report.deploy import reason_of
from paretobench.report.manifest import provenance_line
from paretobench.report.markdown import frontier_lines
from paretobench.report.markdown_damage import damage_lines
from paretobench.report.markdown_shift import shift_lines
from paretobench.report.markdown_table import table
from paretobench.report.model import Report
from paretobench.report.overlay import Overlay
from paretobench.report.overlay_differences import Difference, differences
from paretobench.report.overlay_message import message
from paretobench.report.terminal import deploy_text, expect_text, margin_text
from paretobench.report.text import joined, markdown, number, plural, with_unit

_CAUTIONS = {
    "device": "They were measured on different devices",
    "measured or simulated": "Some were measured and some simulated",
    "model": "They ran different models",
    "workload": "They served different workloads",
    "loads": "They were measured under different loads",
    "policy": "They batched by different policies",
}


def overlay_markdown(overlay: Overlay, links: Mapping[str, str]) -> bytes:
    """Return `report.md` of an overlay; `links` has each run's folder by its name, as seen from
    the overlay's."""
    apart = differences(overlay)
    lines = [f"# {markdown(joined(overlay.names))}", "", f"**{markdown(message(overlay))}.**"]
    lines += _caution_lines(apart)
    lines += _damage_lines(overlay)
    lines += ["", "![The frontiers of all runs, over one another](frontier.png)", ""]
    lines += ["## What was compared", "", *_run_lines(overlay, links), ""]
    lines += ["## In what they differ", "", *_difference_lines(overlay, apart), ""]
    lines += ["## Shift between curves", "", *_shift_section(overlay), ""]
    lines += ["## Operating points", "", *_operating_point_lines(overlay), ""]
    lines += ["## Frontiers", "", *_frontier_sections(overlay)]
    return ("\n".join(lines).rstrip() + "\n").encode("utf-8")


def _caution_lines(apart: Sequence[Difference]) -> list[str]:
    """Return what a reader must know before taking the distance between curves for an effect."""
    found = {difference.what for difference in apart}
    said = [text for what, text in _CAUTIONS.items() if what in found]
    if not said:
        return []
    return ["", f"{'. '.join(said)}: how far the curves lie apart may be owed to that alone."]


def _damage_lines(overlay: Overlay) -> list[str]:
    """Return which trials of which run are left out for damage; empty where none is."""
    lines: list[str] = []
    for name, report in zip(overlay.names, overlay.reports, strict=True):
        said = damage_lines(report)
        lines += ["", f"In {markdown(name)}:", "", *said[:-1]] if said else []
    return lines


def _run_lines(overlay: Overlay, links: Mapping[str, str]) -> list[str]:
    rows = [
        [
            name,
            provenance_line(report.run),
            str(report.run.manifest.get("finished_at") or number(None)),
            f"{plural(len(report.points), 'trial')}: "
            + (", ".join(f"{n} {v.replace('_', ' ')}" for v, n in report.verdicts.items()) or "—"),
            _extent(report),
        ]
        for name, report in zip(overlay.names, overlay.reports, strict=True)
    ]
    header = ["run", "system", "finished", "trials", "frontier"]
    reports = [f"[{markdown(name)}](<{links[name]}/report.md>)" for name in overlay.names]
    return [
        *table(header, rows, num_left=len(header)),
        "",
        f"Each run's own report: {joined(reports)}. All trials: [points.csv](points.csv); all "
        "frontiers: [frontier.csv](frontier.csv); the picture as SVG: "
        "[frontier.svg](frontier.svg).",
    ]


def _extent(report: Report) -> str:
    parts = []
    for front in report.curves.values():
        ends = dict.fromkeys(
            f"{with_unit(report.throughput, c.figures[report.throughput])} at "
            f"{with_unit(report.latency, c.figures[report.latency])}"
            for c in (front[0], front[-1])
        )
        parts.append(" to ".join(ends))
    return "; ".join(parts) or "none: no trial is valid"


def _difference_lines(overlay: Overlay, apart: Sequence[Difference]) -> list[str]:
    if not apart:
        return ["In nothing that their manifests record."]
    header = ["what", *overlay.names]
    return table(header, [[d.what, *d.values] for d in apart], num_left=len(header))


def _shift_section(overlay: Overlay) -> list[str]:
    shifts = overlay.shifts
    if not shifts:
        return ["No run served a workload that the first one served: there is no ratio to give."]
    lines = shift_lines(shifts, named="run", throughput=overlay.throughput, latency=overlay.latency)
    return [
        *lines,
        "",
        "These ratios are of one measurement each and no verdict: whether a frontier has moved by "
        "more than the noise, `paretobench compare` says.",
    ]


def _operating_point_lines(overlay: Overlay) -> list[str]:
    names = dict.fromkeys(
        point.goal.name for report in overlay.reports for point in report.operating_points
    )
    if not names:
        return ["The scenarios name none."]
    rows = [
        [name if i == 0 else "", *_operating_cells(run, report, point)]
        for name in names
        for i, (run, report, point) in enumerate(_chosen(overlay, name))
    ]
    header = ["for", "run", "deploy", "expect", "against its limit (room)", "shown", "why"]
    return table(header, rows, num_left=len(header))


def _chosen(overlay: Overlay, goal: str) -> list[tuple[str, Report, OperatingPoint]]:
    return [
        (name, report, point)
        for name, report in zip(overlay.names, overlay.reports, strict=True)
        for point in report.operating_points
        if point.goal.name == goal
    ]


def _operating_cells(run: str, report: Report, point: OperatingPoint) -> list[str]:
    return [
        run,
        deploy_text(report, point),
        expect_text(point),
        margin_text(point),
        status_text(certificate_of(report, point)),
        reason_of(report, point),
    ]


def _frontier_sections(overlay: Overlay) -> list[str]:
    lines = []
    for name, report in zip(overlay.names, overlay.reports, strict=True):
        lines += [f"### {markdown(name)}", "", *frontier_lines(report), ""]
    return lines
