"""Controllers of the batch limit: told what was delivered, they say where the limit stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from statistics import fmean
from typing import Protocol

import numpy as np

from paretobench.core.controllers import (
    AimdController,
    Controller,
    ModelController,
    ThresholdController,
)


class LimitController(Protocol):
    """Moves `limit`, always between 1 and the largest batch size."""

    limit: int

    def before_batch(self, *, oldest_wait_s: float, queue_depth: int) -> str:
        """Set the limit of the batch that is about to close; return why, if it moved."""

    def after_batch(
        self, *, latencies_s: Sequence[float], duration_s: float, queue_depth: int
    ) -> str:
        """Learn the E2E latencies of a batch and how long it ran; return why the limit moved."""


def make_limit_controller(config: Controller, max_batch_size: int) -> LimitController:
    """Return the controller that the config describes."""
    match config:
        case ThresholdController():
            return ThresholdLimit(config, max_batch_size)
        case AimdController():
            return AimdLimit(config, max_batch_size)
        case ModelController():
            return ModelLimit(config, max_batch_size)


class _ByLatency(ABC):
    """What both controllers by latency share: the recent ones, since the limit last moved.

    Latencies from before a change say nothing about the limit after it: they are forgotten, or
    the limit would run on for as long as they are remembered.
    """

    def __init__(self, config: ThresholdController | AimdController, max_batch_size: int) -> None:
        self._max_batch_size = max_batch_size
        self._recent_s: deque[float] = deque(maxlen=config.recent)
        self.limit = min(config.initial_batch_size, max_batch_size)

    def before_batch(self, *, oldest_wait_s: float, queue_depth: int) -> str:  # noqa: ARG002
        """Leave the limit: it moves when batches are done."""
        return ""

    def after_batch(
        self,
        *,
        latencies_s: Sequence[float],
        duration_s: float,  # noqa: ARG002
        queue_depth: int,
    ) -> str:
        """Take note of the latencies, and move the limit where they ask for it."""
        self._recent_s.extend(latencies_s)
        return self._judge(queue_depth)

    @abstractmethod
    def _judge(self, queue_depth: int) -> str:
        """Move the limit by the recent latencies; return why."""

    def _move_to(self, limit: int) -> None:
        limit = max(1, min(limit, self._max_batch_size))
        if limit != self.limit:
            self.limit = limit
            self._recent_s.clear()


class ThresholdLimit(_ByLatency):
    """Additive steps on the mean of recent latencies."""

    def __init__(self, config: ThresholdController, max_batch_size: int) -> None:
        super().__init__(config, max_batch_size)
        self._config = config

    def _judge(self, queue_depth: int) -> str:
        """Step down where the mean latency is too high, up where it is low and requests wait."""
        config = self._config
        mean_s = fmean(self._recent_s)
        found = f"mean latency {mean_s * 1e3:.0f} ms"
        if mean_s > config.high * config.latency_sla_s:
            self._move_to(self.limit - config.step)
            return f"{found} over {config.high:g} × SLA"
        if mean_s < config.low * config.latency_sla_s and queue_depth > config.min_queue_depth:
            self._move_to(self.limit + config.step)
            return f"{found} under {config.low:g} × SLA, {queue_depth} waiting"
        return ""


class AimdLimit(_ByLatency):
    """Additive increase, multiplicative decrease, on a percentile of recent latencies."""

    def __init__(self, config: AimdController, max_batch_size: int) -> None:
        super().__init__(config, max_batch_size)
        self._config = config

    def _judge(self, queue_depth: int) -> str:
        """Cut the limit where the percentile misses the SLA; raise it while requests wait."""
        config = self._config
        tail_s = float(np.percentile(self._recent_s, config.percentile))
        found = f"p{config.percentile:g} latency {tail_s * 1e3:.0f} ms"
        if tail_s > config.latency_sla_s:
            self._move_to(int(self.limit * config.decrease_factor))
            return f"{found} over the SLA"
        if queue_depth:
            self._move_to(self.limit + config.increase)
            return f"{found} inside the SLA, {queue_depth} waiting"
        return ""


class ModelLimit:
    """The largest batch that leaves the oldest waiting request inside its SLA, by a fit."""

    def __init__(self, config: ModelController, max_batch_size: int) -> None:
        self._config = config
        self._max_batch_size = max_batch_size
        self._batches: deque[tuple[int, float]] = deque(maxlen=config.recent)  # size, seconds
        self._line = (0.0, 0.0)  # seconds a request, seconds
        self.limit = min(config.initial_batch_size, max_batch_size)

    def before_batch(self, *, oldest_wait_s: float, queue_depth: int) -> str:  # noqa: ARG002
        """Set the limit by what is left of the oldest request's SLA.

        Where even a batch of one would miss it, nothing is won by small batches: the limit is the
        largest, which serves those behind it soonest.
        """
        if not self._batches:
            return ""
        slope_s, base_s = self._line
        left_s = self._config.latency_sla_s * (1 - self._config.margin) - oldest_wait_s
        line = f"duration {slope_s * 1e3:.2f} ms · b + {base_s * 1e3:.1f} ms"
        if slope_s + base_s > left_s:
            self.limit = self._max_batch_size
            return f"{line}: no batch keeps the oldest inside its SLA, the largest serves most"
        fits = self._max_batch_size if slope_s <= 0 else int((left_s - base_s) / slope_s)
        self.limit = max(1, min(fits, self._max_batch_size))
        return f"{line}: {self.limit} keep the oldest inside its SLA, {left_s * 1e3:.0f} ms left"

    def after_batch(
        self,
        *,
        latencies_s: Sequence[float],
        duration_s: float,
        queue_depth: int,  # noqa: ARG002
    ) -> str:
        """Fit duration = a·b + c to the recent batches, a and c at least 0."""
        self._batches.append((len(latencies_s), duration_s))
        sizes, durations_s = np.array(self._batches, dtype=float).T
        spread = float(np.var(sizes))
        slope_s = 0.0
        if spread > 0:
            covariance = np.mean((sizes - sizes.mean()) * (durations_s - durations_s.mean()))
            slope_s = max(float(covariance) / spread, 0.0)
        base_s = float(durations_s.mean()) - slope_s * float(sizes.mean())
        if base_s < 0:  # through the origin, then
            slope_s, base_s = float(sizes @ durations_s / (sizes @ sizes)), 0.0
        if spread == 0:  # one size was seen: no larger one is known to take longer, nor not to
            slope_s, base_s = float(durations_s.mean() / sizes.mean()), 0.0
        self._line = slope_s, base_s
        return ""
