"""What the report says of trials that are not valid, and of those that are so but barely."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from paretobench.core.values import Verdict
from paretobench.report.figures.canvas import style
from paretobench.report.figures.encoding import VERDICT_MARKS
from paretobench.report.figures.frontier import draw_frontier
from paretobench.report.markdown_trust import trust_lines
from paretobench.report.model import assemble
from paretobench.results.reader import open_run

REJECTED = [verdict for verdict in get_args(Verdict) if verdict != "valid"]


def test_every_verdict_has_a_mark_of_its_own_and_a_legend(point, sweep, make_run) -> None:
    rejected = [
        point(batch=2 ** (i % 6), wait_ms=7.0 + i, verdict=verdict, reason="so", p95_e2e_ms=900.0,
              output_tokens_per_s=300.0 + 150.0 * i)
        for i, verdict in enumerate(REJECTED)
    ]  # fmt: skip
    report = assemble(open_run(make_run([*sweep(), *rejected])))
    with style():
        page = draw_frontier(report)
        legend = page.axes[0].get_legend()
        texts = [text.get_text() for text in legend.get_texts()]
    assert len(set(VERDICT_MARKS.values())) == len(REJECTED) == len(VERDICT_MARKS)
    for verdict in REJECTED:
        assert any(text.startswith(verdict.replace("_", " ")) for text in texts)


def test_the_table_of_rejected_trials_says_what_to_do(point, sweep, make_run) -> None:
    short = replace(
        point(batch=2, verdict="too_short", reason="only 7 requests"), remedy="measure 20 requests"
    )
    lines = trust_lines(assemble(open_run(make_run([*sweep(), short]))))
    row = next(line for line in lines if "too short" in line)
    assert "only 7 requests" in row
    assert "measure 20 requests" in row


@pytest.mark.parametrize(
    ("dropped", "e2e_ms", "due"),
    [(40, 900.0, 200), (40, 30_000.0, 1500), (200, 900.0, None)],
)
def test_a_short_warm_up_is_said_and_by_how_much(
    point, make_run, dropped: int, e2e_ms: float, due: int | None
) -> None:
    one = point(batch=4, num_warmup=dropped, mean_e2e_ms=e2e_ms, requests_per_s=10.0)
    said = [line for line in trust_lines(assemble(open_run(make_run([one])))) if "Warm-up" in line]
    assert bool(said) == (due is not None)
    if due is not None:
        assert f"{dropped} requests were dropped where {due} are due" in said[0]


def test_a_power_cap_is_a_note_not_a_verdict(point, make_run) -> None:
    points = [point(batch=4), point(batch=8, power_cap_share=0.25)]
    lines = trust_lines(assemble(open_run(make_run(points))))
    said = [line for line in lines if "power limit" in line]
    assert "25% of the samples" in said[0]
    assert "1 configuration," in said[0]
