"""What a report holds, worked out from a run folder before anything is drawn or written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from paretobench.analysis.certificates import Certificate, certify_all
from paretobench.analysis.configurations import Configuration, combine_repeats
from paretobench.analysis.confirmation import Confirmation, confirmation_of
from paretobench.analysis.front_uncertainty import CurveUncertainty, curve_uncertainties
from paretobench.analysis.frontier import curve_of, find_frontier
from paretobench.analysis.operating_points import OperatingPoint, choose_all
from paretobench.analysis.precision import judged
from paretobench.core.metrics import split_name
from paretobench.core.points import Point
from paretobench.report.controllers import Contest, find_contests
from paretobench.report.courses import Course, load_courses
from paretobench.report.limits import DeviceLimits, find_limits
from paretobench.report.manifest import (
    goals,
    latency_cap,
    latency_metric,
    throughput_metric,
    variant_names,
    wanted_precision,
)
from paretobench.report.points import Loaded, load_undamaged
from paretobench.report.recorded import with_recorded
from paretobench.report.settings_text import varied_settings
from paretobench.report.text import one_line, plural
from paretobench.results.reader import RunFolder

# written beside the figures, in this order
DATA_FILES = ("points.csv", "frontier.csv", "operating_points.yaml", "report.md", "report.html")
_SEED = 0  # of the resamples: equal data give an equal report


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A run's points, its frontier and where to run; `left_out` says why a figure is not there,
    `damaged` which trials are not, since a raw file of theirs cannot be read.

    `uncertainties` say, a curve each, who may belong on it and how much it wins.
    `courses` are the trials under loads whose rate varies, `contests` what controllers did there;
    `limits` are what the device allows at best.
    """

    run: RunFolder
    points: tuple[Point, ...]
    configurations: tuple[Configuration, ...]
    frontier: tuple[Configuration, ...]
    operating_points: tuple[OperatingPoint, ...]
    certificates: dict[str, Certificate] = field(default_factory=dict)  # of those chosen, by goal
    uncertainties: tuple[CurveUncertainty, ...] = ()
    courses: tuple[Course, ...] = ()
    contests: tuple[Contest, ...] = ()
    limits: DeviceLimits = field(default_factory=DeviceLimits)
    figures: tuple[Path, ...] = ()
    left_out: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()

    @property
    def throughput(self) -> str:
        """The metric across."""
        return throughput_metric(self.run)

    @property
    def latency(self) -> str:
        """The metric up."""
        return latency_metric(self.run)

    @property
    def workloads(self) -> tuple[str, ...]:
        """The workload shapes, in the order measured."""
        return tuple(dict.fromkeys(c.settings.workload for c in self.configurations))

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants measured, in the scenario's order; empty where it has one system."""
        found = dict.fromkeys(c.settings.variant for c in self.configurations)
        return tuple(v for v in found if v is not None) if len(found) > 1 else ()

    @property
    def curves(self) -> dict[tuple[str | None, str], list[Configuration]]:
        """The frontier of each variant and workload, by rising throughput."""
        curves: dict[tuple[str | None, str], list[Configuration]] = {}
        for configuration in self.frontier:
            curves.setdefault(curve_of(configuration), []).append(configuration)
        return curves

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of mixed traffic that have figures of their own."""
        names = (split_name(name)[0] for c in self.configurations for name in c.figures)
        return tuple(dict.fromkeys(name for name in names if name is not None))

    @property
    def varied(self) -> frozenset[str]:
        """The settings that tell configurations apart, beside sizes, waits and loads."""
        return varied_settings(c.settings for c in self.configurations)

    @property
    def verdicts(self) -> dict[str, int]:
        """How many trials had each verdict, most first."""
        return dict(Counter(point.verdict for point in self.points).most_common())

    @property
    def confirmation(self) -> Confirmation:
        """What measuring the frontier again showed."""
        return confirmation_of(
            self.points, self.configurations, throughput=self.throughput, latency=self.latency
        )

    def repeats_of(self, configuration: Configuration) -> list[Point]:
        """Return the points that a configuration's figures are the mean of."""
        return list(configuration.runs)


def assemble(run: RunFolder, pooled: Sequence[Point] | None = None) -> Report:
    """Return the report of a run folder, with no figure drawn yet.

    `pooled` are the points of several runs of one scenario, this one and others: they stand in
    place of its own, and courses, which are of one run, are left out.
    Raises RunFolderError where nothing in the folder can be read.
    """
    loaded = load_undamaged(run) if pooled is None else Loaded(points=tuple(pooled))
    points = loaded.points
    configurations = sorted(
        judged(combine_repeats(points), wanted_precision(run)),
        key=partial(_variant_rank, variant_names(run)),
    )
    # controllers meet fixed settings under the same arrivals: those measured again had others
    own = points if pooled is None else ()
    courses = load_courses(run, [p for p in own if p.settings.stage == "explore"])
    throughput, latency = throughput_metric(run), latency_metric(run)
    chosen = choose_all(goals(run), configurations, latency=latency)
    return Report(
        run=run,
        points=points,
        damaged=loaded.damaged,
        configurations=tuple(configurations),
        frontier=tuple(find_frontier(configurations, throughput=throughput, latency=latency)),
        operating_points=tuple(chosen),
        certificates=_certificates(run, chosen, configurations),
        uncertainties=tuple(
            curve_uncertainties(
                configurations,
                throughput=throughput,
                latency=latency,
                cap=latency_cap(run),
                rng=np.random.default_rng(_SEED),
            )
        ),
        courses=tuple(courses),
        contests=tuple(find_contests(courses)),
        limits=find_limits(run, configurations),
    )


def _certificates(
    run: RunFolder, chosen: Sequence[OperatingPoint], configurations: Sequence[Configuration]
) -> dict[str, Certificate]:
    """Return what is shown of each chosen point, with what the folder has recorded of it."""
    latency = latency_metric(run)
    scenario = run.manifest.get("scenario") or {}
    shown = certify_all(chosen, configurations, scenario, latency=latency)
    recorded = run.path / "operating_points.yaml"
    return with_recorded(shown, chosen, configurations, recorded, latency=latency)


def _variant_rank(names: Sequence[str | None], configuration: Configuration) -> int:
    variant = configuration.settings.variant
    return names.index(variant) if variant in names else len(names)


def no_valid_trial(points: Sequence[Point]) -> str:
    """Return why nothing can be recommended: the verdicts, and the first reason of each."""
    if not points:
        return "no trial was measured"
    first: dict[str, str] = {}
    for point in points:
        first.setdefault(point.verdict, one_line(point.reason, limit=200))
    counts = Counter(point.verdict for point in points)
    parts = [
        f"{count} {verdict.replace('_', ' ')}{f' ({first[verdict]})' if first[verdict] else ''}"
        for verdict, count in counts.most_common()
    ]
    return f"none of {plural(len(points), 'trial')} is valid: {'; '.join(parts)}"
