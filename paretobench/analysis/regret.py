"""What a controller gave away: its goodput and p95 against the best fixed setting of each phase,
known in hindsight, and against the best single one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from paretobench.analysis.phases import PhaseFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseRegret:
    """One phase: what the controller did, and the best that any fixed setting did in it.

    `goodput_regret` is the share of the best goodput that is missing, `p95_regret` by how much of
    the lowest p95 the controller's is above it; negative where it did better than all fixed ones.
    None where there is no such figure.
    """

    phase: str
    goodput: float | None
    best_goodput: float | None
    best_goodput_by: str
    p95_e2e_ms: float | None
    best_p95_e2e_ms: float | None
    best_p95_by: str

    @property
    def goodput_regret(self) -> float | None:
        """Return 1 − goodput / best."""
        if self.goodput is None or not self.best_goodput:
            return None
        return 1 - self.goodput / self.best_goodput

    @property
    def p95_regret(self) -> float | None:
        """Return p95 / best − 1; inf where only the controller's is infinite."""
        if self.p95_e2e_ms is None or not self.best_p95_e2e_ms:
            return None
        return (
            None if math.isinf(self.best_p95_e2e_ms) else self.p95_e2e_ms / self.best_p95_e2e_ms - 1
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Regret:
    """A controller against fixed settings under one load.

    `goodput` and the like are over the whole cycle. `best_single` is the fixed setting of highest
    goodput over the cycle, and of equal ones of lowest worst-phase p95.
    """

    controller: str
    phases: tuple[PhaseRegret, ...]
    goodput: float | None
    hindsight_goodput: float | None  # the best fixed setting in each phase
    best_single: str
    best_single_goodput: float | None

    @property
    def goodput_regret(self) -> float | None:
        """Return the share of hindsight's goodput that is missing over the cycle."""
        if self.goodput is None or not self.hindsight_goodput:
            return None
        return 1 - self.goodput / self.hindsight_goodput

    @property
    def beats_best_single(self) -> bool | None:
        """Return whether the controller's goodput is above that of the best single setting."""
        if self.goodput is None or self.best_single_goodput is None:
            return None
        return self.goodput > self.best_single_goodput


def regret_of(
    controller: str,
    phases: Sequence[PhaseFigures],
    fixed: Mapping[str, Sequence[PhaseFigures]],
) -> Regret:
    """Return a controller's regret; `fixed` are the fixed settings by name, at least one.

    All have the same phases, since they served the same schedule.
    """
    assert fixed
    assert all(len(f) == len(phases) for f in fixed.values())
    best_single = max(fixed, key=lambda name: _preference(fixed[name]))
    return Regret(
        controller=controller,
        phases=tuple(_phase(index, own, fixed) for index, own in enumerate(phases)),
        goodput=mean_goodput(phases),
        hindsight_goodput=mean_goodput(
            [fixed[_best_goodput(index, fixed)][index] for index in range(len(phases))]
        ),
        best_single=best_single,
        best_single_goodput=mean_goodput(fixed[best_single]),
    )


def mean_goodput(phases: Sequence[PhaseFigures]) -> float | None:
    """Return good requests a second over the phases, each weighted by its length."""
    found = [(f.goodput_requests_per_s, f.phase.duration_s) for f in phases]
    if any(goodput is None for goodput, _ in found):
        return None
    return math.fsum((g or 0.0) * s for g, s in found) / math.fsum(s for _, s in found)


def _phase(
    index: int, own: PhaseFigures, fixed: Mapping[str, Sequence[PhaseFigures]]
) -> PhaseRegret:
    by_goodput = _best_goodput(index, fixed)
    by_p95 = min(fixed, key=lambda name: _or_inf(fixed[name][index].p95_e2e_ms))
    return PhaseRegret(
        phase=own.phase.label,
        goodput=own.goodput_requests_per_s,
        best_goodput=fixed[by_goodput][index].goodput_requests_per_s,
        best_goodput_by=by_goodput,
        p95_e2e_ms=own.p95_e2e_ms,
        best_p95_e2e_ms=fixed[by_p95][index].p95_e2e_ms,
        best_p95_by=by_p95,
    )


def _best_goodput(index: int, fixed: Mapping[str, Sequence[PhaseFigures]]) -> str:
    """Return the setting of highest goodput in a phase; of equal ones that of lowest p95."""
    return max(
        fixed,
        key=lambda name: (
            fixed[name][index].goodput_requests_per_s or 0.0,
            -_or_inf(fixed[name][index].p95_e2e_ms),
        ),
    )


def _preference(phases: Sequence[PhaseFigures]) -> tuple[float, float]:
    return mean_goodput(phases) or 0.0, -max(_or_inf(f.p95_e2e_ms) for f in phases)


def _or_inf(value: float | None) -> float:
    return math.inf if value is None else value
