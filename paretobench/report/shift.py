"""How far each variant, or run, moved the curve from the first one, in numbers and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.shift import Curve, Shift, latency_shift, throughput_shift
from paretobench.report.model import Report
from paretobench.report.text import joined, number, with_unit

HARDLY = 0.03  # less than this is not called a move
ENOUGH = 0.5  # coverage at which the throughput is told first


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantShift:
    """A variant's curve, or a run's, against the baseline's under one workload; text says why there
    is none."""

    variant: str
    baseline: str
    workload: str
    throughput: Shift | str
    latency: Shift | str


def find_shifts(report: Report) -> list[VariantShift]:
    """Return the shift of every variant from the first, for each workload; none with one system."""
    curves = {
        (variant or "", workload): curve_points(report, front)
        for (variant, workload), front in report.curves.items()
    }
    return shifts_from_first(report.variants, report.workloads, curves)


def shifts_from_first(
    names: Sequence[str], workloads: Sequence[str], curves: Mapping[tuple[str, str], Curve]
) -> list[VariantShift]:
    """Return the shift of every further name from the first, for each workload; `curves` are by
    name and workload, and one that is not there has no valid point."""
    if len(names) < 2:
        return []
    baseline, *others = names
    shifts = []
    for workload in workloads:
        base = curves.get((baseline, workload), ())
        for name in others:
            curve = curves.get((name, workload), ())
            shifts.append(
                VariantShift(
                    variant=name,
                    baseline=baseline,
                    workload=workload,
                    throughput=throughput_shift(base, curve),
                    latency=latency_shift(base, curve),
                )
            )
    return shifts


def shift_sentence(report: Report) -> str | None:
    """Return the shift in one line, None where no curve can be held against the first."""
    shifts = find_shifts(report)
    gains = [(s.variant, s.throughput) for s in shifts if isinstance(s.throughput, Shift)]
    costs = [(s.variant, s.latency) for s in shifts if isinstance(s.latency, Shift)]
    if not gains and not costs:
        return None
    # over a sliver of a curve a ratio says little, and of a missing variant nothing: then the other
    # axis speaks
    if _telling(gains) >= _telling(costs):
        return _say(gains, report.variants[0], "throughput", "latency")
    return _say(costs, report.variants[0], "latency", "throughput")


def _telling(found: Sequence[tuple[str, Shift]]) -> tuple[int, float]:
    least = min((shift.coverage for _, shift in found), default=0.0)
    return len(found), min(least, ENOUGH)


def _say(found: Sequence[tuple[str, Shift]], baseline: str, gain: str, cost: str) -> str:
    ratios: dict[str, list[float]] = {}
    for variant, shift in found:
        ratios.setdefault(variant, []).append(shift.ratio)
    factors = {
        variant: " to ".join(dict.fromkeys(f"×{end:.2g}" for end in (min(values), max(values))))
        for variant, values in ratios.items()
    }
    if len(factors) > 1:
        listed = joined([f"{variant} {factor}" for variant, factor in factors.items()])
        return f"At equal {cost}: {listed} the {gain} of {baseline}"
    ((variant, factor),) = factors.items()
    moved = any(abs(ratio - 1) >= HARDLY for ratio in ratios[variant])
    verb = "moves the curve" if moved else "hardly moves the curve"
    return f"{variant} {verb}: {factor} {gain} at equal {cost}"


def curve_points(report: Report, front: Sequence[Configuration]) -> Curve:
    """Return where the configurations of a frontier lie: (throughput, latency) each."""
    return [(c.figures[report.throughput] or 0.0, c.figures[report.latency] or 0.0) for c in front]


def shift_documents(shifts: Sequence[VariantShift]) -> list[dict[str, Any]]:
    """Return shifts in values that JSON can hold; `reason` says why a ratio is missing."""

    def say(shift: Shift | str) -> dict[str, Any]:
        return {"ratio": None, "reason": shift} if isinstance(shift, str) else asdict(shift)

    return [
        {
            "variant": shift.variant,
            "baseline": shift.baseline,
            "workload": shift.workload,
            "throughput_at_equal_latency": say(shift.throughput),
            "latency_at_equal_throughput": say(shift.latency),
        }
        for shift in shifts
    ]


def ratio_text(shift: Shift | str) -> str:
    """Return the ratio and how far it ranges: `×1.8 (×1.5 to ×2.1)`; a reason as it is."""
    if isinstance(shift, str):
        return shift
    ends = f"{times(shift.lowest)} to {times(shift.highest)}"
    return f"{times(shift.ratio)} ({ends})" if shift.highest > shift.lowest else times(shift.ratio)


def range_text(shift: Shift | str, metric: str) -> str:
    """Return the range that both curves cover, in a metric's units, and how much that is of what
    either covers; `—` where there is none."""
    if isinstance(shift, str):
        return number(None)
    ends = f"{with_unit(metric, shift.start)} to {with_unit(metric, shift.end)}"
    return ends if shift.coverage == 1 else f"{ends} ({shift.coverage:.0%} of all)"


def times(ratio: float) -> str:
    """Return a factor in two digits or more.

    >>> times(1.834), times(0.0512), times(12.3)
    ('×1.83', '×0.0512', '×12.3')
    """
    return f"×{number(ratio)}"
