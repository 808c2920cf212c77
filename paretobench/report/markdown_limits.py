"""The part of `report.md` that holds each configuration against what the device can do."""

from __future__ import annotations

from paretobench.report.limits import Curve, Distance
from paretobench.report.markdown_table import table
from paretobench.report.model import Report
from paretobench.report.settings_text import configuration_label
from paretobench.report.text import (
    markdown,
    number,
    plural,
    short_label,
    unit_of,
    with_unit,
)

_CAUSES = (
    "That cannot be: bytes or FLOPs are counted wrong, or the device was busier when its ceilings "
    "were measured, or the weights stay in its caches. Trust no share of the limit in this run"
)


def beyond_text(report: Report) -> str | None:
    """Return what to say loudly where a configuration is beyond the limit, None where none is."""
    beyond = report.limits.beyond
    if not beyond:
        return None
    worst = max(beyond, key=lambda d: d.throughput / max(d.best_throughput, 1e-9))
    return (
        f"BEYOND THE LIMIT of the device: {plural(len(beyond), 'configuration')}, such as "
        f"{configuration_label(worst.configuration.settings, report.varied)} with "
        f"{_measured(report, worst)}. {_CAUSES}."
    )


def limit_sections(report: Report) -> list[str]:
    """Return the section on the limit: none where the run knows nothing of its device's."""
    limits = report.limits
    if not limits.lines and not limits.why_none:
        return []
    lines = ["## Distance to the limit", ""]
    for curve in limits.lines:
        lines += [*_line_text(report, curve), ""]
    if limits.distances:
        lines += [*_distance_table(report), ""]
        lines += [_NOTE.format(y=short_label(report.latency)), ""]
    for curve, why in limits.why_none.items():
        lines += [f"No limit{_named(report, curve)}: {markdown(why)}.", ""]
    return lines


_NOTE = (
    "*Best there*: the most that any software reaches at this {y} on this device, for the requests "
    "that the configuration served; *share*: what was measured of it. *Least there*: the least {y} "
    "at this throughput, and its share of what was measured. MFU and MBU: counted FLOPs and bytes "
    "a second over the ceilings, in the whole window. *Binds*: what takes the largest share of the "
    "window: reading `weights`, `kv` (keys and values), computing (`arithmetic`), or `waiting`."
)


def _line_text(report: Report, curve: Curve) -> list[str]:
    line = report.limits.lines[curve]
    sizes = report.limits.by_batch_size[curve]
    least = {number(b.throughput): b.batch_size for b in reversed(sizes)}  # the fewest rows for it
    (first, rows), *others = reversed(least.items())
    plus = " or more" if len(least) < len(sizes) else ""
    unit = unit_of(report.throughput)
    of_first = f"{plural(rows, 'row')}{'' if others else plus} a step: at most {first} {unit}"
    more = [f"with {size}: {most}" for most, size in others]
    if more and plus:
        more[-1] = more[-1].replace(":", f"{plus}:")
    return [
        f"With this model and these requests, no software on this device{_named(report, curve)} "
        f"exceeds {with_unit(report.throughput, line.greatest_throughput)}, one token a row a "
        f"step, or goes below {short_label(report.latency)} "
        f"{with_unit(report.latency, line.least_latency)}. With {'; '.join([of_first, *more])}."
    ]


def _named(report: Report, curve: Curve) -> str:
    variant, workload = curve
    parts = [variant] if report.variants and variant else []
    parts += [workload] if len(report.workloads) > 1 else []
    return f" for {markdown(', '.join(parts))}" if parts else ""


def _distance_table(report: Report) -> list[str]:
    rows = [
        [
            configuration_label(d.configuration.settings, report.varied),
            d.configuration.binds or number(None),
            number(d.throughput),
            number(d.latency),
            number(d.best_throughput),
            f"{_percent(d.share)}{' BEYOND' if d.is_beyond else ''}",
            number(d.least_latency),
            _percent(d.latency_share),
            _percent(d.mfu),
            _percent(d.mbu),
        ]
        for d in report.limits.distances
    ]
    header = ["configuration", "binds"]
    figures = [short_label(report.throughput), f"{short_label(report.latency)} (ms)"]
    figures += ["best there", "share", "least there (ms)", "share", "MFU", "MBU"]
    return table([*header, *figures], rows, num_left=len(header))


def _measured(report: Report, distance: Distance) -> str:
    measured = (
        f"{with_unit(report.throughput, distance.throughput)} at {short_label(report.latency)} "
        f"{with_unit(report.latency, distance.latency)}"
    )
    if distance.share is None:
        least = with_unit(report.latency, distance.least_latency)
        return f"{measured}, where the least latency is {least}"
    best = with_unit(report.throughput, distance.best_throughput)
    shares = f" (MFU {_percent(distance.mfu)}, MBU {_percent(distance.mbu)})"
    return f"{measured}, where {best} are the most{shares if distance.mfu is not None else ''}"


def _percent(share: float | None) -> str:
    return number(None) if share is None else f"{share:.0%}" if share >= 0.1 else f"{share:.1%}"
