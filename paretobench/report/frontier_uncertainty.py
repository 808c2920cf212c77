"""How sure the frontier is: who may belong on it, how much it wins, as people and JSON read it."""

from __future__ import annotations

from typing import Any

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.front_uncertainty import Hypervolume
from paretobench.analysis.frontier import curve_of
from paretobench.report.model import Report
from paretobench.report.text import MISSING, number, short_label, unit_of, with_unit

PROBABILITY_TITLE = "on the frontier"
_MAY_BELONG_FROM = 0.05


def probability_of(report: Report, configuration: Configuration) -> float | None:
    """Return the probability of a configuration to be non-dominated, None where it is not known."""
    for found in report.uncertainties:
        if found.curve == curve_of(configuration):
            return found.probability.get(configuration.settings.configuration_id)
    return None


def probability_text(probability: float | None) -> str:
    """Return a probability as people read it: no draw and every draw prove nothing.

    >>> [probability_text(p) for p in (0.0, 0.42, 1.0, None)]
    ['< 1%', '42%', '> 99%', '—']
    """
    if probability is None:
        return MISSING
    if probability < 0.01:
        return "< 1%"
    return f"{probability:.0%}" if probability <= 0.99 else "> 99%"


def is_near(report: Report, configuration: Configuration) -> bool:
    """Return whether a configuration is in the ε-front."""
    wanted = configuration.settings.configuration_id
    return any(
        c.settings.configuration_id == wanted
        for found in report.uncertainties
        for c in found.epsilon_front
    )


def near_frontier(report: Report) -> list[Configuration]:
    """Return who does not stand on the frontier but may belong there, by falling probability.

    That is the rest of the ε-front, and who is non-dominated in at least 5% of the draws.
    """
    front = {c.settings.configuration_id for c in report.frontier}
    near = [
        c
        for c in report.configurations
        if c.settings.configuration_id not in front
        and (is_near(report, c) or (probability_of(report, c) or 0.0) >= _MAY_BELONG_FROM)
    ]
    return sorted(near, key=lambda c: -(probability_of(report, c) or 0.0))


def hypervolume_unit(report: Report, found: Hypervolume) -> str:
    """Return the unit: `tokens/s × ln(10 s / p95 E2E)`."""
    cap = with_unit(report.latency, found.cap)
    return f"{unit_of(report.throughput)} × ln({cap} / {short_label(report.latency)})"


def hypervolume_text(found: Hypervolume) -> str:
    """Return the value, with its interval where that is known: `21,300 (20,100–22,400)`."""
    if found.low is None or found.high is None:
        return number(found.value)
    return f"{number(found.value)} ({number(found.low)}–{number(found.high)})"


def hypervolume_caption(report: Report) -> str:
    """Return each curve's hypervolume on one line, empty where there is none."""
    several = len(report.curves) > 1
    parts, unit = [], ""
    for found in report.uncertainties:
        if found.hypervolume is not None:
            unit = hypervolume_unit(report, found.hypervolume)
            named = " · ".join(part for part in _curve_names(report, found.curve) if part)
            name = f"{named} " if several else ""
            parts.append(f"{name}{hypervolume_text(found.hypervolume)}")
    if not parts:
        return ""
    return (
        f"hypervolume: {'; '.join(parts)} {unit} (larger is better; compare only under the same "
        "cap and workload)"
    )


def uncertainty_documents(report: Report) -> dict[str, Any]:
    """Return what the JSON document says beside the frontier itself.

    `hypervolumes` has an entry a curve; `energy_frontier` names who is non-dominated only with
    tokens per joule as a third objective, None where no curve's energy is known. `probabilities`
    are those of every valid configuration to be non-dominated, by its id.
    """
    by_energy = [found.by_energy for found in report.uncertainties if found.by_energy is not None]
    ids = [c.settings.configuration_id for of_curve in by_energy for c in of_curve]
    return {
        "hypervolumes": [
            {
                "variant": found.curve[0],
                "workload": found.curve[1],
                "value": found.hypervolume.value,
                "low": found.hypervolume.low,
                "high": found.hypervolume.high,
                "unit": hypervolume_unit(report, found.hypervolume),
                "reference": {report.throughput: 0.0, report.latency: found.hypervolume.cap},
            }
            for found in report.uncertainties
            if found.hypervolume is not None
        ],
        "energy_frontier": ids if by_energy else None,
        "probabilities": {
            configuration_id: probability
            for found in report.uncertainties
            for configuration_id, probability in found.probability.items()
        },
    }


def _curve_names(report: Report, curve: tuple[str | None, str]) -> tuple[str, str]:
    variant, workload = curve
    return variant or "", workload if len(report.workloads) > 1 or not variant else ""
