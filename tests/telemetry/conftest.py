from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest


class NVMLError(Exception):
    pass


ERRORS = {
    name: type(f"NVMLError_{name}", (NVMLError,), {})
    for name in ("NotSupported", "FunctionNotFound", "Unknown", "NotFound", "LibraryNotFound")
}


class NVMLLibraryMismatchError(Exception):
    pass


class MetricsGet:
    """As nvidia-ml-py's structure: what is asked and what is answered, in one."""

    def __init__(self) -> None:
        self.version = self.numMetrics = 0
        self.sample1 = self.sample2 = None
        self.metrics = [SimpleNamespace(metricId=0, nvmlReturn=0, value=0.0) for _ in range(9)]


class FakeNvml(ModuleType):
    """A driver with `gpus`, whose answers are attributes and whose calls are counted.

    GPM: a sample holds the device's cumulated activity at that moment (`activity`), and a metric
    is the difference of two samples.
    """

    NVMLError = NVMLError
    NVMLLibraryMismatchError = NVMLLibraryMismatchError
    c_nvmlGpmMetricsGet_t = MetricsGet  # noqa: N815
    NVML_SUCCESS = 0
    NVML_CLOCK_SM = 1
    NVML_TEMPERATURE_GPU = 0
    NVML_GPM_METRICS_GET_VERSION = 1
    NVML_GPM_METRIC_SM_UTIL = 2
    NVML_GPM_METRIC_ANY_TENSOR_UTIL = 5
    NVML_GPM_METRIC_DRAM_BW_UTIL = 10

    def __init__(self, names: tuple[str, ...] = ("NVIDIA H200",)) -> None:
        super().__init__("pynvml")
        self.gpus = [f"GPU-{index}abc-{index}" for index in range(len(names))]
        self.names = names
        self.users = 0
        self.calls: list[str] = []
        self.errors: dict[str, Exception] = {}  # by function: raised instead of answered
        self.activity = {2: 0.0, 5: 0.0, 10: 0.0}
        self.metric_returns = {2: 0, 5: 0, 10: 0}
        self.allocated: list[dict[int, float]] = []
        self.processes: list[tuple[int, int | None]] = []
        self.graphics_pids: list[int] = []
        self.answers: dict[str, Any] = {
            "nvmlDeviceGetTotalEnergyConsumption": 5_000_250,
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=97, memory=40),
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=150 << 30, used=20 << 30),
            "nvmlDeviceGetPowerUsage": 650_500,
            "nvmlDeviceGetEnforcedPowerLimit": 700_000,
            "nvmlDeviceGetClockInfo": 1980,
            "nvmlDeviceGetTemperature": 61,
            "nvmlDeviceGetCurrentClocksEventReasons": 0x4,
            "nvmlSystemGetDriverVersion": "580.159.03",
            "nvmlSystemGetCudaDriverVersion_v2": 13000,
            "nvmlGpmQueryDeviceSupport": SimpleNamespace(isSupportedDevice=1),
        }

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("nvml"):
            return super().__getattribute__(name)
        answers = super().__getattribute__("answers")
        if name not in answers and name not in type(self).__dict__:
            raise AttributeError(name)

        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            if name in self.errors:
                raise self.errors[name]
            if name in answers:
                return answers[name]
            return type(self).__dict__[name](self, *arguments)

        return call

    def nvmlInit(self) -> None:  # noqa: N802
        self.users += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.users -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return self.gpus[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        if uuid not in self.gpus:
            raise ERRORS["NotFound"]
        return uuid

    def nvmlDeviceGetUUID(self, device: str) -> str:  # noqa: N802
        return device

    def nvmlDeviceGetName(self, device: str) -> str:  # noqa: N802
        return self.names[self.gpus.index(device)]

    def nvmlDeviceGetComputeRunningProcesses(self, device: str) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.processes]

    def nvmlDeviceGetGraphicsRunningProcesses(self, device: str) -> list[Any]:  # noqa: N802
        return [SimpleNamespace(pid=pid) for pid in self.graphics_pids]

    def nvmlGpmSampleAlloc(self) -> dict[int, float]:  # noqa: N802
        self.allocated.append({})
        return self.allocated[-1]

    def nvmlGpmSampleFree(self, sample: dict[int, float]) -> None:  # noqa: N802
        self.allocated = [other for other in self.allocated if other is not sample]

    def nvmlGpmSampleGet(self, device: str, sample: dict[int, float]) -> dict[int, float]:  # noqa: N802
        sample.update(self.activity)
        return sample

    def nvmlGpmMetricsGet(self, request: MetricsGet) -> MetricsGet:  # noqa: N802
        assert request.version == 1
        for metric in request.metrics[: request.numMetrics]:
            metric.nvmlReturn = self.metric_returns[metric.metricId]
            metric.value = request.sample2[metric.metricId] - request.sample1[metric.metricId]
        return request


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@pytest.fixture
def two_gpus(nvml: FakeNvml) -> FakeNvml:
    nvml.gpus.append("GPU-1abc-1")
    nvml.names = ("NVIDIA H200", "NVIDIA H200")
    return nvml


@pytest.fixture
def refusal() -> dict[str, type[NVMLError]]:
    return ERRORS
