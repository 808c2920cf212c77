"""How far one curve lies from another, as a table of `report.md`."""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.report.markdown_table import table
from paretobench.report.shift import VariantShift, range_text, ratio_text
from paretobench.report.text import markdown, short_label


def shift_lines(
    shifts: Sequence[VariantShift], *, named: str, throughput: str, latency: str
) -> list[str]:
    """Return the table of shifts from one baseline; `named` is what its rows are: variants, runs.

    Workloads have a column where there are several.
    """
    several = len({shift.workload for shift in shifts}) > 1
    rows = [
        [
            shift.variant,
            *([shift.workload] if several else []),
            ratio_text(shift.throughput),
            range_text(shift.throughput, latency),
            ratio_text(shift.latency),
            range_text(shift.latency, throughput),
        ]
        for shift in shifts
    ]
    gain, cost = short_label(throughput), short_label(latency)
    header = [named, *(["workload"] if several else [])]
    header += [f"{gain} at equal {cost}", f"between {cost} of"]
    header += [f"{cost} at equal {gain}", f"between {gain} of"]
    return [
        f"Against {markdown(shifts[0].baseline)}. Each curve is read as a staircase (the best "
        "measured, nothing interpolated); a ratio is the geometric mean over the range that both "
        "curves cover, in brackets its lowest and highest value there.",
        "",
        *table(header, rows, num_left=len(header)),
    ]
