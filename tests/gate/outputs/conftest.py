"""Comparisons of committed runs with changed copies of themselves; the outputs are made of these.

Losses are plain t intervals over the pairs: what decides is tested elsewhere.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from paretobench.analysis.configurations import Configuration
from paretobench.core.intervals import Interval
from paretobench.core.points import Point
from paretobench.gate.text import metric_of_measure
from paretobench.gate.values import (
    MEASURES,
    Comparison,
    ConfigurationLoss,
    Decision,
    FrontierMove,
    HypervolumeRatio,
    Loss,
    Lost,
    Match,
    OperatingPointChange,
    Side,
    Thresholds,
    Unmatched,
)
from paretobench.report.model import Report, assemble
from paretobench.report.points import points_csv, read_points
from paretobench.report.settings_text import configuration_label
from paretobench.results.reader import open_run

RUNS = Path(__file__).parents[3] / "results" / "cpu-2core-epyc"
Change = Callable[[Point], Point | None]  # None: it is not there


def slowed(point: Point, share: float) -> Point:
    """Return a point with so much less throughput and so much more latency."""

    def changed(name: str, value: Any) -> Any:
        if value is None:
            return None
        if name.endswith("_ms"):
            return value * (1 + share)
        return value / (1 + share) if name.endswith("_per_s") else value

    return replace(
        point,
        figures={name: changed(name, value) for name, value in point.figures.items()},
        intervals={
            name: Interval(low=changed(name, i.low), high=changed(name, i.high), method=i.method)
            for name, i in point.intervals.items()
        },
    )


def by(share: float) -> Change:
    return lambda point: slowed(point, share)


def write_side(
    source: str, path: Path, pairs: int, change: Change, noise: float, seed: int
) -> Report:
    """Write one run folder with a repeat a pair of every trial of a committed run."""
    rng = np.random.default_rng(seed)
    trials = {}
    for point in read_points(RUNS / source / "points.csv"):
        trials.setdefault(point.settings.configuration_id, point)
    points = []
    for pair in range(pairs):
        for point in trials.values():
            settings = replace(
                point.settings,
                trial_id=f"{point.settings.trial_id}-{pair}", repeat=pair, seed=pair,
            )  # fmt: skip
            own = change(slowed(replace(point, settings=settings), rng.normal(0, noise)))
            points += [own] if own is not None else []
    path.mkdir(parents=True)
    manifest = json.loads((RUNS / source / "manifest.json").read_text()) | {"name": path.name}
    (path / "manifest.json").write_text(json.dumps(manifest))
    (path / "points.csv").write_bytes(points_csv(points))
    return assemble(open_run(path))


def build(
    tmp_path: Path,
    *,
    source: str = "quickstart",
    change: Change | None = None,
    noise: float = 0.004,
    pairs: int = 5,
    gates_all: bool = False,
    names: tuple[str, str] = ("main", "pull-42"),
    **decided: Any,
) -> Comparison:
    """Return the comparison of a run with a changed copy; `decided` replaces what was decided."""
    before = write_side(source, tmp_path / names[0], pairs, by(0.0), noise, 1)
    after = write_side(source, tmp_path / names[1], pairs, change or by(0.0), noise, 2)
    old = {c.settings.configuration_id: c for c in before.configurations if c.is_valid}
    new = {c.settings.configuration_id: c for c in after.configurations if c.is_valid}
    fronts = [{c.settings.configuration_id for c in r.frontier} for r in (before, after)]
    matches = tuple(
        _match(key, old[key], new[key], before, gates_all or key in fronts[0] | fronts[1])
        for key in old
        if key in new
    )
    lost = tuple(
        Lost(
            key=c.settings.configuration_id,
            label=configuration_label(c.settings, after.varied),
            was_on_frontier=c.settings.configuration_id in fronts[0],
            verdict=c.verdict,
            reason=c.reason,
            share_of_rounds=1.0,
        )
        for c in after.configurations
        if c.settings.configuration_id in old and not c.is_valid
    )
    known = {c.settings.configuration_id for c in after.configurations}
    unmatched = tuple(
        Unmatched(side="baseline", label=_label(before, c), why="it is in the baseline alone")
        for key, c in old.items()
        if key not in known
    )
    return Comparison(
        baseline=Side(
            name="baseline", path=before.run.path, runs=(before.run,) * pairs, report=before
        ),
        candidate=Side(
            name="candidate", path=after.run.path, runs=(after.run,) * pairs, report=after
        ),
        decision=replace(_decide(matches, lost, pairs), **decided),
        matches=matches,
        unmatched=unmatched,
        differences=(),
        hypervolumes=tuple(_hypervolumes(before, after)),
        operating_points=tuple(_operating_points(before, after)),
        joined=tuple(_moves(before, after, "nothing else is as fast there now")),
        left=tuple(_moves(after, before, "it is dominated now, or not valid")),
    )


def _label(report: Report, configuration: Configuration) -> str:
    return configuration_label(configuration.settings, report.varied)


def _match(
    key: str, old: Configuration, new: Configuration, report: Report, is_gating: bool
) -> Match:
    def measured(configuration: Configuration) -> dict[Any, tuple[float, ...]]:
        names = {m: metric_of_measure(report, m) for m in MEASURES}
        return {
            m: tuple(float(run.figures[name] or 0.0) for run in configuration.runs)
            for m, name in names.items()
        }

    rounds = tuple(range(len(old.runs)))
    return Match(
        key=key, label=_label(report, old), is_gating=is_gating, is_paired=True,
        baseline=measured(old), candidate=measured(new), baseline_rounds=rounds,
        candidate_rounds=rounds, before=old, after=new,
    )  # fmt: skip


def _loss(log_ratios: np.ndarray, *, of_throughput: bool = False) -> Loss:
    n, mean = len(log_ratios), float(np.mean(log_ratios))
    interval = None
    if n > 1:
        half = float(stats.t.ppf(0.975, n - 1) * np.std(log_ratios, ddof=1) / math.sqrt(n))
        ends = [math.expm1(mean - half), math.expm1(mean + half)]
        interval = Interval(low=ends[0], high=ends[1], method="t_over_runs")
    return Loss(loss=math.expm1(mean), interval=interval, num_runs=n)


def _p_value(log_ratios: np.ndarray, margin: float) -> float | None:
    n = len(log_ratios)
    if n < 2:
        return None
    error = max(float(np.std(log_ratios, ddof=1)), 1e-12) / math.sqrt(n)
    return float(stats.t.sf((np.mean(log_ratios) - math.log1p(margin)) / error, n - 1))


def _decide(matches: tuple[Match, ...], lost: tuple[Lost, ...], pairs: int) -> Decision:
    limits = Thresholds()
    gating = [m for m in matches if m.is_gating]
    ratios = {
        m.key: {
            measure: (1 if measure != "throughput" else -1)
            * np.log(np.array(m.candidate[measure]) / np.array(m.baseline[measure]))
            for measure in MEASURES
        }
        for m in gating
    }
    losses = []
    for m in gating:
        own = {measure: _loss(r) for measure, r in ratios[m.key].items()}
        p_values: dict[Any, float | None] = {
            measure: _p_value(r, limits.single_margin) for measure, r in ratios[m.key].items()
        }
        shown = any(p is not None and p < 0.05 / 3 / len(gating) for p in p_values.values())
        losses.append(
            ConfigurationLoss(match=m, losses=own, p_values=p_values, is_regression=shown)
        )
    by_measure = {
        measure: _loss(np.mean([ratios[m.key][measure] for m in gating], axis=0))
        for measure in MEASURES
        if gating
    }
    overall = None
    if gating:
        overall = _loss(np.mean([np.mean(list(ratios[m.key].values()), 0) for m in gating], 0))
    outcome, reason = "inconclusive", "the interval allows both"
    ends = overall.interval if overall else None
    if (ends and ends.low > limits.max_loss) or any(c.is_regression for c in losses) or lost:
        outcome, reason = "regression", "it lost more than the threshold"
    elif ends and ends.high < limits.pass_below:
        outcome, reason = "pass", "the upper bound is below the threshold"
    return Decision(
        outcome=outcome,  # type: ignore[arg-type]
        strict_outcome=outcome,  # type: ignore[arg-type]
        reason=reason, overall=overall, by_measure=by_measure, configurations=tuple(losses),
        lost=lost, num_pairs=pairs, more_pairs=7 if outcome == "inconclusive" else None,
        is_advisory=False, thresholds=limits,
    )  # fmt: skip


def _hypervolumes(before: Report, after: Report) -> list[HypervolumeRatio]:
    found = []
    for old, new in zip(before.uncertainties, after.uncertainties, strict=False):
        if old.hypervolume and new.hypervolume:
            ratio = new.hypervolume.value / old.hypervolume.value
            ends = Interval(low=ratio * 0.98, high=ratio * 1.02, method="t_over_runs")
            name = str(old.curve[0] or "") if len(before.uncertainties) > 1 else ""
            found.append(HypervolumeRatio(curve=name, ratio=ratio, interval=ends))
    return found


def _operating_points(before: Report, after: Report) -> list[OperatingPointChange]:
    new = {c.settings.configuration_id: c for c in after.configurations if c.is_valid}
    found = []
    for old, now in zip(before.operating_points, after.operating_points, strict=True):
        chosen, best = old.configuration, now.configuration
        same = new.get(chosen.settings.configuration_id) if chosen else None
        cost = None
        if chosen and best:
            ratio = chosen.figures[old.goal.objective] / best.figures[old.goal.objective]
            cost = ratio - 1 if old.goal.maximize else 1 / ratio - 1
        met = None
        if same is not None:
            met = all(
                (same.figures[name] or math.inf) <= limit
                for name, limit in old.goal.subject_to.items()
            )
        found.append(
            OperatingPointChange(
                goal=old.goal.name, objective=old.goal.objective,
                limits=", ".join(f"{n} ≤ {v:g}" for n, v in old.goal.subject_to.items()),
                before=chosen, same_now=same, best_now=best, still_meets=met, cost=cost,
            )
        )  # fmt: skip
    return found


def _moves(base: Report, other: Report, why: str) -> list[FrontierMove]:
    front = {c.settings.configuration_id for c in base.frontier}
    return [
        FrontierMove(label=_label(other, c), why=why)
        for c in other.frontier
        if c.settings.configuration_id not in front
    ]


def relabelled(comparison: Comparison, label: str, *, times: int = 1) -> Comparison:
    """Return the comparison with a label in place of every one, and `times` as many of each."""
    decision = comparison.decision
    found = tuple(replace(c, match=replace(c.match, label=label)) for c in decision.configurations)
    return replace(
        comparison,
        decision=replace(decision, configurations=found * times, reason=label, notes=(label,)),
        matches=tuple(replace(m, label=label) for m in comparison.matches) * times,
        unmatched=(Unmatched(side="candidate", label=label, why=label),) * times,
        joined=(FrontierMove(label=label, why=label),) * times,
        operating_points=tuple(
            replace(c, goal=label, limits=label, note=label) for c in comparison.operating_points
        )
        * times,
    )


@pytest.fixture
def with_labels() -> Callable[..., Comparison]:
    return relabelled


@pytest.fixture
def slower() -> Callable[[float], Change]:
    """Return a change by a share: 0.05 is 5% less throughput and 5% more latency."""
    return by


@pytest.fixture
def compared(tmp_path: Path) -> Callable[..., Comparison]:
    """Build a comparison under tmp_path."""
    return lambda **how: build(tmp_path, **how)
