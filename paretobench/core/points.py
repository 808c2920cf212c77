"""One row of `points.csv`: the swept settings, then the figures, then the verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from paretobench.core.controllers import constants_json
from paretobench.core.intervals import (
    INTERVAL_BOUNDS,
    METHOD_COLUMN,
    Interval,
    interval_cells,
    intervals_of_row,
)
from paretobench.core.metrics import METRICS, qualified, split_name
from paretobench.core.profiles import RateProfile, profile_of
from paretobench.core.units import to_ms
from paretobench.core.values import BatchingConfig, Trial, Verdict
from paretobench.core.workloads import ArrivalProcess, ClosedLoop, TraceReplay


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The swept settings of a trial; None where a setting does not apply to its load.

    `class_batching` says how each class is batched where it has a queue or an engine of its own:
    JSON, `{class: {max_batch_size, max_waiting_time_ms, priority, device_share}}`.
    `controller_constants` is the JSON of everything that the controller was given.
    `rate_profile` is the JSON of a load whose rate varies, and `offered_requests_per_s` its mean.
    Trials of one `schedule_id` serve the same requests; None in runs of before it was recorded.
    """

    trial_id: str
    configuration_id: str
    variant: str | None = None
    workload: str
    arrangement: str = "shared"
    class_batching: str | None = None
    mix_classes: bool = False
    aging_ms: float | None = None
    preemption: str | None = None
    policy: str
    controller: str | None = None
    controller_constants: str | None = None
    max_batch_size: int
    max_waiting_time_ms: float
    kv_budget_tokens: int | None
    max_prefill_tokens_per_step: int | None
    load: str
    load_kind: str
    concurrency: int | None
    offered_requests_per_s: float | None
    fraction_of_capacity: float | None
    rate_profile: str | None = None
    repeat: int
    seed: int
    stage: str = "explore"
    schedule_id: str | None = None

    @classmethod
    def of(cls, trial: Trial) -> Settings:
        """Return the settings of a trial whose load is settled."""
        load, batching = trial.load, trial.batching
        rate = load.mean_requests_per_s if isinstance(load, ArrivalProcess) else None
        fraction = load.fraction_of_capacity if isinstance(load, ArrivalProcess) else None
        profile = load.profile if isinstance(load, ArrivalProcess) else None
        assert isinstance(load, ArrivalProcess | ClosedLoop | TraceReplay)
        return cls(
            trial_id=trial.trial_id,
            configuration_id=trial.configuration_id,
            variant=trial.variant,
            workload=str(trial.workload),
            arrangement=batching.arrangement,
            class_batching=_class_batching(batching),
            mix_classes=batching.mix_classes,
            aging_ms=None if batching.aging_s is None else to_ms(batching.aging_s),
            preemption=batching.preemption,
            policy=batching.policy,
            controller=None if batching.controller is None else str(batching.controller),
            controller_constants=(
                None if batching.controller is None else constants_json(batching.controller)
            ),
            max_batch_size=batching.max_batch_size,
            max_waiting_time_ms=to_ms(batching.max_waiting_time_s),
            kv_budget_tokens=batching.kv_budget_tokens,
            max_prefill_tokens_per_step=batching.max_prefill_tokens_per_step,
            load=str(load),
            load_kind=load.kind,
            concurrency=load.concurrency if isinstance(load, ClosedLoop) else None,
            offered_requests_per_s=rate,
            fraction_of_capacity=fraction,
            rate_profile=None if profile is None else profile.to_json(),
            repeat=trial.repeat,
            seed=trial.seed,
            stage=trial.stage,
            schedule_id=trial.schedule_id,
        )

    @property
    def is_steady(self) -> bool:
        """Whether the load asks for the same throughout: no profile, no replayed trace."""
        return self.rate_profile is None and self.load_kind != "trace"

    def class_limits(self) -> dict[str, dict[str, Any]]:
        """Return what `class_batching` says, empty where the classes share one queue."""
        limits: dict[str, dict[str, Any]] = json.loads(self.class_batching or "{}")
        return limits

    def constants(self) -> dict[str, Any]:
        """Return what the controller was given, empty where there is none."""
        constants: dict[str, Any] = json.loads(self.controller_constants or "{}")
        return constants

    def profile(self) -> RateProfile | None:
        """Return how the load's rate varies, None where it does not."""
        return profile_of(self.load_kind, self.rate_profile)


