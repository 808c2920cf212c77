"""What was measured around the trials is said, and where the device changed meanwhile."""

import pytest

from paretobench.core.ceilings import Ceiling, Ceilings
from paretobench.core.errors import RunFolderError
from paretobench.report.document import report_document
from paretobench.report.markdown import report_markdown
from paretobench.report.model import assemble
from paretobench.results.reader import open_run


def ceilings(device, gigabytes_per_s, teraflops, *, way="float32"):
    def row(quantity, dtype, rate):
        return Ceiling(
            quantity=quantity, dtype=dtype, method="", shape="", unit="", best_per_s=rate
        )

    rows = (
        row("read_bandwidth", way, gigabytes_per_s * 1e9),
        row("matmul", "bfloat16", None if teraflops is None else teraflops * 1e12),
    )
    return Ceilings(system={"device": device}, rows=rows).to_dict()


def report_of(make_run, points, **conditions):
    return assemble(open_run(make_run(points, conditions=conditions)))


def text_of(report):
    return report_markdown(report).decode()


def test_the_loops_cost_and_both_ceilings_stand_among_what_was_measured(make_run, sweep):
    report = report_of(
        make_run,
        sweep(loop_cost_share=0.012),
        loop_cost_us={"1": 6.0, "64": 31.5},
        ceilings_before=ceilings("cuda:0", 4000, 800, way="float32"),
        ceilings_after=ceilings("cuda:0", 4040, 792, way="bfloat16"),
    )
    text = text_of(report)
    assert "6 µs at batch 1 and 31.5 µs at batch 64" in text
    assert "computes nothing: at most 1.2% of a step" in text
    assert "read bandwidth 4,000 → 4,040 GB/s (+1.0%)" in text
    assert "bfloat16 matrix rate 800 → 792 TFLOP/s (-1.0%)" in text
    document = report_document(report)["conditions"]
    assert document["loop_cost_us"] == {"1": 6.0, "64": 31.5}
    assert [(c["before_per_s"], c["after_per_s"]) for c in document["ceilings"]] == [
        (4000e9, 4040e9),
        (800e12, 792e12),
    ]


@pytest.mark.parametrize(
    ("device", "after", "is_said"),
    [
        ("cuda:0", (98.5, 9.85), False),
        ("cuda:0", (97.5, 10.0), True),
        ("cuda:0", (100.0, 10.3), True),
        ("cpu", (91.0, 9.1), False),
        ("cpu", (89.0, 10.0), True),
        ("cpu", (100.0, None), False),
    ],
)
def test_ceilings_further_apart_than_the_device_allows_are_a_caveat(
    make_run, sweep, device, after, is_said
):
    before = ceilings(device, 100.0, 10.0)
    report = report_of(
        make_run, sweep(), ceilings_before=before, ceilings_after=ceilings(device, *after)
    )
    assert ("not the same before and after" in text_of(report)) == is_said


def test_the_caveat_has_both_figures_of_what_changed_alone(make_run, sweep):
    before, after = ceilings("cpu", 100.0, 10.0), ceilings("cpu", 80.0, 10.0)
    text = text_of(report_of(make_run, sweep(), ceilings_before=before, ceilings_after=after))
    (line,) = [line for line in text.splitlines() if "not the same before and after" in line]
    assert "read bandwidth was 100 GB/s before and 80 after" in line
    assert "matrix rate" not in line


def test_a_run_without_conditions_says_nothing_of_them(make_run, sweep):
    text = text_of(report_of(make_run, sweep()))
    assert "Loop's own cost" not in text
    assert "Ceilings" not in text


def test_damaged_ceilings_are_told_with_their_place(make_run, sweep):
    with pytest.raises(RunFolderError, match=r"`conditions` cannot be read \('limits'\)"):
        report_of(make_run, sweep(), ceilings_after={"system": {}})
