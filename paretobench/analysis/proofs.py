"""Whether what was measured shows that a configuration keeps to a limit, or how much is missing.

A limit is shown where the 95% bound of the figure keeps to it, not only the figure:

- a percentile: the order statistic of `order_statistics` among the effective number of requests;
- an SLA attainment: Clopper and Pearson's bound with the effective number;
- any other figure: the end of its interval, which is two-sided and so the more careful.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from paretobench.analysis.configurations import Configuration
from paretobench.analysis.effective_size import Indicator, effective_size, size_for_percentile
from paretobench.analysis.operating_points import Margin
from paretobench.analysis.order_statistics import (
    highest_share,
    lower_rank,
    lowest_share,
    size_that_shows,
    upper_rank,
    value_at,
)
from paretobench.analysis.percentiles import percentile_of
from paretobench.analysis.sla import ServiceLevels, SlaLimits
from paretobench.core.metrics import metric_of, qualified, split_name
from paretobench.core.points import Point
from paretobench.core.units import to_ms, to_s

Status = Literal["certified", "not_shown", "not_met", "no_limit"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What is shown of one constraint.

    `low` and `high` bound the figure, None where that side is not known. `effective_requests` are
    what the `num_requests` measured are worth. `more_requests` would show it if their share inside
    the limit stays; None where it is shown or missed, or where no number would do.
    """

    metric: str
    limit: float
    value: float
    low: float | None
    high: float | None
    status: Status
    method: str
    num_requests: int | None = None
    effective_requests: float | None = None
    more_requests: int | None = None
    reason: str = ""

    @property
    def bound(self) -> float | None:
        """The bound that must keep to the limit: the upper one of what should be low."""
        return self.low if metric_of(self.metric).better == "higher" else self.high

    @property
    def margin_share(self) -> float | None:
        """The room between bound and limit as a share of the limit; None without a bound."""
        if self.bound is None:
            return None
        return Margin(metric=self.metric, limit=self.limit, value=self.bound).share


def prove(metric: str, limit: float, configuration: Configuration, levels: ServiceLevels) -> Proof:
    """Return what the configuration's runs show of one constraint; its figure must be there."""
    of_class, base = split_name(metric)
    wanted = percentile_of(metric)
    if wanted is not None and split_name(wanted[0])[1] != "itl":  # its samples are not kept
        kind, share = wanted
        runs = [run.samples.get(kind) for run in configuration.runs]
        return _of_percentile(metric, limit, share / 100, configuration, runs)
    if base == "sla_attainment":
        met = [_met(run, of_class, levels) for run in configuration.runs]
        known = [run for run in met if run is not None and run.size]
        if known and len(known) == len(met):
            kind = "e2e" if of_class is None else qualified(of_class, "e2e")
            e2e = [run.samples[kind] for run in configuration.runs]
            return _of_share(metric, limit, configuration, known, e2e)
    return _of_interval(metric, limit, configuration)


def status_of(proofs: Sequence[Proof]) -> Status:
    """Return the worst status of all constraints; `no_limit` where there are none."""
    found = {proof.status for proof in proofs}
    return next((s for s in ("not_met", "not_shown", "certified") if s in found), "no_limit")


def _of_percentile(
    metric: str,
    limit: float,
    share: float,
    configuration: Configuration,
    samples: Sequence[NDArray[np.float64] | None],
) -> Proof:
    value = _value(configuration, metric)
    runs = [of_run for of_run in samples if of_run is not None]
    if not runs or len(runs) < len(samples):
        reason = "the raw files are not here: a percentile is shown by its requests"
        return _unproven(metric, limit, value, reason)
    if any(run.size == 0 for run in runs):
        reason = "no request that has this latency was measured in one of the runs"
        return _unproven(metric, limit, value, reason)
    ordered = np.sort(np.concatenate(runs))
    limit_s = to_s(limit)
    effective = size_for_percentile(runs, share, limit_s)
    size = math.floor(effective)
    low = value_at(ordered, lower_rank(size, share), size)
    high = value_at(ordered, upper_rank(size, share), size)
    within = float(np.mean(ordered <= limit_s))
    return _judged(
        metric,
        limit,
        value,
        low=None if low is None else to_ms(low),
        high=None if high is None else to_ms(high),
        method="order_statistic",
        num_requests=int(ordered.size),
        effective=effective,
        enough=size_that_shows(share, within),
    )


