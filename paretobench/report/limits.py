"""The limit of each curve, and how far each configuration is from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.frontier import curve_of
from paretobench.analysis.limit_line import LimitLine, why_no_line
from paretobench.analysis.request_work import Lengths, request_work
from paretobench.report.manifest import (
    conditions,
    latency_metric,
    section,
    throughput_metric,
    workload_facts,
)
from paretobench.results.reader import RunFolder

Curve = tuple[str | None, str]  # variant and workload
_ROUNDING = 1 + 1e-9  # sums of times are not exact


@dataclass(frozen=True, slots=True, kw_only=True)
class Distance:
    """A valid configuration against the limit of the requests that it served.

    `best_throughput` is the most that any software reaches at its latency, 0 where that latency
    itself is below any; `least_latency` the least at its throughput, inf where that is above any.
    `mfu`, `mbu` are shares of 1, None where the steps are not known.
    """

    configuration: Configuration
    throughput: float
    latency: float
    best_throughput: float
    least_latency: float
    is_beyond: bool

    @property
    def share(self) -> float | None:
        """The throughput over the best at this latency; None where there is none."""
        return self.throughput / self.best_throughput if self.best_throughput > 0 else None

    @property
    def latency_share(self) -> float | None:
        """The least latency at this throughput over the latency; None where there is none."""
        return self.least_latency / self.latency if math.isfinite(self.least_latency) else None

    @property
    def nearest_share(self) -> float:
        """The larger of both shares: how near the line is, in the direction in which it is."""
        return max(self.share or 0.0, self.latency_share or 0.0)

    @property
    def mfu(self) -> float | None:
        """Counted FLOPs a second over the device's rate."""
        return self.configuration.figures.get("mfu")

    @property
    def mbu(self) -> float | None:
        """Counted bytes a second over the device's bandwidth."""
        return self.configuration.figures.get("mbu")


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimit:
    """The best at so many rows a step in the mean, in the units of the objectives."""

    batch_size: int
    throughput: float
    latency: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLimits:
    """The line of each curve, its best by batch size, each configuration's distance from it.

    By rising throughput. `why_none` says why a curve has no line of whose device or model
    something is known.
    """

    lines: Mapping[Curve, LimitLine] = field(default_factory=dict)
    by_batch_size: Mapping[Curve, tuple[BatchLimit, ...]] = field(default_factory=dict)
    distances: tuple[Distance, ...] = ()
    why_none: Mapping[Curve, str] = field(default_factory=dict)

    @property
    def beyond(self) -> tuple[Distance, ...]:
        """The configurations that are where none can be: something is counted wrong."""
        return tuple(d for d in self.distances if d.is_beyond)

    @property
    def nearest(self) -> float | None:
        """The largest share of the limit that a configuration reached; None where none has one."""
        return max((d.nearest_share for d in self.distances), default=None)


def find_limits(run: RunFolder, configurations: Sequence[Configuration]) -> DeviceLimits:
    """Return the limits of a run's curves, where its manifest holds ceilings and counts.

    Raises RunFolderError where that section is damaged.
    """
    lines: dict[Curve, LimitLine] = {}
    by_batch_size: dict[Curve, tuple[BatchLimit, ...]] = {}
    distances: list[Distance] = []
    why_none: dict[Curve, str] = {}
    for curve in dict.fromkeys(map(curve_of, configurations)):
        rivals = [c for c in configurations if curve_of(c) == curve]
        known = conditions(run, curve[0])
        if known.counts is None and known.ceilings is None:
            continue  # a simulation, or a run of before they were measured
        lengths = [own for c in rivals if (own := _lengths(run, c)) is not None]
        line = _line(run, curve, np.concatenate(lengths) if lengths else None)
        if isinstance(line, str):
            why_none[curve] = line
            continue
        lines[curve] = line
        by_batch_size[curve] = _by_batch_size(line, rivals)
        found = [d for c in rivals if (d := _distance(run, c)) is not None]
        distances += sorted(found, key=lambda d: d.throughput)
    return DeviceLimits(
        lines=lines,
        by_batch_size=by_batch_size,
        distances=tuple(distances),
        why_none=why_none,
    )


