"""A comparison as JUnit XML.

A suite has a failure or an error exactly where the exit code is not 0. A regression is a failure.
An inconclusive frontier is an error, which JUnit means for a test that came to no result: skipped
cases are shown as green by most CI systems, and a comparison that decided nothing must not be.
What decides nothing by itself (a configuration that too few runs allow no test of, or that stands
in one run alone) is skipped, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from paretobench.gate.headline import headline
from paretobench.gate.lost import judge_lost
from paretobench.gate.text import (
    before_after_text,
    cost_text,
    evidence_text,
    goal_name,
    loss_text,
    measure_label,
    meets_text,
    p_text,
    side_names,
    signed_loss,
    thresholds_text,
)
from paretobench.gate.values import (
    MEASURES,
    Comparison,
    ConfigurationLoss,
    OperatingPointChange,
)
from paretobench.report.text import one_line, with_unit

_SUITE = "paretobench compare"
_NAME = 200  # characters
_TEXT = 1000
_TAGS = ("failure", "error", "skipped")


def junit_xml(comparison: Comparison) -> bytes:
    """Return a test suite with a case for the frontier, each configuration and operating point.

    UTF-8. Names hold no figures, so that CI systems know a case again; configurations that were
    lost or stand in one run alone have a case each. Characters that XML does not allow become
    spaces.
    """
    suite = ElementTree.Element("testsuite")
    cases = [
        _frontier_case(comparison),
        *(
            _configuration_case(comparison, found)
            for found in comparison.decision.configurations
            if found.match.is_gating or found.is_regression
        ),
        *_lost_cases(comparison),
        *_unmatched_cases(comparison),
        *(_operating_point_case(comparison, c) for c in comparison.operating_points),
    ]
    before, after = side_names(comparison)
    suite.set("name", _clean(f"{_SUITE}: {before} → {after}"))
    suite.set("tests", str(len(cases)))
    for tag, plural in zip(_TAGS, ("failures", "errors", "skipped"), strict=True):
        suite.set(plural, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("time", "0")
    suite.append(_properties(comparison))
    suite.extend(cases)
    ElementTree.indent(suite)
    content: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return content + b"\n"


def _properties(comparison: Comparison) -> ElementTree.Element:
    decision = comparison.decision
    values = {
        "baseline": str(comparison.baseline.path),
        "candidate": str(comparison.candidate.path),
        "outcome": decision.outcome,
        "advisory": "yes" if decision.is_advisory else "no",
        "evidence": evidence_text(decision),
        "thresholds": thresholds_text(decision),
    }
    element = ElementTree.Element("properties")
    for name, value in values.items():
        ElementTree.SubElement(element, "property", name=name, value=_clean(value))
    return element


def _frontier_case(comparison: Comparison) -> ElementTree.Element:
    decision, report = comparison.decision, comparison.baseline.report
    said = headline(comparison)
    lines = [decision.reason, thresholds_text(decision)]
    lines += [
        f"{measure_label(report, m)}: {loss_text(decision.by_measure[m])}"
        for m in MEASURES
        if m in decision.by_measure
    ]
    lines += [*decision.notes, *comparison.warnings]
    if decision.outcome == "pass":
        return _case("frontier", "the frontier did not get worse", out=[said, *lines])
    tag = "failure" if decision.outcome == "regression" else "error"
    return _case(
        "frontier", "the frontier did not get worse",
        tag=tag, kind=decision.outcome, message=said, out=[said, *lines],
    )  # fmt: skip


def _configuration_case(comparison: Comparison, found: ConfigurationLoss) -> ElementTree.Element:
    report = comparison.baseline.report
    lines = [
        f"{measure_label(report, m)}: {before_after_text(report, found.match, m)}, loss "
        f"{signed_loss(found.losses.get(m))}, Holm p {p_text(found.p_values.get(m))}"
        for m in MEASURES
    ]
    label = found.match.label
    if found.is_regression and comparison.decision.outcome == "regression":
        return _case(
            "configuration", label,
            tag="failure", kind="regression", message="; ".join(lines), out=lines,
        )  # fmt: skip
    if all(p is None for p in found.p_values.values()):
        why = f"too few runs to test one configuration; {'; '.join(lines)}"
        return _case("configuration", label, tag="skipped", message=why, out=lines)
    return _case("configuration", label, out=lines)


def _lost_cases(comparison: Comparison) -> list[ElementTree.Element]:
    decision = comparison.decision
    cases = []
    for lost in decision.lost:
        why = f"valid in the baseline, now {lost.verdict.replace('_', ' ')}: {lost.reason}"
        decides = judge_lost([lost], is_advisory=decision.is_advisory).regressions
        if decision.outcome == "regression" and decides:
            case = _case("lost", lost.label, tag="failure", kind="lost", message=why)
        else:
            case = _case("lost", lost.label, tag="skipped", message=why)
        cases.append(case)
    return cases


def _unmatched_cases(comparison: Comparison) -> list[ElementTree.Element]:
    # a load whose rate changed stands in either side under one label
    return [
        _case(
            f"unmatched.{found.side or 'both'}",
            found.label, tag="skipped", message=f"left out: {found.why}",
        )
        for found in comparison.unmatched
    ]  # fmt: skip


def _operating_point_case(
    comparison: Comparison, change: OperatingPointChange
) -> ElementTree.Element:
    now = change.best_now
    best = "none" if now is None else with_unit(change.objective, now.figures[change.objective])
    lines = [
        f"limits: {change.limits or 'none'}; still meets them: {meets_text(change)}",
        f"best now: {best}; costs: {cost_text(change)}",
        *([change.note] if change.note else []),
    ]
    name = goal_name(comparison, change)
    is_lost = change.still_meets is False or (change.before is not None and now is None)
    if change.before is None:
        why = change.note or "not met in the baseline"
        return _case("operating_point", name, tag="skipped", message=why, out=lines)
    if not is_lost:
        return _case("operating_point", name, out=lines)
    nothing = "; nothing else meets it" if now is None else ""
    why = f"no longer meets {change.limits or 'its objective'}{nothing}"
    if comparison.decision.outcome == "regression":
        return _case("operating_point", name, tag="failure", kind="sla", message=why, out=lines)
    why += "; an operating point does not decide"
    return _case("operating_point", name, tag="skipped", message=why, out=lines)


def _case(
    of: str,
    name: str,
    *,
    tag: str | None = None,
    kind: str | None = None,
    message: str = "",
    out: Sequence[str] = (),
) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        classname=f"paretobench.{of}",
        name=_clean(name, limit=_NAME) or "unnamed",
        time="0",
    )
    if tag is not None:
        about = {"message": _clean(message, limit=_TEXT)} | ({} if kind is None else {"type": kind})
        found = ElementTree.SubElement(case, tag, about)
        if tag != "skipped":
            found.text = _joined(out) or _clean(message, limit=_TEXT)
    if out and tag in (None, "skipped"):
        ElementTree.SubElement(case, "system-out").text = _joined(out)
    return case


def _joined(lines: Sequence[str]) -> str:
    return "\n".join(_clean(line, limit=_TEXT) for line in lines)


def _clean(text: str, *, limit: int | None = None) -> str:
    # what is not printable, XML's forbidden characters among it, becomes a space
    return one_line(text, limit=limit)
