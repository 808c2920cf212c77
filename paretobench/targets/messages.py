"""What the parent and the worker say to each other, pickled over a pipe of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from paretobench.core import errors
from paretobench.core.ceilings import Ceiling
from paretobench.core.values import Trace, Trial
from paretobench.scenario.systems import LatencyModel, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Load this system and warm it up at these batch sizes.

    An engine has `device_share` of the device, and of a GPU's memory `memory_bytes` (None: all).
    """

    system: Model | LatencyModel
    batch_sizes: tuple[int, ...]
    max_request_tokens: int
    max_prompt_tokens: int
    max_prefill_tokens_per_step: int | None = None
    device_share: float = 1.0
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The system is loaded and warm."""

    description: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """Serve this trial, or the requests of one class of it where each has an engine.

    An engine answers Prepared, or Measured where it had no memory, and waits for Start.
    """

    trial: Trial
    engine: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """The engine could begin now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Begin at this time of the host's monotonic clock; None: the trial is called off."""

    at_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What happened in the trial."""

    trace: Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureLoop:
    """Measure what a step of the serving loop itself costs at these batch sizes."""

    batch_sizes: tuple[int, ...]
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopMeasured:
    """Seconds a step, by batch size."""

    cost_s: Mapping[int, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckOptions:
    """Say whether this machine does what the model asks for, without loading it."""

    model: Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """It does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimDevice:
    """Begin to use this GPU, with nothing on it yet."""

    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceClaimed:
    """What is free on it now."""

    free_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenDevice:
    """Make this device ready to be measured by itself, without a model."""

    device: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceReady:
    """The device is ready; `cases` are the ceilings that can be measured on it."""

    system: Mapping[str, Any]
    cases: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureCeiling:
    """Measure one of the device's ceilings for about `seconds`."""

    case: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CeilingMeasured:
    """What was measured, or why it could not be."""

    ceiling: Ceiling


Message: TypeAlias = (
    Open | Measure | Start | MeasureLoop | CheckOptions | ClaimDevice | OpenDevice | MeasureCeiling
)
Reply: TypeAlias = (
    Ready
    | Prepared
    | Measured
    | LoopMeasured
    | Checked
    | DeviceClaimed
    | DeviceReady
    | CeilingMeasured
)


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