def limits_document(limits: DeviceLimits) -> dict[str, Any]:
    """Return the limits as plain values; infinite ones are left to the caller."""
    return {
        "lines": [
            {
                "variant": variant,
                "workload": workload,
                "greatest_throughput": line.greatest_throughput,
                "least_latency": line.least_latency,
                "by_batch_size": [asdict(b) for b in limits.by_batch_size[variant, workload]],
            }
            for (variant, workload), line in limits.lines.items()
        ],
        "distances": [
            {
                "configuration_id": d.configuration.settings.configuration_id,
                **{name: getattr(d, name) for name in _DISTANCE_FIELDS},
                "binds": d.configuration.binds or None,
            }
            for d in limits.distances
        ],
        "why_none": [
            {"variant": variant, "workload": workload, "reason": reason}
            for (variant, workload), reason in limits.why_none.items()
        ],
    }


_DISTANCE_FIELDS = (
    "throughput",
    "latency",
    "best_throughput",
    "least_latency",
    "share",
    "latency_share",
    "mfu",
    "mbu",
    "is_beyond",
)


def _line(run: RunFolder, curve: Curve, lengths: Lengths | None) -> LimitLine | str:
    """Return the line for requests of these lengths, or why there is none."""
    throughput, latency = throughput_metric(run), latency_metric(run)
    known = conditions(run, curve[0])
    if known.counts is None:
        return "the model's bytes and FLOPs are not known"
    if known.ceilings is None:
        return "the device's ceilings were not measured"
    why = why_no_line(throughput, latency)
    if why is not None:
        return why
    if lengths is None or not len(lengths):
        return "no request was served whose length is known: its raw files are not at hand"
    work = request_work(lengths, known.counts, known.ceilings)
    if work is None:
        return f"no rate was measured for {known.counts.dtype} on this device"
    return LimitLine(work, lengths, throughput=throughput, latency=latency)


def _lengths(run: RunFolder, configuration: Configuration) -> Lengths | None:
    """Return the lengths that a configuration's runs served; where the raw files are not at hand,
    that of all requests if they have but one."""
    known = [p.lengths for p in configuration.runs if p.lengths is not None and len(p.lengths)]
    if known:
        return np.concatenate(known)
    if any(p.lengths is not None for p in configuration.runs):
        return None  # none was served
    facts = [f for f in workload_facts(run) if f["workload"] == configuration.settings.workload]
    sizes = [section(fact, name) for fact in facts for name in ("prompt_tokens", "output_tokens")]
    if len(facts) != 1 or any(size.get("cv") != 0 or not size.get("mean") for size in sizes):
        return None
    return np.array([[round(size["mean"]) for size in sizes]], dtype=np.int64)


def _by_batch_size(
    line: LimitLine, configurations: Sequence[Configuration]
) -> tuple[BatchLimit, ...]:
    sizes = sorted({c.settings.max_batch_size for c in configurations})
    found = ((size, *line.at_batch_size(size)) for size in sizes)
    return tuple(BatchLimit(batch_size=b, throughput=x, latency=y) for b, x, y in found)


def _distance(run: RunFolder, configuration: Configuration) -> Distance | None:
    throughput, latency = throughput_metric(run), latency_metric(run)
    x, y = (configuration.figures.get(name) for name in (throughput, latency))
    line = _line(run, curve_of(configuration), _lengths(run, configuration))
    if x is None or y is None or isinstance(line, str) or not configuration.is_valid:
        return None
    return Distance(
        configuration=configuration,
        throughput=x,
        latency=y,
        best_throughput=line.throughput_at(y),
        least_latency=line.latency_at(x),
        is_beyond=_is_beyond(configuration, line, x=(throughput, x), y=(latency, y)),
    )


def _is_beyond(
    configuration: Configuration, line: LimitLine, *, x: tuple[str, float], y: tuple[str, float]
) -> bool:
    """Return whether a configuration is where none can be; `x` and `y` are names with values.

    Noise excuses it as far as its intervals reach and no further; an end that is not known excuses
    nothing, or no percentile of a short run could ever be beyond.
    """
    shares = (configuration.figures.get(name) for name in ("mfu", "mbu"))
    if any(share is not None and share > _ROUNDING for share in shares):
        return True
    (throughput, least), (latency, slow) = x, y
    of_x, of_y = (configuration.intervals.get(name) for name in (throughput, latency))
    least = least if of_x is None else min(least, of_x.low)
    slow = slow if of_y is None or math.isinf(of_y.high) else max(slow, of_y.high)
    return least > line.throughput_at(slow * _ROUNDING) * _ROUNDING
