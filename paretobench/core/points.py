"""One row of `points.csv`: the swept settings, then the figures, then the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, cast

from paretobench.core.metrics import METRICS
from paretobench.core.units import to_ms
from paretobench.core.values import Trial, Verdict
from paretobench.core.workloads import ArrivalProcess, ClosedLoop, TraceReplay


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The swept settings of a trial; None where a setting does not apply to its load."""

    trial_id: str
    configuration_id: str
    workload: str
    policy: str
    max_batch_size: int
    max_waiting_time_ms: float
    kv_budget_tokens: int | None
    max_prefill_tokens_per_step: int | None
    load: str
    load_kind: str
    concurrency: int | None
    offered_requests_per_s: float | None
    fraction_of_capacity: float | None
    repeat: int
    seed: int

    @classmethod
    def of(cls, trial: Trial) -> Settings:
        """Return the settings of a trial whose load is settled."""
        load = trial.load
        rate = load.requests_per_s if isinstance(load, ArrivalProcess) else None
        fraction = load.fraction_of_capacity if isinstance(load, ArrivalProcess) else None
        assert isinstance(load, ArrivalProcess | ClosedLoop | TraceReplay)
        return cls(
            trial_id=trial.trial_id,
            configuration_id=trial.configuration_id,
            workload=str(trial.workload),
            policy=trial.batching.policy,
            max_batch_size=trial.batching.max_batch_size,
            max_waiting_time_ms=to_ms(trial.batching.max_waiting_time_s),
            kv_budget_tokens=trial.batching.kv_budget_tokens,
            max_prefill_tokens_per_step=trial.batching.max_prefill_tokens_per_step,
            load=str(load),
            load_kind=load.kind,
            concurrency=load.concurrency if isinstance(load, ClosedLoop) else None,
            offered_requests_per_s=rate,
            fraction_of_capacity=fraction,
            repeat=trial.repeat,
            seed=trial.seed,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one trial measured.

    `figures` holds every name of `core.metrics.METRICS`: None is missing, inf a tail in which
    requests failed. `low_percentiles` names the percentiles with fewer than 10 samples beyond.
    """

    settings: Settings
    figures: Mapping[str, float | None]
    low_percentiles: tuple[str, ...]
    verdict: Verdict
    reason: str

    def to_row(self) -> dict[str, Any]:
        """Return the row of `points.csv`, keyed by POINT_COLUMNS."""
        return {
            **asdict(self.settings),
            **{name: self.figures.get(name) for name in METRICS},
            "low_percentiles": " ".join(self.low_percentiles),
            "verdict": self.verdict,
            "reason": self.reason,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Point:
        """Return the point of a row of `points.csv`, its values already typed, None if missing."""
        return cls(
            settings=Settings(**{f.name: row[f.name] for f in fields(Settings)}),
            figures={name: row.get(name) for name in METRICS},
            low_percentiles=tuple(str(row["low_percentiles"] or "").split()),
            verdict=cast(Verdict, row["verdict"]),
            reason=str(row["reason"] or ""),
        )


POINT_COLUMNS: tuple[str, ...] = (
    *(f.name for f in fields(Settings)),
    *METRICS,
    "low_percentiles",
    "verdict",
    "reason",
)
