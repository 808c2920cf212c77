"""A comparison as JUnit XML: well-formed, counted right, and red exactly where the exit code is."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from paretobench.gate.junit import junit_xml
from paretobench.gate.values import Unmatched

FEW = {"source": "certified_chat", "pairs": 2}
HOSTILE = "]]> \"quoted\" & <tag> 'x' \x00\x07\x1b[31m\ud800\ufffe\nnew"


def parsed(comparison):
    suite = ElementTree.fromstring(junit_xml(comparison))
    assert suite.tag == "testsuite"
    cases = suite.findall("testcase")
    assert {child.tag for child in suite} == {"properties", "testcase"}
    assert int(suite.get("tests")) == len(cases)
    for tag, name in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
        assert int(suite.get(name)) == sum(case.find(tag) is not None for case in cases)
    assert all(case.get("name") and case.get("classname") and case.get("time") for case in cases)
    assert all(len(case.findall("*")) <= 2 for case in cases)
    return suite, cases


@pytest.mark.parametrize(
    ("outcome", "red"), [("pass", None), ("regression", "failure"), ("inconclusive", "error")]
)
def test_the_frontier_is_red_exactly_where_the_comparison_does_not_pass(
    compared, slower, outcome, red
):
    # twice as slow: configurations regressed and the SLA is missed, whatever is decided
    comparison = compared(**FEW, change=slower(1.0), outcome=outcome)
    _, cases = parsed(comparison)
    frontier = cases[0]
    assert frontier.get("classname") == "paretobench.frontier"
    assert [child.tag for child in frontier if child.tag != "system-out"] == ([red] if red else [])
    found = {tag for tag in ("failure", "error") for case in cases if case.find(tag) is not None}
    assert found == ({red} if red else set())


def test_each_configuration_and_operating_point_has_a_case_with_its_figures(compared, slower):
    comparison = compared(**FEW, change=slower(1.0), noise=0.0005, outcome="regression")
    _, cases = parsed(comparison)
    by_class = {}
    for case in cases:
        by_class.setdefault(case.get("classname").removeprefix("paretobench."), []).append(case)
    labels = [c.match.label for c in comparison.decision.configurations]
    assert [case.get("name") for case in by_class["configuration"]] == labels
    assert all(c.is_regression for c in comparison.decision.configurations)
    assert all("+100%" in c.find("failure").text for c in by_class["configuration"])
    (chat,) = by_class["operating_point"]
    assert (chat.get("name"), chat.find("failure").get("type")) == ("chat", "sla")


def test_one_run_each_tests_no_configuration_and_says_so(compared):
    _, cases = parsed(compared(source="certified_chat", pairs=1, outcome="pass"))
    skipped = [c.find("skipped") for c in cases if c.get("classname").endswith(".configuration")]
    assert skipped
    assert all("too few runs" in found.get("message") for found in skipped)


def test_who_was_lost_fails_a_regression_and_who_stands_in_one_run_is_skipped(compared):
    def change(point):
        if point.settings.fraction_of_capacity == 0.3:
            return None
        if point.settings.fraction_of_capacity == 0.7:
            return replace(point, verdict="overloaded", reason="waits rose throughout")
        return point

    _, cases = parsed(compared(**FEW, change=change, outcome="regression"))
    tags = {case.get("classname"): case[0].tag for case in cases}
    assert tags["paretobench.lost"] == "failure"
    assert tags["paretobench.unmatched.baseline"] == "skipped"


def test_one_label_that_stands_alone_on_either_side_makes_two_cases(compared):
    comparison = compared(**FEW)
    alone = [Unmatched(side=s, label="poisson 70%", why="rate") for s in ("baseline", "candidate")]
    _, cases = parsed(replace(comparison, unmatched=tuple(alone)))
    assert len({(case.get("classname"), case.get("name")) for case in cases}) == len(cases)


def test_no_character_of_a_label_can_break_the_file(compared, with_labels):
    suite, cases = parsed(with_labels(compared(**FEW, outcome="regression"), HOSTILE))
    clean = "]]> \"quoted\" & <tag> 'x' [31m new"
    assert clean in [case.get("name") for case in cases]
    assert any(clean in (found.text or "") for found in suite.iter("failure"))
