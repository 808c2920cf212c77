"""What passes between the rooms of the gate. A loss is a share: 0.02 is 2% worse, below 0 better.

Of throughput it is how much less there is, of a latency how much more, from the mean log ratio
over the runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from paretobench.analysis.configurations import Configuration
from paretobench.core.intervals import Interval
from paretobench.core.values import Verdict
from paretobench.report.model import Report
from paretobench.results.reader import RunFolder

Measure = Literal["throughput", "p50_latency", "p95_latency"]
MEASURES: tuple[Measure, ...] = ("throughput", "p50_latency", "p95_latency")
Outcome = Literal["pass", "regression", "inconclusive"]
SideName = Literal["baseline", "candidate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """What decides; shares. Of a pair of stored runs only `advisory` decides.

    Regression: the lower bound of the overall loss is above `max_loss`, or one configuration's
    test, Holm-corrected, shows more than `single_margin`. Pass: the upper bound is below
    `pass_below`. `confidence` is that of the bounds and the tests.
    """

    max_loss: float = 0.01
    single_margin: float = 0.02
    pass_below: float = 0.03
    advisory: float = 0.15
    confidence: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A configuration that is valid in both, with what each of its runs measured.

    `baseline` and `candidate` have a value a run by measure, in the metric's own unit, `rounds` the
    pair that each run belongs to. Where `is_paired`, the i-th runs of both served the same
    schedule. `is_gating`: it stands on a frontier of either side, or next to one, and counts in the
    overall loss. `throughput_is_a_rate`: it counts tokens or requests as they come, so it cannot
    be more than the load brings.
    """

    key: str
    label: str
    is_gating: bool
    is_paired: bool
    baseline: Mapping[Measure, tuple[float, ...]]
    candidate: Mapping[Measure, tuple[float, ...]]
    baseline_rounds: tuple[int, ...]
    candidate_rounds: tuple[int, ...]
    before: Configuration
    after: Configuration
    throughput_is_a_rate: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A configuration that was valid in the baseline and is not in the candidate.

    `share_of_rounds` is in how many of the rounds with a valid baseline it had this verdict
    (failures and lack of memory count together).
    """

    key: str
    label: str
    was_on_frontier: bool
    verdict: Verdict
    reason: str
    share_of_rounds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A loss with its interval; no interval where too few runs allow none."""

    loss: float
    interval: Interval | None
    num_runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigurationLoss:
    """What one configuration lost, by measure.

    `p_values` are Holm-corrected, of "it lost no more than the single margin"; None where too few
    runs allow no test.
    """

    match: Match
    losses: Mapping[Measure, Loss]
    p_values: Mapping[Measure, float | None]
    is_regression: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Red, green or neither, and why.

    `overall` is the mean over the measures of the gating configurations. `more_pairs` says about
    how many more pairs would decide, None where it is decided or where no number would.
    `strict_outcome` is what the rule for pairs says: another one than `outcome` only where that is
    advisory.
    """

    outcome: Outcome
    strict_outcome: Outcome
    reason: str
    overall: Loss | None
    by_measure: Mapping[Measure, Loss]
    configurations: tuple[ConfigurationLoss, ...]
    lost: tuple[Lost, ...]
    num_pairs: int
    more_pairs: int | None
    is_advisory: bool
    thresholds: Thresholds
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One side: its run folders, one a pair, and the report of all that count together."""

    name: SideName
    path: Path
    runs: tuple[RunFolder, ...]
    report: Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that is not the same on both sides, and whether `--allow` names it."""

    what: str
    baseline: str
    candidate: str
    is_allowed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unmatched:
    """A configuration that stands in one run alone, or cannot be compared, and why."""

    side: SideName | None  # None: in both, but not valid there
    label: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPointChange:
    """What became of an operating point of the baseline.

    `before` is the configuration that was chosen, `same_now` the same one in the candidate (None:
    not there or not valid), `best_now` what would be chosen in the candidate. `still_meets`:
    whether `same_now` keeps every limit; None where it is not known. `cost` is the loss of the
    objective from `before` to `best_now` (a share); None where there is no `best_now`.
    """

    goal: str  # the operating point's name
    objective: str
    limits: str  # as people read them, empty where there is none
    before: Configuration | None
    same_now: Configuration | None
    best_now: Configuration | None
    still_meets: bool | None
    cost: float | None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HypervolumeRatio:
    """The candidate's hypervolume over the baseline's, of one curve, from what both measured."""

    curve: str  # as people read it, empty where there is one
    ratio: float
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontierMove:
    """A configuration that joined or left the frontier, and why."""

    label: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything that a comparison says; the outputs are made of it alone."""

    baseline: Side
    candidate: Side
    decision: Decision
    matches: tuple[Match, ...]
    unmatched: tuple[Unmatched, ...]
    differences: tuple[Difference, ...]  # the allowed ones: others are refused
    hypervolumes: tuple[HypervolumeRatio, ...] = ()
    operating_points: tuple[OperatingPointChange, ...] = ()
    joined: tuple[FrontierMove, ...] = ()
    left: tuple[FrontierMove, ...] = ()
    warnings: tuple[str, ...] = field(default=())
