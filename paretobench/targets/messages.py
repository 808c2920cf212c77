"""What the parent and the worker say to each other, pickled over a pipe of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paretobench.core import errors
from paretobench.core.values import Trace, Trial
from paretobench.scenario.schema import LatencyModel, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Load this system and warm it up at these batch sizes."""

    system: Model | LatencyModel
    batch_sizes: tuple[int, ...]
    max_request_tokens: int
    max_prompt_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The system is loaded and warm."""

    description: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Serve this trial."""

    trial: Trial


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What happened in the trial."""

    trace: Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An error of ours, to be raised again on the other side."""

    error: str  # the name of a class in core.errors
    message: str

    def to_error(self) -> errors.ParetoBenchError:
        """Return the error that the worker raised."""
        kind = getattr(errors, self.error, errors.TrialError)
        found: errors.ParetoBenchError = kind(self.message)
        return found
