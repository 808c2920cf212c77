"""The page itself: one file that asks for nothing else, and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import pkgutil
from collections.abc import Sequence
from functools import cache
from html import escape
from importlib.resources import files
from string import Template

from paretobench.report.certificates import certificate_of, status_text
from paretobench.report.figures.frontier_title import frontier_title
from paretobench.report.html.document import page_document
from paretobench.report.html.packing import deflated, packed
from paretobench.report.manifest import is_simulated, provenance_line
from paretobench.report.markdown_damage import damage_text
from paretobench.report.markdown_limits import beyond_text
from paretobench.report.model import Report
from paretobench.report.terminal import deploy_text, empty_frontier, expect_text, margin_text
from paretobench.report.text import joined, one_line, plural

# in this order they make one script
_SCRIPTS = ("numbers", "choices", "state", "looks", "plot", "details", "goals", "tables", "page")

_MOST_NAMED = 3  # damaged trials, before the reader asks


def report_html(reports: Sequence[Report], names: Sequence[str]) -> bytes:
    """Return `report.html` of one run, or of several overlaid under their `names`.

    It opens from disk, asks for nothing over the network and forbids the browser to. Equal data
    give equal bytes.
    """
    assert reports, "a page is of at least one run"
    assert len(reports) == len(names)  # one each
    script = _script()
    plotly, plotly_hash = _plotly()
    return (
        Template(_asset("page.html"))
        .substitute(
            policy=_policy(plotly_hash, _hash(script)),
            title=escape(_title(reports, names)),
            style=_asset("page.css"),
            head="\n".join(
                _header(report, name if len(reports) > 1 else "")
                for report, name in zip(reports, names, strict=True)
            ),
            data=packed(page_document(reports, names)),
            plotly=plotly,
            script=script,
        )
        .encode("utf-8")
    )


def _title(reports: Sequence[Report], names: Sequence[str]) -> str:
    if len(reports) == 1:
        return one_line(frontier_title(reports[0]))
    return f"{plural(len(reports), 'run')} overlaid: {joined([one_line(n) for n in names])}"


def _header(report: Report, name: str) -> str:
    """Return what a run is, what to doubt in it and where to run, as HTML that needs no script."""
    run = report.run
    lines = [f"<h2>{escape(one_line(name))}: {escape(frontier_title(report))}</h2>" if name else ""]
    badge = '<strong class="badge">SIMULATED</strong> ' if is_simulated(run) else ""
    provenance = provenance_line(run).removeprefix("SIMULATED · ")
    lines.append(f'<p class="provenance">{badge}{escape(provenance)}</p>')
    lines.append(f'<p class="provenance">{escape(_counts(report))}</p>')
    warnings = [_unfinished(report), beyond_text(report)]
    lines += [f'<p class="warning">{escape(one_line(w))}</p>' for w in warnings if w]
    lines.append(_damage(report))
    if not report.frontier:
        lines.append(f'<p class="warning">No frontier: {escape(empty_frontier(report))}.</p>')
    answers = [_answer(report, i) for i in range(len(report.operating_points))]
    lines.append(f'<ul class="answers">{"".join(answers)}</ul>' if answers else "")
    return "\n".join(line for line in lines if line)


def _counts(report: Report) -> str:
    verdicts = [f"{count:,} {v.replace('_', ' ')}" for v, count in report.verdicts.items()]
    trials = plural(len(report.points), "trial")
    return (
        f"{trials} of {plural(len(report.configurations), 'configuration')}"
        f"{': ' if verdicts else ''}{', '.join(verdicts)}"
    )


def _unfinished(report: Report) -> str | None:
    state = report.run.manifest.get("state")
    if state == "complete":
        return None
    return f"The run is {state or 'in an unknown state'}: the frontier may still move."


def _damage(report: Report) -> str:
    """Return which trials are left out for damage, folded where they are many; empty for none."""
    said = damage_text(report)
    if said is None:
        return ""
    names = "".join(f"<li>{escape(one_line(damage))}</li>" for damage in report.damaged)
    is_open = " open" if len(report.damaged) <= _MOST_NAMED else ""
    return (
        f'<details class="warning"{is_open}><summary>{escape(said)}. The figures are those of the '
        f"rest.</summary><ul>{names}</ul></details>"
    )


def _answer(report: Report, place: int) -> str:
    point = report.operating_points[place]
    certificate = certificate_of(report, point)
    status = certificate.status if certificate else "not_met"
    expected = "" if point.configuration is None else f": {expect_text(point)}"
    room = f", {margin_text(point)}" if point.configuration is not None and point.margins else ""
    words = f"{one_line(deploy_text(report, point))}{expected}{room}"
    return (
        f"<li><strong>{escape(one_line(point.goal.name))}</strong> {escape(words)} "
        f'<span class="status {status}">{escape(status_text(certificate))}</span></li>'
    )


def _policy(*hashes: str) -> str:
    """Return the Content-Security-Policy: these scripts alone, and no network at all."""
    return (
        f"default-src 'none'; script-src {' '.join(hashes)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _hash(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


@cache
def _plotly() -> tuple[str, str]:
    """Return plotly's script, deflated from 4.8 MB to 2.0 MB, and the hash of it in plain."""
    content = pkgutil.get_data("plotly", "package_data/plotly.min.js")
    assert content is not None  # plotly is a dependency, and ships it
    script = content.decode("utf-8")
    return deflated(script), _hash(script)


def _script() -> str:
    parts = [_asset(f"{name}.js") for name in _SCRIPTS]
    return "\n".join(['"use strict";', "(() => {", *parts, "})();"])


def _asset(name: str) -> str:
    return (files(__package__) / "assets" / name).read_text(encoding="utf-8")