def _of_share(
    metric: str,
    limit: float,
    configuration: Configuration,
    runs: Sequence[Indicator],
    e2e: Sequence[NDArray[np.float64]],
) -> Proof:
    # where every request meets its SLA, only the latencies tell how they depend on each other
    effective = min(effective_size(runs), size_for_percentile(e2e, limit, math.inf))
    size = math.floor(effective)
    pooled = np.concatenate(runs)
    met = float(pooled.mean())
    hits = math.floor(met * size * (1 + 1e-12))
    return _judged(
        metric,
        limit,
        _value(configuration, metric),
        low=lowest_share(hits, size),
        high=highest_share(hits, size),
        method="clopper_pearson",
        num_requests=int(pooled.size),
        effective=effective,
        enough=size_that_shows(limit, met),
    )


def _of_interval(metric: str, limit: float, configuration: Configuration) -> Proof:
    value = _value(configuration, metric)
    interval = configuration.intervals.get(metric)
    if interval is None:
        return _unproven(metric, limit, value, "the figure has no interval")
    counts = [run.figures.get("num_measured") for run in configuration.runs]
    total = round(sum(count for count in counts if count is not None))
    bound = interval.low if metric_of(metric).better == "higher" else interval.high
    room, reach = abs(limit - value), abs(bound - value)
    enough = (
        math.ceil(total * (reach / room) ** 2) if total and room and math.isfinite(reach) else None
    )
    return _judged(
        metric,
        limit,
        value,
        low=interval.low,
        high=interval.high,
        method=interval.method,
        num_requests=total or None,
        effective=float(total) if total else None,
        enough=enough,
    )


def _judged(
    metric: str,
    limit: float,
    value: float,
    *,
    low: float | None,
    high: float | None,
    method: str,
    num_requests: int | None,
    effective: float | None,
    enough: int | None,
) -> Proof:
    """Return the proof that these bounds are; `enough` effective requests would show the limit."""
    better = metric_of(metric).better
    bound, other = (low, high) if better == "higher" else (high, low)
    status: Status = "not_shown"
    more = None
    if not _keeps(metric, limit, value) or (other is not None and not _keeps(metric, limit, other)):
        status = "not_met"
    elif bound is not None and _keeps(metric, limit, bound):
        status = "certified"
    elif enough is not None and num_requests and effective:
        more = max(1, math.ceil(enough * num_requests / effective) - num_requests)
    return Proof(
        metric=metric,
        limit=limit,
        value=value,
        low=low,
        high=high,
        status=status,
        method=method,
        num_requests=num_requests,
        # requests whose dependence the interval itself accounts for are not told apart
        effective_requests=effective if method in ("order_statistic", "clopper_pearson") else None,
        more_requests=more,
        reason=_reason(status, more, bound),
    )


def _reason(status: Status, more: int | None, bound: float | None) -> str:
    if status == "certified":
        return ""
    if status == "not_met":
        return "what was measured misses the limit"
    if more is not None:
        return f"{more:,} more requests needed, if as many of them keep the limit"
    if bound is None:
        return "too few requests for any bound"
    return "the figure stands at its limit: no number of requests would show it"


def _unproven(metric: str, limit: float, value: float, reason: str) -> Proof:
    missed = not _keeps(metric, limit, value)
    return Proof(
        metric=metric,
        limit=limit,
        value=value,
        low=None,
        high=None,
        status="not_met" if missed else "not_shown",
        method="none",
        reason=_reason("not_met", None, None) if missed else reason,
    )


def _keeps(metric: str, limit: float, value: float) -> bool:
    return Margin(metric=metric, limit=limit, value=value).share >= 0


def _value(configuration: Configuration, metric: str) -> float:
    value = configuration.figures[metric]
    assert value is not None  # who asks has the figure
    return value


def _met(run: Point, of_class: str | None, levels: ServiceLevels) -> Indicator | None:
    """Return which requests kept every limit, in the order of arrival; None where the samples do
    not tell: classes have limits of their own, or a limit's samples leave requests out."""
    if of_class is None and levels.by_class:
        return None
    limits: SlaLimits = levels.default if of_class is None else levels.of(of_class)
    prefix = "" if of_class is None else f"{of_class}."
    e2e = run.samples.get(f"{prefix}e2e")
    if e2e is None or not limits.any_set:
        return None
    met = np.isfinite(e2e)
    for kind, limit_s in (("e2e", limits.e2e_s), ("ttft", limits.ttft_s), ("tpot", limits.tpot_s)):
        if limit_s is None:
            continue
        of_kind = run.samples.get(f"{prefix}{kind}", np.empty(0))
        if of_kind.size != e2e.size:
            return None
        met &= of_kind <= limit_s
    return met
