"""A comparison as Markdown: the verdict first, nothing in it acts as markup, long lists cut."""

import re
from dataclasses import replace

from paretobench.core.intervals import Interval
from paretobench.gate.markdown import comparison_markdown
from paretobench.gate.values import Difference, Loss

FEW = {"source": "certified_chat", "pairs": 2}  # three configurations: quick to build
HOSTILE = "a|b <script>x</script> **bold** [l](http://x) `c`\n\n# heading\n| x | y |\n```"


def loss(value, low, high):
    return Loss(loss=value, interval=Interval(low=low, high=high, method="t_over_runs"), num_runs=5)


def test_the_verdict_is_the_first_line_with_its_figures_and_then_the_thresholds(compared):
    text = comparison_markdown(
        compared(**FEW, outcome="regression", overall=loss(0.0312, 0.0204, 0.0421))
    )
    lines = text.splitlines()
    assert lines[0] == "**Regression: 3.1% worse (2.0 to 4.2%)**"
    assert "above 1%" in lines[4]
    assert "more than 2%" in lines[4]
    assert "upper bound is below 3%" in lines[4]


def test_the_picture_stands_under_the_verdict_only_where_it_lies_beside_the_text(compared):
    comparison = compared(**FEW)
    assert "](compare.png)" in comparison_markdown(comparison, picture="compare.png")
    assert "![" not in comparison_markdown(comparison)


def test_what_is_better_is_said_with_the_ends_of_its_interval_turned(compared):
    text = comparison_markdown(compared(**FEW, outcome="pass", overall=loss(-0.05, -0.07, -0.03)))
    assert text.startswith("**No regression: 5.0% better (3.0 to 7.0%)**")


def test_a_stored_baseline_is_marked_advisory_with_its_own_threshold(compared):
    text = comparison_markdown(
        compared(
            source="certified_chat", pairs=1, outcome="pass", is_advisory=True, more_pairs=None
        )
    )
    assert text.startswith("**Within 15% (advisory):")
    assert "fails only beyond a loss of 15%, or where a configuration fails" in text
    assert "--run-pairs 5" in text


def test_an_inconclusive_comparison_says_how_many_more_pairs_and_is_no_pass(compared):
    text = comparison_markdown(
        compared(**FEW, outcome="inconclusive", overall=loss(0.01, -0.02, 0.04), more_pairs=7)
    )
    assert text.startswith("**Inconclusive: 1.0% worse (−2.0 to 4.0%); about 7 more pairs")
    assert "--run-pairs 9 " in text  # two were there
    assert "Inconclusive is not a pass" in text


def test_where_no_number_of_pairs_decides_none_is_asked_for(compared):
    between = loss(0.02, 0.008, 0.032)
    text = comparison_markdown(
        compared(**FEW, outcome="inconclusive", overall=between, more_pairs=None)
    )
    assert "--run-pairs" not in text
    assert "More pairs" in text
    assert "More pairs narrow" not in text
    assert "quiet the machine" in text


def test_a_row_holds_what_both_measured_and_the_loss_between_them(compared, slower):
    comparison = compared(**FEW, change=slower(0.25), noise=0.0)
    match = comparison.decision.configurations[0].match
    before, after = match.baseline["p95_latency"][0], match.candidate["p95_latency"][0]
    assert after / before == 1.25
    assert f"| {before:.0f} → {after:.0f}: +25% (+25 to +25) |" in comparison_markdown(comparison)


def test_nothing_from_a_scenario_acts_as_markup(compared, with_labels):
    comparison = with_labels(compared(**FEW, outcome="pass"), HOSTILE)
    text = comparison_markdown(
        replace(
            comparison,
            differences=(
                Difference(what=HOSTILE, baseline=HOSTILE, candidate=HOSTILE, is_allowed=True),
            ),
        )
    )
    for forbidden in ("<script", "**bold**", "[l](", "\n# heading", "`c`"):
        assert forbidden not in text
    widths: list[set[int]] = [set()]
    for line in text.splitlines():
        if line.startswith("|"):
            widths[-1].add(len(re.findall(r"(?<!\\)\|", line)))
        elif widths[-1]:
            widths.append(set())
    assert [len(of_table) for of_table in widths[:-1]] == [1] * (len(widths) - 1)
    assert len(widths) >= 5


def test_hundreds_of_long_labels_stay_far_below_what_github_takes(compared, with_labels):
    comparison = with_labels(compared(**FEW, outcome="pass"), "batch <64> | " * 100, times=400)
    text = comparison_markdown(comparison)
    num_shown = 60
    assert f"And {len(comparison.decision.configurations) - num_shown:,} more" in text
    assert len(text.encode()) < 150_000  # of 1 MiB a step
    assert "<details>" in text


def test_an_operating_point_that_misses_its_limit_says_so_and_what_it_costs(compared, slower):
    text = comparison_markdown(compared(**FEW, change=slower(1.0)))
    (row,) = [line for line in text.splitlines() if line.startswith("| chat (")]
    assert "| NO |" in row
