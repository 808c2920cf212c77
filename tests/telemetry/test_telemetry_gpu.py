from __future__ import annotations

import logging
import sys

import pytest

from paretobench.telemetry.gpu import open_gpu_probe
from paretobench.telemetry.throttle import throttle_reason_names

ENERGY = "nvmlDeviceGetTotalEnergyConsumption"
EVENTS = "nvmlDeviceGetCurrentClocksEventReasons"


def test_readings_come_in_the_units_their_names_say(nvml):
    sample = open_gpu_probe().read(t_s=3.5)
    assert sample.t_s == 3.5
    assert sample.energy_j == pytest.approx(5000.25)
    assert sample.power_w == pytest.approx(650.5)
    assert sample.gpu_util_pct == 97.0
    assert sample.memory_bytes == 20 << 30
    assert sample.sm_clock_mhz == 1980.0
    assert sample.temperature_c == 61.0
    assert sample.throttle_reasons == "sw_power_cap"
    assert sample.cpu_util_pct is None


def test_without_a_driver_there_is_no_probe(nvml, refusal):
    nvml.errors["nvmlInit"] = refusal["LibraryNotFound"]()
    assert open_gpu_probe() is None


def test_without_nvidia_ml_py_there_is_no_probe(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert open_gpu_probe() is None


@pytest.mark.parametrize("kind", ["NotSupported", "FunctionNotFound"])
def test_a_refused_query_is_none_asked_once_and_logged_once(nvml, refusal, caplog, kind):
    nvml.errors[ENERGY] = refusal[kind]("no")
    probe = open_gpu_probe()
    with caplog.at_level(logging.WARNING):
        samples = [probe.read(t_s=float(i)) for i in range(4)]
    assert [sample.energy_j for sample in samples] == [None] * 4
    assert samples[3].power_w is not None
    assert nvml.calls.count(ENERGY) == 1
    assert len([r for r in caplog.records if ENERGY in r.getMessage()]) == 1


def test_an_error_that_passes_costs_one_sample(nvml, refusal):
    probe = open_gpu_probe()
    nvml.errors[ENERGY] = refusal["Unknown"]("hiccup")
    assert probe.read(t_s=0.0).energy_j is None
    del nvml.errors[ENERGY]
    assert probe.read(t_s=0.2).energy_j is not None


def test_an_error_that_stays_is_asked_three_times(nvml, refusal):
    probe = open_gpu_probe()
    nvml.errors[ENERGY] = refusal["Unknown"]("blocked")
    for i in range(6):
        assert probe.read(t_s=float(i)).energy_j is None
    assert nvml.calls.count(ENERGY) == 3


def test_a_version_mismatch_of_the_bindings_is_a_refusal(nvml):
    nvml.errors[ENERGY] = nvml.NVMLLibraryMismatchError("old driver")
    assert open_gpu_probe().read(t_s=0.0).energy_j is None


def test_the_older_name_of_the_throttle_query_is_tried(nvml):
    nvml.answers["nvmlDeviceGetCurrentClocksThrottleReasons"] = 0x8
    del nvml.answers[EVENTS]
    assert open_gpu_probe().read(t_s=0.0).throttle_reasons == "hw_slowdown"


@pytest.mark.parametrize(
    ("mask", "names"),
    [
        (None, None),
        (0, "none"),
        (0x1, "gpu_idle"),
        (0x4 | 0x40 | 0x80, "sw_power_cap|hw_thermal_slowdown|hw_power_brake_slowdown"),
        (0x8 | 0x1000, "hw_slowdown|0x1000"),
    ],
)
def test_throttle_reasons_are_named(mask, names):
    assert throttle_reason_names(mask) == names


def test_every_throttle_bit_has_the_drivers_name():
    pynvml = pytest.importorskip("pynvml")
    for constant in (n for n in dir(pynvml) if n.startswith("nvmlClocksEventReason")):
        name = constant.removeprefix("nvmlClocksEventReason")
        if name in ("All", "UserDefinedClocks"):
            continue
        snake = "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")
        assert throttle_reason_names(getattr(pynvml, constant)) == snake


def test_activity_is_the_difference_of_two_successive_samples(nvml):
    probe = open_gpu_probe()
    seen = []
    for step in (10.0, 30.0, 5.0):
        nvml.activity = {2: nvml.activity[2] + step, 5: nvml.activity[5] + step / 2, 10: 1.0}
        seen.append(probe.read(t_s=0.0))
    assert [s.sm_util_pct for s in seen] == [10.0, 30.0, 5.0]
    assert [s.tensor_util_pct for s in seen] == [5.0, 15.0, 2.5]
    assert [s.dram_util_pct for s in seen] == [1.0, 0.0, 0.0]


def test_a_metric_the_device_lacks_is_none_and_the_others_are_read(nvml):
    nvml.metric_returns[5] = 3
    sample = open_gpu_probe().read(t_s=0.0)
    assert sample.tensor_util_pct is None
    assert sample.sm_util_pct is not None


def test_a_gpm_value_that_is_no_number_is_none(nvml):
    probe = open_gpu_probe()
    nvml.activity[10] = float("nan")
    assert probe.read(t_s=0.0).dram_util_pct is None


def test_a_missed_gpm_sample_widens_the_next_interval(nvml, refusal):
    probe = open_gpu_probe()
    nvml.errors["nvmlGpmSampleGet"] = refusal["Unknown"]("hiccup")
    nvml.activity[2] = 10.0
    assert probe.read(t_s=0.0).sm_util_pct is None
    del nvml.errors["nvmlGpmSampleGet"]
    nvml.activity[2] = 25.0
    assert probe.read(t_s=0.2).sm_util_pct == 25.0


def test_a_device_without_gpm_is_not_sampled(nvml):
    nvml.answers["nvmlGpmQueryDeviceSupport"].isSupportedDevice = 0
    sample = open_gpu_probe().read(t_s=0.0)
    assert sample.sm_util_pct is sample.tensor_util_pct is sample.dram_util_pct is None
    assert "nvmlGpmSampleGet" not in nvml.calls


def test_close_gives_everything_back_once(nvml):
    probe = open_gpu_probe()
    assert len(nvml.allocated) == 2
    probe.close()
    probe.close()
    assert nvml.allocated == []
    assert nvml.users == 0
    assert probe.read(t_s=1.0).power_w is None


def test_the_installed_bindings_have_every_name_the_probe_uses(nvml):
    open_gpu_probe().read(t_s=0.0)
    used = {*nvml.calls, "c_nvmlGpmMetricsGet_t", "NVMLError", "NVMLLibraryMismatchError"}
    used |= {name for name in dir(nvml) if name.startswith("NVML_")}
    sys.modules.pop("pynvml")
    real = pytest.importorskip("pynvml")
    assert [name for name in used if not hasattr(real, name)] == []
    for name in ("SM_UTIL", "ANY_TENSOR_UTIL", "DRAM_BW_UTIL"):
        constant = f"NVML_GPM_METRIC_{name}"
        assert getattr(real, constant) == getattr(nvml, constant)
    request = real.c_nvmlGpmMetricsGet_t()
    request.sample1 = request.sample2 = real.c_nvmlGpmSample_t()
    assert request.metrics[2].nvmlReturn == real.NVML_SUCCESS
