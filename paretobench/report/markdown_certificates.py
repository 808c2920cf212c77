"""The part of `report.md` that says of each operating point what was shown."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.analysis.certificates import Certificate, Rival
from paretobench.analysis.configurations import Configuration
from paretobench.analysis.neighbours import Neighbour
from paretobench.analysis.operating_points import Goal, OperatingPoint
from paretobench.analysis.proofs import Proof
from paretobench.core.metrics import metric_of, split_name
from paretobench.report.certificates import (
    certificate_of,
    environment,
    stated_figures,
    status_text,
)
from paretobench.report.markdown_table import table
from paretobench.report.model import Report
from paretobench.report.settings_text import configuration_label
from paretobench.report.text import (
    MISSING,
    markdown,
    one_line,
    short_label,
    wait_label,
    with_article,
    with_unit,
)

_METHODS = {
    "order_statistic": "order statistic",
    "clopper_pearson": "Clopper–Pearson",
    "t_over_runs": "t-interval over runs",
    "jackknife_over_runs": "jackknife over runs",
    "block_within_run": "blocks within one run",
    "none": "none",
}


def certificate_sections(report: Report) -> list[str]:
    """Return the section, empty where nothing was chosen."""
    chosen = [
        (point, point.configuration, certificate)
        for point in report.operating_points
        if (certificate := certificate_of(report, point)) and point.configuration
    ]
    if not chosen:
        return []
    lines = [
        "## Certificates",
        "",
        "A point is certified when the 95% bound of every constraint's figure keeps to its limit, "
        "not only the figure. Requests that wait together count as fewer: the effective ones.",
        "",
    ]
    for point, configuration, certificate in chosen:
        lines += _of_point(report, point, configuration, certificate)
    return lines


def _of_point(
    report: Report, point: OperatingPoint, chosen: Configuration, certificate: Certificate
) -> list[str]:
    goal = point.goal
    label = configuration_label(chosen.settings, report.varied)
    again = (
        "measured again with fresh seeds"
        if chosen.is_confirmed
        else "not measured again (these figures chose it)"
    )
    lines = [
        f"### {markdown(goal.name)}: {markdown(status_text(certificate))}",
        "",
        f"{markdown(label)}, {again}: "
        f"{markdown(_figures_text(stated_figures(report, goal), chosen))}.",
        "",
    ]
    if certificate.proofs:
        lines += [*_proof_table(certificate.proofs), ""]
    lines += [f"- Runner-up: {_rival_text(report, goal, certificate.runner_up)}."]
    if certificate.status == "not_shown":
        best = _rival_text(report, goal, certificate.alternative)
        lines.append(f"- Best certified: {best}.")
    lines += [f"- {_neighbour_text(goal, n)}." for n in certificate.neighbours]
    facts = environment(report, chosen.settings.variant)
    measured = "; ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts.items())
    return [*lines, f"- Measured with: {markdown(measured)}.", ""]


def _figures_text(names: Sequence[str], configuration: Configuration) -> str:
    parts = []
    for name in names:
        text = f"{short_label(name)} {with_unit(name, configuration.figures.get(name))}"
        interval = configuration.intervals.get(name)
        if interval is not None:
            text += f" ({with_unit(name, interval.low)} to {with_unit(name, interval.high)})"
        parts.append(text)
    return "; ".join(parts)


def _proof_table(proofs: Sequence[Proof]) -> list[str]:
    header = ["constraint", "measured", "95% bound", "room", "by", "requests", "effective", "shown"]
    return table(header, [_proof_row(proof) for proof in proofs], num_left=len(header))


def _proof_row(proof: Proof) -> list[str]:
    name = proof.metric
    sign = "≥" if metric_of(name).better == "higher" else "≤"
    share, effective = proof.margin_share, proof.effective_requests
    return [
        f"{short_label(name)} {sign} {with_unit(name, proof.limit)}",
        with_unit(name, proof.value),
        with_unit(name, proof.bound),
        MISSING if share is None else f"{share:.1%}",
        _METHODS[proof.method],
        MISSING if proof.num_requests is None else f"{proof.num_requests:,}",
        MISSING if effective is None else f"{effective:,.0f}",
        f"{proof.status.replace('_', ' ')}{f': {proof.reason}' if proof.reason else ''}",
    ]


def _rival_text(report: Report, goal: Goal, rival: Rival | None) -> str:
    if rival is None:
        return "none"
    label = configuration_label(rival.configuration.settings, report.varied)
    values = _values_text(goal, rival.configuration)
    shown = "" if rival.status == "no_limit" else f" ({rival.status.replace('_', ' ')})"
    return markdown(f"{label}: {values}{shown}")


def _neighbour_text(goal: Goal, neighbour: Neighbour) -> str:
    of_class, setting = split_name(neighbour.setting)
    value = f"{neighbour.value:g}" if setting == "max_batch_size" else wait_label(neighbour.value)
    what = "batch" if setting == "max_batch_size" else "wait"
    whose = "" if of_class is None else f"{of_class} "
    there = neighbour.configuration
    if there.is_valid:
        gives = _values_text(goal, there)
    else:
        gives = f"{with_article(there.verdict.replace('_', ' '))} trial"
        gives += f" ({one_line(there.reason, limit=200)})" if there.reason else ""
    return markdown(f"A step {neighbour.step} in {whose}{what}, to {value}: {gives}")


def _values_text(goal: Goal, configuration: Configuration) -> str:
    names = dict.fromkeys((goal.objective, *goal.subject_to))
    return "; ".join(
        f"{short_label(name)} {with_unit(name, configuration.figures.get(name))}" for name in names
    )
