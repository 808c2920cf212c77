"""How an arrival rate moves with time: a factor on the base rate that repeats after a cycle.

A cycle begins at t = 0 of a trial. Whole cycles are measured, and figures go by phase.
"""

from __future__ import annotations

import itertools
import json
import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of the cycle, [start_s, end_s) from its beginning, with a name for tables."""

    label: str
    start_s: float
    end_s: float

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True, kw_only=True)
class RateProfile(ABC):
    """A factor on the base rate, at least 0 and not always 0, that repeats after `cycle_s`."""

    @property
    @abstractmethod
    def cycle_s(self) -> float:
        """How long a cycle is."""

    @property
    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """The parts of the cycle in order, from 0 to `cycle_s` without a gap."""

    @property
    @abstractmethod
    def max_factor(self) -> float:
        """The highest factor of a cycle."""

    @property
    @abstractmethod
    def mean_factor(self) -> float:
        """The mean factor over a cycle: times the base rate, what is offered on average."""

    @abstractmethod
    def rate_factor(self, t_s: float) -> float:
        """Return the factor at any time from 0 on."""

    def phase_at(self, t_s: float) -> Phase:
        """Return the phase at any time from 0 on."""
        return self.phases[int(self.phases_at(np.array(t_s)))]

    def phases_at(self, times_s: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the numbers of the phases, in their order from 0, at any times from 0 on."""
        starts = [phase.start_s for phase in self.phases]
        return np.searchsorted(starts, times_s % self.cycle_s, side="right") - 1

    def to_json(self) -> str:
        """Return the text that `profile_of` reads."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class StepsProfile(RateProfile):
    """One factor after another: `(duration_s, factor)` of each phase; 0 is silence.

    >>> profile = StepsProfile(steps=((20.0, 0.3), (20.0, 1.2)))
    >>> profile.rate_factor(70.0), profile.phase_at(70.0).label, profile.mean_factor
    (1.2, '×1.2', 0.75)
    """

    steps: tuple[tuple[float, float], ...]

    @property
    def cycle_s(self) -> float:
        """The durations' sum."""
        return self._ends_s()[-1]

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The steps, each labelled with its factor."""
        times_s = [0.0, *self._ends_s()]
        return tuple(
            Phase(label=f"×{factor:g}", start_s=start_s, end_s=end_s)
            for (start_s, end_s), (_, factor) in zip(
                itertools.pairwise(times_s), self.steps, strict=True
            )
        )

    @property
    def max_factor(self) -> float:
        """The highest step."""
        return max(factor for _, factor in self.steps)

    @property
    def mean_factor(self) -> float:
        """The mean of the factors, weighted by how long they last."""
        return sum(duration_s * factor for duration_s, factor in self.steps) / self.cycle_s

    def rate_factor(self, t_s: float) -> float:
        """Return the factor of the step at that time."""
        ends_s = self._ends_s()
        return self.steps[bisect_right(ends_s, t_s % ends_s[-1])][1]

    def _ends_s(self) -> list[float]:
        return list(itertools.accumulate(duration_s for duration_s, _ in self.steps))

    def __str__(self) -> str:
        durations = {duration_s for duration_s, _ in self.steps}
        if len(durations) == 1:
            return f"{'→'.join(f'{f:g}' for _, f in self.steps)} ×{durations.pop():g} s"
        return "→".join(f"{factor:g} ({duration_s:g} s)" for duration_s, factor in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class SineProfile(RateProfile):
    """1 + amplitude · sin(2π t / period), 0 < amplitude <= 1.

    >>> profile = SineProfile(amplitude=0.8, period_s=40.0)
    >>> profile.rate_factor(10.0), profile.phase_at(10.0).label, profile.phase_at(30.0).label
    (1.8, 'above', 'below')
    """

    amplitude: float
    period_s: float

    @property
    def cycle_s(self) -> float:
        """One period."""
        return self.period_s

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The half above the base rate, then the half below it."""
        half_s = self.period_s / 2
        return (
            Phase(label="above", start_s=0.0, end_s=half_s),
            Phase(label="below", start_s=half_s, end_s=self.period_s),
        )

    @property
    def max_factor(self) -> float:
        """The crest."""
        return 1.0 + self.amplitude

    @property
    def mean_factor(self) -> float:
        """1: a sine swings about the base rate."""
        return 1.0

    def rate_factor(self, t_s: float) -> float:
        """Return the factor at that time."""
        return 1.0 + self.amplitude * math.sin(2 * math.pi * t_s / self.period_s)

    def __str__(self) -> str:
        return f"±{self.amplitude:.3g} over {self.period_s:g} s"


@dataclass(frozen=True, slots=True, kw_only=True)
class BurstProfile(RateProfile):
    """1, and `factor` in the last `burst_s` of every period, 0 < burst_s < period_s.

    >>> profile = BurstProfile(factor=3.0, burst_s=2.0, period_s=10.0)
    >>> profile.rate_factor(7.9), profile.rate_factor(8.0), profile.mean_factor
    (1.0, 3.0, 1.4)
    """

    factor: float
    burst_s: float
    period_s: float

    @property
    def cycle_s(self) -> float:
        """One period."""
        return self.period_s

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Calm, then the burst."""
        calm_s = self.period_s - self.burst_s
        return (
            Phase(label="calm", start_s=0.0, end_s=calm_s),
            Phase(label="burst", start_s=calm_s, end_s=self.period_s),
        )

    @property
    def max_factor(self) -> float:
        """The burst's factor, or 1 where that is lower."""
        return max(1.0, self.factor)

    @property
    def mean_factor(self) -> float:
        """The mean of calm and burst, weighted by how long they last."""
        return 1.0 + (self.factor - 1.0) * self.burst_s / self.period_s

    def rate_factor(self, t_s: float) -> float:
        """Return 1 while it is calm, else the burst's factor."""
        return 1.0 if t_s % self.period_s < self.period_s - self.burst_s else self.factor

    def __str__(self) -> str:
        return f"×{self.factor:g} for {self.burst_s:g} of {self.period_s:g} s"


def profile_of(load_kind: str, text: str | None) -> RateProfile | None:
    """Return the profile that `to_json` wrote of a load of that kind, None where it has none.

    >>> wave = SineProfile(amplitude=0.5, period_s=10.0)
    >>> profile_of("sine", wave.to_json()) == wave
    True
    """
    if text is None:
        return None
    content: dict[str, Any] = json.loads(text)
    match load_kind:
        case "steps":
            return StepsProfile(steps=tuple((d, f) for d, f in content["steps"]))
        case "sine":
            return SineProfile(**content)
        case "burst":
            return BurstProfile(**content)
    raise ValueError(f"expected a load of kind steps, sine or burst, found {load_kind!r}")
