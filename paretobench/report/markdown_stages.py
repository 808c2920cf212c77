"""What is said of the stages of a sweep: the frontier measured again, the precision reached."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.precision import half_width_of, too_wide
from paretobench.core.points import Settings
from paretobench.report.manifest import scenario, section, wanted_precision
from paretobench.report.model import Report
from paretobench.report.settings_text import configuration_label
from paretobench.report.text import joined, markdown, number, plural, short_label


def run_label(settings: Settings, *, several: bool) -> str:
    """Return what tells a run from the others of its configuration, empty where it is the one."""
    again = ", measured again" if settings.stage == "confirm" else ""
    return f"{again}{f', repeat {settings.repeat}' if several else ''}"


def confirmation_text(report: Report) -> str:
    """Return how many configurations were measured again and what that changed; empty for none."""
    found = report.confirmation
    if not found.num_configurations:
        return ""
    parts = [
        f"{ratio:.3f}× these in {short_label(metric)}"
        for metric, ratio in (
            (report.throughput, found.throughput_ratio),
            (report.latency, found.latency_ratio),
        )
        if ratio is not None
    ]
    first = f"; the first had been, in the median, {joined(parts)}" if parts else ""
    whose, was = ("its", "was") if found.num_configurations == 1 else ("their", "were")
    chosen = " or that a goal chose" if report.operating_points else ""
    return (
        f"{plural(found.num_configurations, 'configuration')} that stood on the frontier{chosen} "
        f"{was} measured again with fresh seeds, and {whose} figures are the new ones{first}"
    )


def stage_caveats(report: Report) -> list[str]:
    """Return what of the frontier was not measured again, and what is not precise enough."""
    return [*_unconfirmed(report), *_imprecise(report)]


def _unconfirmed(report: Report) -> list[str]:
    left = [c for c in report.frontier if not c.is_confirmed]
    if not left:
        return []
    if section(scenario(report.run), "measure").get("confirm"):
        why = "the frontier still moved when the last of them was measured again, or the run ended"
    else:
        why = "`measure.confirm` is off"
    return [
        f"{len(left)} of {plural(len(report.frontier), 'frontier configuration')} not measured "
        f"again ({why}): chosen as the best of noisy figures, theirs flatter."
    ]


def imprecise_text(report: Report) -> str:
    """Return how many of the frontier are less precise than asked, and the worst; else empty."""
    lacking = [c for c in report.frontier if c.precision == "imprecise"]
    if not lacking:
        return ""
    return f"{len(lacking)} of {len(report.frontier)} imprecise ({_worst(report, lacking)})"


def _imprecise(report: Report) -> list[str]:
    judged = [c for c in report.configurations if c.precision is not None]
    lacking = [c for c in judged if c.precision == "imprecise"]
    if not lacking:
        return []
    of_front = sum(c.precision == "imprecise" for c in report.frontier)
    return [
        f"{len(lacking)} of {plural(len(judged), 'valid configuration')} imprecise, {of_front} of "
        f"them on the frontier: `measure.precision` was not met before `max_repeats` or `budget_s` "
        f"ended the repeats ({markdown(_worst(report, lacking))}). Column `precision` of "
        "[frontier.csv](frontier.csv)."
    ]


def _worst(report: Report, lacking: Sequence[Configuration]) -> str:
    """Return the widest interval of each figure that was asked for, against what was asked."""
    wanted = wanted_precision(report.run)
    parts = []
    for figure, most in wanted.items():
        wide = [c for c in lacking if figure in too_wide(c, wanted)]
        if not wide:
            continue
        worst = max(wide, key=lambda c: half_width_of(c, figure))
        parts.append(
            f"{short_label(figure)} ± {number(100 * half_width_of(worst, figure))}% in "
            f"{configuration_label(worst.settings, report.varied)}, asked ± {number(100 * most)}%"
        )
    return "; ".join(parts)
