"""The headline says what made a regression of it: overall, who was lost, which one, which measure."""

from dataclasses import replace

import pytest

from paretobench.core.intervals import Interval
from paretobench.gate.headline import headline
from paretobench.gate.text import side_names, worst_first
from paretobench.gate.values import Loss

FEW = {"source": "certified_chat", "pairs": 2, "outcome": "regression"}
NAME = "continuous, batch 8, wait 0 ms, poisson 70% of capacity"


def loss(value, low, high):
    return Loss(loss=value, interval=Interval(low=low, high=high, method="t_over_runs"), num_runs=5)


SMALL, LARGE = loss(0.004, -0.002, 0.01), loss(0.062, 0.05, 0.075)
NOTHING = {"overall": SMALL, "by_measure": {"throughput": SMALL, "p95_latency": SMALL}}


def test_a_configuration_that_regressed_alone_is_named_with_its_worst_measure(compared):
    comparison = compared(**FEW, **NOTHING)
    first, *others = comparison.decision.configurations
    alone = replace(
        first,
        match=replace(first.match, label=NAME),
        is_regression=True,
        losses={"throughput": SMALL, "p50_latency": SMALL, "p95_latency": LARGE},
        p_values={"throughput": 1.0, "p50_latency": 0.8, "p95_latency": 0.001},
    )
    decision = replace(comparison.decision, configurations=(*others, alone))
    assert worst_first(decision.configurations)[0] is alone
    said = headline(replace(comparison, decision=decision))
    assert said == f"Regression: {NAME}: p95 E2E 6.2% worse (5.0 to 7.5%)"


def test_where_one_measure_alone_decides_it_is_the_headline(compared):
    comparison = compared(
        **FEW, overall=SMALL, by_measure={"throughput": SMALL, "p95_latency": LARGE}
    )
    assert headline(comparison) == "Regression: p95 E2E 6.2% worse (5.0 to 7.5%)"


@pytest.mark.parametrize(
    ("verdict", "said"),
    [("out_of_memory", f"Regression: {NAME} is out of memory now"), ("throttled", None)],
)
def test_who_was_lost_is_the_headline_only_where_that_decides(compared, verdict, said):
    def change(point):
        lost = point.settings.fraction_of_capacity == 0.7
        return replace(point, verdict=verdict, reason="x") if lost else point

    comparison = compared(**FEW, change=change, **NOTHING, reason="because")
    assert len(comparison.decision.lost) == 1
    lost = replace(comparison.decision.lost[0], label=NAME)
    comparison = replace(comparison, decision=replace(comparison.decision, lost=(lost,)))
    assert headline(comparison) == (said or "Regression: because")


def test_folders_of_one_name_are_told_apart_by_their_parents(compared, tmp_path):
    comparison = compared(**FEW)
    assert side_names(comparison) == ("main", "pull-42")
    other = replace(comparison.candidate, path=tmp_path / "new" / "main")
    assert side_names(replace(comparison, candidate=other)) == (f"{tmp_path.name}/main", "new/main")