def _class_batching(batching: BatchingConfig) -> str | None:
    limits = {
        c.name: {
            "max_batch_size": c.max_batch_size,
            "max_waiting_time_ms": to_ms(c.max_waiting_time_s),
            "priority": c.priority,
            "device_share": c.device_share,
        }
        for c in batching.classes
    }
    return json.dumps(limits) if limits else None


ALL_CLASSES = "all"
# what tells one run of a configuration from another, and nothing of the configuration
OF_ONE_RUN = ("trial_id", "configuration_id", "repeat", "seed", "stage", "schedule_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one trial measured.

    `figures` holds every name of `core.metrics.METRICS`: None is missing, inf a tail in which
    requests failed. In mixed traffic it also holds each class's, under `qualified` names.
    `low_percentiles` names the percentiles with fewer than 10 samples beyond. `remedy` says what to
    do about a verdict other than valid. `intervals` are those of this one run, by figure.

    `samples` are the latencies of the measured requests in the order they arrived, in seconds, by
    kind (`e2e`, `ttft`, `tpot`, `queue`; of a class `chat.e2e`); inf: not delivered. Empty where
    the raw files are not at hand. So are `lengths`, prompt and output tokens of the requests that
    were served, shape [requests, 2]. `binds` says what keeps throughput from being higher: weights,
    kv, arithmetic or waiting; empty where the device's limits are not known.
    """

    settings: Settings
    figures: Mapping[str, float | None]
    low_percentiles: tuple[str, ...]
    verdict: Verdict
    reason: str
    remedy: str = ""
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    samples: Mapping[str, NDArray[np.float64]] = field(
        default_factory=dict, compare=False, repr=False
    )
    lengths: NDArray[np.int64] | None = field(default=None, compare=False, repr=False)
    binds: str = ""

    @property
    def class_names(self) -> list[str]:
        """The classes that have figures of their own, in the scenario's order."""
        return list(dict.fromkeys(c for c, _ in map(split_name, self.figures) if c is not None))

    def to_rows(self) -> list[dict[str, Any]]:
        """Return the rows of `points.csv`, keyed by POINT_COLUMNS: `all`, then each class."""
        return [self._row(None), *(self._row(name) for name in self.class_names)]

    @classmethod
    def from_rows(cls, rows: Sequence[Mapping[str, Any]]) -> Point:
        """Return the point of a trial's rows, `all` first, their values already typed."""
        figures: dict[str, float | None] = {}
        low: list[str] = []
        intervals: dict[str, Interval] = {}
        for row in rows:
            of_class = None if row.get("class", ALL_CLASSES) == ALL_CLASSES else row["class"]
            figures |= {_name(of_class, name): row.get(name) for name in METRICS}
            intervals |= intervals_of_row(row, of_class)
            low += [_name(of_class, name) for name in str(row["low_percentiles"] or "").split()]
        first = rows[0]
        known = {f.name for f in fields(Settings)} & first.keys()
        return cls(
            settings=Settings(**{name: first[name] for name in known}),
            figures=figures,
            low_percentiles=tuple(low),
            verdict=cast(Verdict, first["verdict"]),
            reason=str(first["reason"] or ""),
            remedy=str(first.get("remedy") or ""),
            intervals=intervals,
            binds=str(first.get("binds") or ""),
        )

    def _row(self, of_class: str | None) -> dict[str, Any]:
        low = (name for name in self.low_percentiles if split_name(name)[0] == of_class)
        limits = self.settings.class_limits().get(of_class or "", {})
        own = {name: limits[name] for name in ("max_batch_size", "max_waiting_time_ms") if limits}
        return {
            **asdict(self.settings),
            **own,
            "class": of_class or ALL_CLASSES,
            **{name: self.figures.get(_name(of_class, name)) for name in METRICS},
            "binds": "" if of_class else self.binds,
            **interval_cells(self.intervals, of_class),
            "low_percentiles": " ".join(split_name(name)[1] for name in low),
            "verdict": self.verdict,
            "reason": self.reason,
            "remedy": self.remedy,
        }


def _name(of_class: str | None, metric: str) -> str:
    return metric if of_class is None else qualified(of_class, metric)


POINT_COLUMNS: tuple[str, ...] = (
    *(f.name for f in fields(Settings)),
    "class",
    *METRICS,
    "binds",
    *INTERVAL_BOUNDS,
    METHOD_COLUMN,
    "low_percentiles",
    "verdict",
    "reason",
    "remedy",
)
