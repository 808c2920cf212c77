"""What several runs over one another say, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paretobench.analysis.shift import Shift
from paretobench.report.overlay import Overlay, Series
from paretobench.report.shift import ENOUGH, HARDLY
from paretobench.report.text import joined, one_line, short_label, with_unit

_MOST_NAMED = 3  # further runs than these are said by the lowest and the highest alone
_LONGEST_NAME = 28
_LONGEST_LIST = 48  # characters of names
_TELLS = 0.1  # the share of a curve's range below which a ratio is not worth a headline


def message(overlay: Overlay) -> str:
    """Return how far the curves lie from the first one, or that they cross it; where no curve can
    be held against it, how far each of them goes."""
    shifts = overlay.shifts
    names = {s.label: one_line(s.short_label, limit=_LONGEST_NAME) for s in overlay.series}
    gains = _of_each([(names[s.variant], s.throughput) for s in shifts])
    costs = _of_each([(names[s.variant], s.latency) for s in shifts])
    if not gains and not costs:
        return _extents(overlay, names)
    gain, cost = _axis(overlay.throughput, "throughput"), _axis(overlay.latency, "latency")
    baseline = names[overlay.series[0].label]
    if (len(gains), _covered(gains)) >= (len(costs), _covered(costs)):
        return _say(gains, baseline, gain, cost)
    return _say(costs, baseline, cost, gain)


def _of_each(found: Sequence[tuple[str, Shift | str]]) -> dict[str, list[Shift]]:
    """Return each name's shifts, one a workload; of those that could not be had, or rest on a
    sliver of the curves, none."""
    shifts: dict[str, list[Shift]] = {}
    for name, shift in found:
        if isinstance(shift, Shift) and shift.coverage >= _TELLS:
            shifts.setdefault(name, []).append(shift)
    return shifts


def _covered(found: dict[str, list[Shift]]) -> float:
    """Return the least share of the curves that a ratio rests on, as far as it matters."""
    return min(ENOUGH, *(s.coverage for shifts in found.values() for s in shifts), 1.0)


def _axis(metric: str, plain: str) -> str:
    """Return an objective in a word or two: `throughput`, `p95`, `p95 chat`."""
    if plain == "throughput":
        return plain
    return short_label(metric).removesuffix(" E2E")


def _say(found: dict[str, list[Shift]], baseline: str, moved: str, equal: str) -> str:
    if len(found) == 1:
        ((name, shifts),) = found.items()
        return _say_one(name, shifts, baseline, moved, equal)
    if len(found) > _MOST_NAMED or sum(map(len, found)) > _LONGEST_LIST:
        low = min(found, key=lambda name: _ratios(found[name])[0])
        high = max(found, key=lambda name: _ratios(found[name])[1])
        ends = f"{_times(_ratios(found[low])[0])} ({low})"
        ends += f" to {_times(_ratios(found[high])[1])} ({high})"
        crossing = ", and some cross it" if any(map(_cross, found.values())) else ""
        return f"At equal {equal}: {ends} the {moved} of {baseline}{crossing}"
    parts = [
        f"{name} {_span(_ratios(shifts))}{' (crosses)' if _cross(shifts) else ''}"
        for name, shifts in found.items()
    ]
    return f"At equal {equal}: {joined(parts)} the {moved} of {baseline}"


def _say_one(name: str, shifts: Sequence[Shift], baseline: str, moved: str, equal: str) -> str:
    if _cross(shifts):
        ends = (min(s.lowest for s in shifts), max(s.highest for s in shifts))
        return f"{name} and {baseline} cross: {_span(ends)} the {moved} at equal {equal}"
    ratios = _ratios(shifts)
    if all(abs(ratio - 1) < HARDLY for ratio in ratios):
        return f"{name} hardly differs from {baseline}: {_span(ratios)} {moved} at equal {equal}"
    return f"{name} has {_span(ratios)} the {moved} of {baseline} at equal {equal}"


def _cross(shifts: Sequence[Shift]) -> bool:
    """Return whether one curve is better here and the other there, by more than a hair."""
    return any(s.lowest < 1 - HARDLY and s.highest > 1 + HARDLY for s in shifts)


def _ratios(shifts: Sequence[Shift]) -> tuple[float, float]:
    ratios = [s.ratio for s in shifts]
    return min(ratios), max(ratios)


def _span(ends: tuple[float, float]) -> str:
    return " to ".join(dict.fromkeys(map(_times, ends)))


def _times(ratio: float) -> str:
    """Return a factor in two digits, three where it is next to 1.

    >>> _times(1.834), _times(1.043), _times(0.0512)
    ('×1.8', '×1.04', '×0.051')
    """
    return f"×{ratio:.2f}" if abs(ratio - 1) < 0.1 else f"×{ratio:.2g}"


def _extents(overlay: Overlay, names: Mapping[str, str]) -> str:
    peaks = [(names[s.label], peak) for s in overlay.series if (peak := _peak(s)) is not None]
    if not peaks:
        return "None of the runs has a frontier"
    why = "" if overlay.shared_workloads else "Different workloads: "
    said = [
        (name, with_unit(overlay.throughput, peak))
        for name, peak in sorted(peaks, key=lambda p: p[1])
    ]
    if len(said) > _MOST_NAMED:
        (lowest, least), *_, (highest, most) = said
        return f"{why}at most {least} ({lowest}) to {most} ({highest})"
    return why + joined([f"{name} at most {most}" for name, most in said])


def _peak(series: Series) -> float | None:
    metric = series.report.throughput
    found = [c.figures[metric] for front in series.curves.values() for c in front]
    return max((value for value in found if value is not None), default=None)
