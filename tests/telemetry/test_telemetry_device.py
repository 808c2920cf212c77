"""On a real GPU: that the readings move when the device works."""

from __future__ import annotations

import time

import pytest

from paretobench.telemetry.gpu import open_gpu_probe
from paretobench.telemetry.sampler import TelemetrySampler

pytestmark = pytest.mark.gpu

BUSY_S = 3.0


@pytest.fixture
def torch():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU: torch sees none")
    return torch


@pytest.fixture
def probe(torch):
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    probe = open_gpu_probe("cuda:0", uuid=uuid)
    if probe is None:
        pytest.skip(f"NVML does not start here, or knows no GPU {uuid}")
    yield probe
    probe.close()


def keep_busy(torch, seconds):
    a = torch.randn(4096, 4096, device="cuda", dtype=torch.bfloat16)
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        for _ in range(20):
            a @ a
        torch.cuda.synchronize()


def test_utilisation_and_energy_rise_while_the_device_works(torch, probe):
    keep_busy(torch, 0.5)
    with TelemetrySampler(probe) as sampler:
        start_s = time.monotonic()
        keep_busy(torch, BUSY_S)
        end_s = time.monotonic()
        samples = sampler.between(start_s, end_s)
    assert len(samples) >= 0.8 * BUSY_S / 0.2
    utilisation = [s.gpu_util_pct for s in samples if s.gpu_util_pct is not None]
    energy_j = [s.energy_j for s in samples if s.energy_j is not None]
    if not utilisation and not energy_j:
        pytest.skip("this driver refuses both utilisation and energy")
    if utilisation:
        assert max(utilisation) > 50.0
    if energy_j:
        assert energy_j == sorted(energy_j)
        assert 20.0 < (energy_j[-1] - energy_j[0]) / BUSY_S < 2000.0  # W


def test_activity_is_a_percentage_and_tensor_cores_show(torch, probe):
    probe.read(t_s=0.0)
    keep_busy(torch, 1.0)
    sample = probe.read(t_s=1.0)
    if sample.sm_util_pct is None:
        pytest.skip("this device or driver reports no GPM metrics")
    assert 20.0 < sample.sm_util_pct <= 100.0
    assert sample.tensor_util_pct is None or 5.0 < sample.tensor_util_pct <= 100.0
    assert sample.dram_util_pct is None or 0.0 <= sample.dram_util_pct <= 100.0


def test_a_sample_is_short_against_its_interval(probe):
    probe.read(t_s=0.0)
    start_s = time.monotonic()
    for i in range(5):
        probe.read(t_s=float(i))
    assert (time.monotonic() - start_s) / 5 < 0.1
