"""What stands for a GPU on a CPU: tokens that are read late, steps that are replayed."""

from __future__ import annotations

from typing import Any

import pytest

from paretobench.runners.torch.readback import Arrived
from paretobench.runners.torch.table import StepPlan


class ReadsLate:
    """A readback of a device that is one step ahead of the host."""

    def __init__(self) -> None:
        self.steps: list[Arrived] = []

    def push(self, parts: Any, plan: StepPlan) -> None:
        self.steps.append(Arrived.of(plan, [token for part in parts for token in part.tolist()]))

    def collect(self, *, wait_for_all: bool) -> list[Arrived]:
        keep = 0 if wait_for_all else 1
        arrived = self.steps[: len(self.steps) - keep]
        self.steps = self.steps[len(arrived) :]
        return arrived

    def clear(self) -> None:
        self.steps = []


class Recorded:
    """Stands for recorded graphs: runs a step's body when it is replayed."""

    def __init__(self) -> None:
        self.num_replays: list[int] = []

    def __call__(self, body: Any) -> Any:
        index = len(self.num_replays)
        self.num_replays.append(0)
        body()  # a warm-up, as before a recording

        def replay() -> None:
            self.num_replays[index] += 1
            body()

        return replay


@pytest.fixture
def reads_late() -> ReadsLate:
    return ReadsLate()


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()
