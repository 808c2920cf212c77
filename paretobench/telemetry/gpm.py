"""SM, tensor-core and DRAM activity through NVML's GPU performance monitoring (Hopper and newer).

A GPM figure is an average between two samples that the driver took, so each reading covers the
time since the reading before.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Any

from paretobench.telemetry.queries import NvmlQueries

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Mean activity since the last reading, in % of the time or of the peak; None if not read."""

    sm_util_pct: float | None = None
    tensor_util_pct: float | None = None
    dram_util_pct: float | None = None


class GpmActivity:
    """Two sample buffers of one device that take turns; `close` frees them."""

    def __init__(self, nvml: Any, queries: NvmlQueries, device: Any, buffers: list[Any]) -> None:
        self._nvml = nvml
        self._queries = queries
        self._device = device
        self._buffers = buffers  # [the last sample taken, the spare]
        self._metric_ids = (
            nvml.NVML_GPM_METRIC_SM_UTIL,
            nvml.NVML_GPM_METRIC_ANY_TENSOR_UTIL,
            nvml.NVML_GPM_METRIC_DRAM_BW_UTIL,
        )
        self._request = nvml.c_nvmlGpmMetricsGet_t()
        self._has_sample = self._take(buffers[0])

    @classmethod
    def open(cls, nvml: Any, queries: NvmlQueries, device: Any) -> GpmActivity | None:
        """Return the monitor, its first sample taken, or None where the device has no GPM."""
        support = queries.ask("nvmlGpmQueryDeviceSupport", device)
        if support is None or not support.isSupportedDevice:
            logger.info("the device reports no GPM: SM, tensor and DRAM activity stay empty")
            return None
        buffers: list[Any] = []
        for _ in range(2):
            buffer = queries.ask("nvmlGpmSampleAlloc")
            if buffer is None:
                _free(queries, buffers)
                return None
            buffers.append(buffer)
        return cls(nvml, queries, device, buffers)

    def read(self) -> Activity:
        """Return the activity since the last reading; all None where a sample was refused."""
        last, spare = self._buffers
        if not self._take(spare):
            return Activity()
        self._buffers = [spare, last]
        had_sample, self._has_sample = self._has_sample, True
        if not had_sample:
            return Activity()
        sm_util_pct, tensor_util_pct, dram_util_pct = self._between(last, spare)
        return Activity(
            sm_util_pct=sm_util_pct, tensor_util_pct=tensor_util_pct, dram_util_pct=dram_util_pct
        )

    def close(self) -> None:
        """Free the buffers; the monitor is not to be read after."""
        _free(self._queries, self._buffers)
        self._buffers = []

    def _take(self, buffer: Any) -> bool:
        return self._queries.ask("nvmlGpmSampleGet", self._device, buffer) is not None

    def _between(self, earlier: Any, later: Any) -> list[float | None]:
        request = self._request
        request.version = self._nvml.NVML_GPM_METRICS_GET_VERSION
        request.numMetrics = len(self._metric_ids)
        request.sample1, request.sample2 = earlier, later
        for i, metric_id in enumerate(self._metric_ids):
            request.metrics[i].metricId = metric_id
        if self._queries.ask("nvmlGpmMetricsGet", request) is None:
            return [None] * len(self._metric_ids)
        return [self._value(request.metrics[i]) for i in range(len(self._metric_ids))]

    def _value(self, metric: Any) -> float | None:
        # each metric has a return code of its own
        is_good = metric.nvmlReturn == self._nvml.NVML_SUCCESS and math.isfinite(metric.value)
        return float(metric.value) if is_good else None


def _free(queries: NvmlQueries, buffers: list[Any]) -> None:
    for buffer in buffers:
        queries.ask("nvmlGpmSampleFree", buffer)
