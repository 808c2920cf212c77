"""What one GPU does, read through NVML."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from paretobench.core.values import TelemetrySample
from paretobench.telemetry.devices import find_device
from paretobench.telemetry.gpm import Activity, GpmActivity
from paretobench.telemetry.gpu_processes import OtherProcesses
from paretobench.telemetry.queries import NvmlQueries, start_nvml, stop_nvml
from paretobench.telemetry.throttle import throttle_reason_names

logger = logging.getLogger(__name__)

_CLOSE_PATIENCE_S = 2.0


class GpuProbe(Protocol):
    """Reads one GPU. Both calls may come from any thread."""

    def read(self, t_s: float) -> TelemetrySample:
        """Return the GPU's readings now, stamped `t_s`; what cannot be read is None."""
        ...

    def close(self) -> None:
        """Give the device's handles back; a read after it gives an empty sample."""
        ...


class NvmlProbe:
    """The readings of one NVML device. `uuid` is None where the driver does not tell it.

    `own_pids` tells which processes are this run's; without it other processes are not counted.
    """

    def __init__(
        self, nvml: Any, device: Any, own_pids: Callable[[], Collection[int]] | None = None
    ) -> None:
        self._nvml = nvml
        self._device = device
        self._queries = NvmlQueries(nvml)
        self._gpm = GpmActivity.open(nvml, self._queries, device)
        self._others = None if own_pids is None else OtherProcesses(self._ask, own_pids)
        self._lock = threading.Lock()
        self._is_closed = False
        self.uuid: str | None = self._ask("nvmlDeviceGetUUID")

    def read(self, t_s: float) -> TelemetrySample:
        """Return the readings now, stamped `t_s`.

        `memory_bytes` counts what the whole device has in use, the driver's reserve included;
        `gpu_util_pct` is the share of the driver's last sampling period in which a kernel ran.
        """
        with self._lock:
            if self._is_closed:
                return TelemetrySample(t_s=t_s)
            # the counter first: it is the reading that is interpolated in time
            energy_mj = self._ask("nvmlDeviceGetTotalEnergyConsumption")
            activity = self._gpm.read() if self._gpm else Activity()
            utilisation = self._ask("nvmlDeviceGetUtilizationRates")
            memory = self._ask("nvmlDeviceGetMemoryInfo")
            power_mw = self._ask("nvmlDeviceGetPowerUsage")
            sm_clock_mhz = self._ask("nvmlDeviceGetClockInfo", self._nvml.NVML_CLOCK_SM)
            temperature = self._ask("nvmlDeviceGetTemperature", self._nvml.NVML_TEMPERATURE_GPU)
            throttle_reasons = throttle_reason_names(self._throttle_mask())
            num_others = None if self._others is None else self._others.count(t_s)
        return TelemetrySample(
            t_s=t_s,
            gpu_util_pct=None if utilisation is None else float(utilisation.gpu),
            sm_util_pct=activity.sm_util_pct,
            tensor_util_pct=activity.tensor_util_pct,
            dram_util_pct=activity.dram_util_pct,
            memory_bytes=None if memory is None else int(memory.used),
            power_w=None if power_mw is None else power_mw / 1e3,
            energy_j=None if energy_mj is None else energy_mj / 1e3,
            sm_clock_mhz=None if sm_clock_mhz is None else float(sm_clock_mhz),
            temperature_c=None if temperature is None else float(temperature),
            throttle_reasons=throttle_reasons,
            num_other_gpu_processes=num_others,
        )

    def close(self) -> None:
        """Free the sample buffers and shut NVML down; closing twice is once."""
        if not self._lock.acquire(timeout=_CLOSE_PATIENCE_S):
            logger.warning("NVML has not answered a query yet: the device's handles are left open")
            return
        try:
            if self._is_closed:
                return
            self._is_closed = True
            if self._gpm:
                self._gpm.close()
            stop_nvml(self._nvml)
        finally:
            self._lock.release()

    def _throttle_mask(self) -> int | None:
        mask: int | None = self._ask("nvmlDeviceGetCurrentClocksEventReasons")
        if mask is None:  # its name before driver 535
            mask = self._ask("nvmlDeviceGetCurrentClocksThrottleReasons")
        return mask

    def _ask(self, function: str, *arguments: Any) -> Any | None:
        return self._queries.ask(function, self._device, *arguments)


def open_gpu_probe(
    index_or_uuid: int | str = 0,
    *,
    uuid: str | None = None,
    environment: Mapping[str, str] | None = None,
    own_pids: Callable[[], Collection[int]] | None = None,
) -> NvmlProbe | None:
    """Return the probe of a CUDA device; None where there is no driver, or no such GPU.

    `index_or_uuid` is the device as torch names it (`0`, `"cuda:0"`) under `environment`
    (None: this process's), or a UUID. `uuid`, as `torch.cuda.get_device_properties` tells it,
    decides where it is given. `own_pids`: see NvmlProbe.
    """
    nvml = start_nvml()
    if nvml is None:
        return None
    wanted = index_or_uuid if uuid is None else uuid
    device = find_device(nvml, wanted, os.environ if environment is None else environment)
    if device is None:
        logger.info("NVML knows no GPU %s: no GPU telemetry", wanted)
        stop_nvml(nvml)
        return None
    return NvmlProbe(nvml, device, own_pids)
