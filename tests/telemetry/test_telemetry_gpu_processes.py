"""Who else is on the GPU, with pids of this namespace and of another."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from paretobench.telemetry import gpu_processes
from paretobench.telemetry.gpu import open_gpu_probe

STRANGERS = (2**22 + 1, 2**22 + 2, 2**22 + 3)  # beyond what Linux gives out
WORKER = os.getppid()  # any process that runs and is no child of this one
COMPUTE = "nvmlDeviceGetComputeRunningProcesses"


@pytest.fixture(autouse=True)
def no_mps(monkeypatch):
    monkeypatch.setattr(gpu_processes, "mps_is_running", lambda: False)


@pytest.fixture
def child():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process.pid
        process.stdin.close()


def others(nvml, compute, graphics=(), *, own=(WORKER,)):
    nvml.processes = [(pid, None) for pid in compute]
    nvml.graphics_pids = list(graphics)
    return open_gpu_probe(own_pids=lambda: own).read(t_s=0.0).num_other_gpu_processes


def test_the_worker_and_its_family_are_not_others(nvml, child):
    assert others(nvml, [WORKER]) == 0
    assert others(nvml, [WORKER, os.getpid(), child]) == 0  # a child of this process
    assert others(nvml, [WORKER, child, *STRANGERS]) == 3


def test_a_process_on_both_lists_counts_once(nvml):
    one, two, _ = STRANGERS
    assert others(nvml, [WORKER, one], graphics=[one, two]) == 2


def test_pids_of_another_namespace_are_counted_less_those_known_to_be_there(nvml):
    own = (WORKER, os.getpid())  # two engines, under whatever ids the driver gives them
    assert others(nvml, STRANGERS[:2], own=own) == 0
    assert others(nvml, STRANGERS, own=own) == 1


def test_a_driver_that_lists_nobody_finds_nobody(nvml):
    assert others(nvml, []) == 0


def test_the_mps_server_is_not_another(nvml, monkeypatch):
    monkeypatch.setattr(gpu_processes, "mps_is_running", lambda: True)
    server, client, _ = STRANGERS  # the server's name cannot be seen in a container
    nvml.answers["nvmlDeviceGetMPSComputeRunningProcesses"] = []
    assert others(nvml, [server, client]) == 0
    assert others(nvml, STRANGERS) == 1


def test_without_the_list_of_processes_there_is_no_count(nvml, refusal):
    nvml.errors[COMPUTE] = refusal["NotSupported"]()
    assert others(nvml, [STRANGERS[0]], graphics=STRANGERS) is None


def test_the_driver_is_asked_for_processes_once_a_second(nvml):
    probe = open_gpu_probe(own_pids=lambda: ())
    nvml.processes = [(STRANGERS[0], None)]
    counts = []
    for t_s in (0.0, 0.2, 0.8, 1.0, 1.2):
        counts.append(probe.read(t_s=t_s).num_other_gpu_processes)
        nvml.processes = [(STRANGERS[0], None), (STRANGERS[1], None)]
    assert counts == [1, 1, 1, 2, 2]
    assert nvml.calls.count(COMPUTE) == 2
