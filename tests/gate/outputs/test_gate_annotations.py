"""Annotations: as GitHub's runner reads them, the most severe first, at most ten of a kind."""

import re

import pytest

from paretobench.gate.annotations import command, github_annotations

FEW = {"source": "certified_chat", "pairs": 2}


def as_the_runner_reads(line):
    """Return kind, title and message, unescaped in the order of actions/runner."""
    kind, title, message = re.fullmatch(r"::(\w+) title=([^:,]*)::(.*)", line).groups()
    for text, sign in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        title = title.replace(text, sign)
        if sign not in ":,":
            message = message.replace(text, sign)
    return kind, title, message


@pytest.mark.parametrize("text", ["a: b, c::d", "100%, 50%25", "one\r\ntwo", "::error::x", "%0A"])
def test_what_is_escaped_is_what_the_runner_reads(text):
    assert as_the_runner_reads(command("error", text, text)) == ("error", text, text)


@pytest.mark.parametrize(
    ("outcome", "kind"), [("pass", "notice"), ("regression", "error"), ("inconclusive", "warning")]
)
def test_the_verdict_has_its_kind_and_a_pass_has_no_error(compared, slower, outcome, kind):
    comparison = compared(**FEW, change=slower(1.0), outcome=outcome)
    read = [as_the_runner_reads(line) for line in github_annotations(comparison)]
    verdict = {"pass": "No regression", "regression": "Regression", "inconclusive": "Inconclusive"}
    (found,) = [k for k, title, _ in read if title.startswith(f"{verdict[outcome]}:")]
    assert found == kind
    assert (outcome == "regression") == ("error" in {k for k, _, _ in read})
    assert any("no longer meets" in message for _, _, message in read)


def test_of_many_the_worst_stand_and_the_last_counts_the_others(compared, with_labels, slower):
    comparison = with_labels(
        compared(**FEW, change=slower(0.5), noise=0.0005, outcome="regression"),
        "batch: 1,\n2 ", times=30,
    )  # fmt: skip
    num_regressed = sum(c.is_regression for c in comparison.decision.configurations)
    assert num_regressed >= 30
    lines = github_annotations(comparison)
    assert all("\n" not in line for line in lines)
    errors = [as_the_runner_reads(line) for line in lines if line.startswith("::error")]
    assert len(errors) == 10
    assert errors[0][1].startswith("Regression:")
    missed = sum(c.still_meets is False for c in comparison.operating_points)
    assert errors[-1][2].startswith(f"{1 + num_regressed + missed - 9} more findings")
