"""The tables of `report.md` that say which requests came, and how fast."""

from __future__ import annotations

from paretobench.report.manifest import section, workload_facts
from paretobench.report.markdown_table import table
from paretobench.report.model import Report
from paretobench.report.text import MISSING, joined, markdown, number

_BY_PILOT = "measured by a pilot in a closed loop"


def workload_lines(report: Report) -> list[str]:
    """Return the lengths of each workload, as stated and as drawn; nothing where none was."""
    facts = workload_facts(report.run)
    if not facts:
        return []
    classes = any(fact.get("share", 1) != 1 for fact in facts)
    rows = []
    for fact in facts:
        for name in ("prompt_tokens", "output_tokens"):
            found = section(fact, name)
            share = found.get("share_capped")
            cells = [found.get("stated_mean"), found.get("mean"), found.get("cv"), found.get("max")]
            of_class = [str(fact.get("class") or MISSING), _share(fact.get("share"))]
            rows.append(
                [
                    str(fact.get("workload") or MISSING),
                    *(of_class if classes else []),
                    name.replace("_", " "),
                    *(number(cell) for cell in cells),
                    _share(share),
                ]
            )
    header = ["workload", *(["class", "share"] if classes else []), "length"]
    lengths = ["stated mean", "mean drawn", "cv drawn", "max", "capped"]
    return ["", *table([*header, *lengths], rows, num_left=len(header))]


def load_lines(report: Report) -> list[str]:
    """Return each load with its rate and configurations, and the capacity that rates came from."""
    loads: dict[tuple[str, str, str], tuple[float | None, int]] = {}
    for c in report.configurations:
        key = (c.settings.variant or "", c.settings.workload, c.settings.load)
        loads[key] = (c.settings.offered_requests_per_s, loads.get(key, (None, 0))[1] + 1)
    rows = [
        [*([variant] if report.variants else []), load, workload, number(rate), str(count)]
        for (variant, workload, load), (rate, count) in loads.items()
    ]
    if not rows:
        return []
    header = ["load", "workload", "offered (requests/s)", "configurations"]
    header = [*(["variant"] if report.variants else []), *header]
    lines = ["", *table(header, rows, num_left=len(header) - 2)]
    pilots = [
        f"{number(found.get('requests_per_s'))} requests/s "
        f"({number(found.get('output_tokens_per_s'))} tokens/s) at batch "
        f"{found.get('max_batch_size', MISSING)} for {markdown(workload)}"
        for workload, found in section(report.run.manifest, "capacity").items()
    ]
    if pilots:
        replayed = section(report.run.manifest, "like").get("name")
        by = f"taken from the run {markdown(str(replayed))}" if replayed else _BY_PILOT
        lines += ["", f"Capacity, {by}: {joined(pilots)}."]
    return lines


def _share(value: float | None) -> str:
    return MISSING if value is None else f"{number(100 * value)}%"
