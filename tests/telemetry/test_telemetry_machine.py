"""What `doctor` reads of a machine, on systems that tell everything and on such that do not."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from paretobench.core.machine import CpuUse
from paretobench.telemetry import machine
from paretobench.telemetry.machine import CpuUseMeter, gpu_states, host_state, timer_state


def no_sleep(_s: float) -> None: ...


def test_gpu_is_read_as_its_driver_tells(nvml: Any) -> None:
    nvml.processes = [(4242, None)]
    (gpu,) = gpu_states(no_sleep)
    assert (gpu.name, gpu.driver, gpu.uuid) == ("NVIDIA H200", "580.159.03", "GPU-0abc-0")
    assert (gpu.memory_bytes, gpu.used_bytes) == (150 << 30, 20 << 30)
    assert (gpu.persistence_mode, gpu.mig_mode, gpu.num_other_processes) == (True, False, 1)
    assert (gpu.max_sm_clock_mhz, gpu.application_clock_mhz) == (1980, 1755)
    assert gpu.gpu_util_pct == 97.0
    assert nvml.users == 0


def test_mps_server_is_no_other_process(nvml: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Process:
        def __init__(self, pid: int) -> None:
            if pid == 3:
                raise psutil.NoSuchProcess(pid)
            self.name = lambda: {1: "nvidia-cuda-mps-server", 2: "python"}[pid]

    monkeypatch.setattr(psutil, "Process", Process)
    nvml.processes = [(1, None), (2, None), (3, None)]
    assert gpu_states(no_sleep)[0].num_other_processes == 2


def test_job_that_has_just_ended_does_not_look_busy(
    nvml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = iter((90, 40, 0, 0, 0))

    def sleep(_s: float) -> None:
        nvml.answers["nvmlDeviceGetUtilizationRates"] = SimpleNamespace(gpu=next(readings))

    assert gpu_states(sleep)[0].gpu_util_pct == 0.0


def test_what_the_driver_refuses_is_unknown(nvml: Any, refusal: Any) -> None:
    for name in ("PersistenceMode", "MigMode", "ApplicationsClock", "ComputeRunningProcesses"):
        nvml.errors[f"nvmlDeviceGet{name}"] = refusal["NotSupported"]()
    nvml.errors["nvmlDeviceGetUtilizationRates"] = refusal["Unknown"]()
    (gpu,) = gpu_states(no_sleep)
    assert gpu.name == "NVIDIA H200"
    assert (gpu.persistence_mode, gpu.mig_mode, gpu.application_clock_mhz) == (None, None, None)
    assert (gpu.num_other_processes, gpu.gpu_util_pct) == (None, None)


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "250000 100000\n"}, 2.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_cpu_quota_of_either_control_group_is_read(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert host_state(cgroup=tmp_path, cpus=tmp_path / "none").quota_cores == quota


def test_each_governor_is_told_once(tmp_path: Path) -> None:
    for cpu, governor in enumerate(("schedutil", "schedutil", "performance")):
        folder = tmp_path / f"cpu{cpu}" / "cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_governor").write_text(f"{governor}\n")
    state = host_state(cpus=tmp_path, cgroup=tmp_path)
    assert state.governors == ("performance", "schedutil")
    assert state.frequency_drivers == ()


def test_timer_tells_its_tick_and_how_late_sleeps_end() -> None:
    clock = SimpleNamespace(now_s=0.0, calls=0)

    def read() -> float:  # ticks by 4 ms, at every fourth reading
        clock.calls += 1
        clock.now_s += 0.004 * (clock.calls % 4 == 0)
        return clock.now_s

    assert timer_state(clock=read, sleep=no_sleep).resolution_s == pytest.approx(0.004)

    fine = SimpleNamespace(now_s=0.0)

    def tick() -> float:
        fine.now_s += 1e-9
        return fine.now_s

    def late(duration_s: float) -> None:
        fine.now_s += duration_s + 3e-4

    state = timer_state(clock=tick, sleep=late)
    assert state.median_overshoot_s == pytest.approx(3e-4, rel=1e-3)
    assert state.p95_overshoot_s == pytest.approx(3e-4, rel=1e-3)


def test_cpu_use_tells_ours_from_others_and_from_the_hypervisors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = {"clock": 100.0, "user": 0.0, "steal": 0.0, "idle": 0.0, "own": 0.0}

    class Times(SimpleNamespace):
        def _asdict(self) -> dict[str, float]:
            return dict(vars(self))

    def per_cpu(*, percpu: bool) -> list[Times]:
        assert percpu
        mine = Times(user=now["user"], steal=now["steal"], idle=now["idle"], guest=now["user"])
        return [mine, Times(user=1e6 * now["clock"], steal=0.0, idle=0.0)]  # not ours to use

    monkeypatch.setattr(psutil, "cpu_times", per_cpu)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0}, raising=False)
    monkeypatch.setattr(machine.time, "monotonic", lambda: now["clock"])
    meter = CpuUseMeter(lambda: now["own"])
    now |= {"clock": 110.0, "user": 7.0, "steal": 1.0, "idle": 2.0, "own": 4.0}
    use = meter.read()
    assert use.other_cores == pytest.approx(0.3)  # 7 s busy, 4 of them ours, in 10 s
    assert use.steal_pct == pytest.approx(10.0)


def test_system_that_counts_no_cpu_time_gives_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: [])
    meter = CpuUseMeter(lambda: 0.0)
    assert meter.read() == CpuUse(other_cores=None, steal_pct=None, swapped_bytes=None)
