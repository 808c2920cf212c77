"""A certificate as `operating_points.yaml` and JSON hold it, and in the words of a table."""

from __future__ import annotations

import math
from typing import Any

from paretobench.analysis.certificates import Certificate, Rival
from paretobench.analysis.configurations import Configuration
from paretobench.analysis.neighbours import Neighbour
from paretobench.analysis.operating_points import Goal, OperatingPoint
from paretobench.analysis.proofs import Proof
from paretobench.core.intervals import Interval
from paretobench.report.deploy_classes import engine_limits, rounded
from paretobench.report.manifest import commit, is_simulated, section, systems
from paretobench.report.model import Report
from paretobench.report.settings_text import configuration_label
from paretobench.report.text import one_line, plural

_OF_SYSTEM = ("model", "dtype", "torch", "cuda", "attention_backend", "linear_backend", "threads")


def certificate_of(report: Report, point: OperatingPoint) -> Certificate | None:
    """Return the certificate of an operating point, None where nothing was chosen."""
    return report.certificates.get(point.goal.name)


def status_text(certificate: Certificate | None) -> str:
    """Return what is shown, in a few words; no certificate: nothing meets the goal.

    >>> status_text(None)
    'not met'
    """
    if certificate is None:
        return "not met"
    if certificate.status == "no_limit":
        return "no limit to keep"
    words = certificate.status.replace("_", " ")
    if certificate.status == "not_shown" and certificate.more_requests is not None:
        words += f", {plural(certificate.more_requests, 'more request')} needed"
    elif certificate.status == "not_shown":
        open_ = [p for p in certificate.proofs if p.status == "not_shown"]
        words += f": {'; '.join(dict.fromkeys(p.reason for p in open_ if not p.more_requests))}"
    return f"{words} (as shown when measured)" if certificate.as_measured else words


def certificate_mapping(report: Report, point: OperatingPoint) -> dict[str, Any]:
    """Return all that a certificate states, in values that YAML and JSON can hold."""
    certificate, chosen = certificate_of(report, point), point.configuration
    if certificate is None or chosen is None:
        return {"status": "not_met", "statement": status_text(None)}
    goal = point.goal
    others: dict[str, Any] = {
        "runner_up": _rival(report, goal, certificate.runner_up),
    }
    if certificate.status == "not_shown":
        others["best_certified"] = _rival(report, goal, certificate.alternative)
    return {
        "status": certificate.status,
        "statement": status_text(certificate),
        **({"as_shown_when_measured": True} if certificate.as_measured else {}),
        "confirmed": chosen.is_confirmed,
        "figures": figures_mapping(stated_figures(report, goal), chosen),
        "constraints": {proof.metric: proof_mapping(proof) for proof in certificate.proofs},
        **others,
        "neighbours": [_neighbour(goal, chosen, n) for n in certificate.neighbours],
        "environment": environment(report, chosen.settings.variant),
    }


def stated_figures(report: Report, goal: Goal) -> list[str]:
    """Return the figures that a certificate states: the axes, the objective, the constraints."""
    return list(
        dict.fromkeys((report.throughput, report.latency, goal.objective, *goal.subject_to))
    )


def figures_mapping(
    names: list[str], configuration: Configuration
) -> dict[str, dict[str, float | str | None]]:
    """Return each figure with its two-sided 95% interval; null where it has none."""
    return {
        name: _with_interval(configuration.figures.get(name), configuration.intervals.get(name))
        for name in names
    }


def proof_mapping(proof: Proof) -> dict[str, Any]:
    """Return what is shown of a constraint; each bound is a one-sided 95% bound, null where that
    side is unbounded."""
    return {
        "status": proof.status,
        "limit": proof.limit,
        "value": rounded(proof.value),
        "lower_bound": _finite(proof.low),
        "upper_bound": _finite(proof.high),
        "bound_margin_share": _finite(proof.margin_share),
        "method": proof.method,
        "num_requests": proof.num_requests,
        "effective_requests": rounded(proof.effective_requests),
        "more_requests": proof.more_requests,
        **({"reason": proof.reason} if proof.reason else {}),
    }


def environment(report: Report, variant: str | None) -> dict[str, Any]:
    """Return where a variant was measured and with what; what the manifest lacks is left out."""
    run = report.run
    of_variant = systems(run).get(variant) or next(iter(systems(run).values()))
    gpus = section(run.manifest, "provenance").get("gpus") or []
    drivers = dict.fromkeys(str(gpu["driver"]) for gpu in gpus if gpu.get("driver"))
    host = section(run.manifest, "provenance", "host")
    device = of_variant.get("device_name") or of_variant.get("device")
    facts = {
        "device": device,
        **{name: of_variant.get(name) for name in _OF_SYSTEM},
        "driver": ", ".join(drivers) or None,
        "cpu": None if host.get("cpu") == device else host.get("cpu"),
        "paretobench": run.manifest.get("paretobench_version"),
        "commit": commit(run),
        "simulated": True if is_simulated(run) else None,
    }
    return {
        name: one_line(value, limit=120) if isinstance(value, str) else value
        for name, value in facts.items()
        if value is not None
    }


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else rounded(value)


def _with_interval(value: float | None, interval: Interval | None) -> dict[str, float | str | None]:
    return {
        "value": rounded(value),
        "low": None if interval is None else rounded(interval.low),
        "high": None if interval is None else rounded(interval.high),
        "method": None if interval is None else interval.method,
    }


def _rival(report: Report, goal: Goal, rival: Rival | None) -> dict[str, Any] | None:
    if rival is None:
        return None
    settings = rival.configuration.settings
    return {
        "configuration": configuration_label(settings, report.varied),
        **engine_limits(settings),
        "figures": _values(goal, rival.configuration),
        "status": rival.status,
        "configuration_id": settings.configuration_id,
    }


def _neighbour(goal: Goal, chosen: Configuration, neighbour: Neighbour) -> dict[str, Any]:
    """Return what a step would give, and as a share of the chosen one's figures what it changes."""
    there = neighbour.configuration
    entry: dict[str, Any] = {
        "setting": neighbour.setting,
        "step": neighbour.step,
        "value": neighbour.value,
    }
    if not there.is_valid:
        return {**entry, "verdict": there.verdict, "reason": one_line(there.reason, limit=200)}
    return {
        **entry,
        "figures": _values(goal, there),
        "change_shares": {
            name: rounded(_change(chosen.figures.get(name), there.figures.get(name)))
            for name in (goal.objective, *goal.subject_to)
        },
    }


def _values(goal: Goal, configuration: Configuration) -> dict[str, float | None]:
    return {
        name: rounded(configuration.figures.get(name))
        for name in dict.fromkeys((goal.objective, *goal.subject_to))
    }


def _change(before: float | None, after: float | None) -> float | None:
    return None if not before or after is None else after / before - 1
