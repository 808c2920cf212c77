"""On a real GPU: what is measured around the trials, and who counts as somebody else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from paretobench.analysis.conditions import Conditions
from paretobench.analysis.disturbance import client_limited, disturbed
from paretobench.core.values import BatchingConfig, Trial
from paretobench.core.workloads import ClosedLoop, FixedLength, WorkloadSpec
from paretobench.scenario.systems import Model
from paretobench.targets.inspection import inspect_machine
from paretobench.targets.limits import ceilings_of
from paretobench.targets.worker_target import WorkerTarget
from paretobench.telemetry.gpu import NvmlProbe, open_gpu_probe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.gpu_alone,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine"),
]

NANO = Model(preset="nano", dtype="bfloat16", device="cuda")
MIB = 1 << 20

# Its own session, its parent gone: nothing tells that this test started it.
STRANGER = """
import os, sys, time
if os.fork():
    os._exit(0)
os.setsid()
import torch
held = torch.zeros(1, device="cuda")
open(sys.argv[1], "w").close()
end_s = time.monotonic() + 60
while os.path.exists(sys.argv[1]) and time.monotonic() < end_s:
    time.sleep(0.05)
"""


def probe_of(*own: int) -> NvmlProbe:
    uuid = str(torch.cuda.get_device_properties(0).uuid)
    probe = open_gpu_probe(uuid=uuid, own_pids=lambda: own)
    if probe is None:
        pytest.skip(f"NVML does not start here, or knows no GPU {uuid}")
    return probe


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[None]:
    ready = tmp_path / "ready"
    subprocess.run([sys.executable, "-c", STRANGER, str(ready)], check=True, timeout=60)
    end_s = time.monotonic() + 60
    while not ready.exists() and time.monotonic() < end_s:
        time.sleep(0.05)
    assert ready.exists()
    yield
    ready.unlink()


def num_others(*own: int) -> int:
    probe = probe_of(*own)
    try:
        count = probe.read(t_s=0.0).num_other_gpu_processes
    finally:
        probe.close()
    if count is None:
        pytest.skip("this driver does not list processes")
    return count


def test_this_process_is_not_another() -> None:
    torch.zeros(1, device="cuda")
    assert num_others(os.getpid()) == 0


def test_a_stranger_is_another(stranger: None) -> None:
    torch.zeros(1, device="cuda")
    if num_others() == 0:
        pytest.skip("this driver lists no processes here")
    assert num_others(os.getpid()) == 1


def test_the_ceilings_are_those_of_a_gpu_and_leave_no_memory_behind() -> None:
    torch.zeros(1, device="cuda")
    free = torch.cuda.mem_get_info()[0]
    ceilings = ceilings_of([NANO])
    assert ceilings is not None
    assert ceilings.system["device"] == "cuda:0"
    assert [row.quantity for row in ceilings.rows] == ["read_bandwidth", "matmul"]
    assert (ceilings.read_bytes_per_s or 0) > 1e11
    assert (ceilings.flop_per_s("bfloat16") or 0) > 1e13, ceilings.note("bfloat16")
    assert torch.cuda.mem_get_info()[0] > free - 64 * MIB


def test_a_trials_own_worker_disturbs_nothing_and_its_loop_is_cheap() -> None:
    target = WorkerTarget(NANO, batch_sizes=(4,), max_request_tokens=96, max_prompt_tokens=32)
    trial = Trial(
        batching=BatchingConfig(policy="static", max_batch_size=4, max_waiting_time_s=0.0),
        load=ClosedLoop(concurrency=4),
        workload=WorkloadSpec(
            prompt_tokens=FixedLength(value=32), output_tokens=FixedLength(value=64)
        ),
        num_requests=256,
        num_warmup=4,
        min_duration_s=0.0,
        timeout_s=60.0,
        repeat=0,
        seed=0,
    )
    target.open()
    try:
        cost_s = target.loop_cost_s((1, 4), policy="static")
        trace = target.measure(trial)
    finally:
        target.close()
    assert set(cost_s) == {1, 4}
    assert all(0 < seconds < 1e-3 for seconds in cost_s.values())
    assert trace.outcome == "completed", trace.reason
    assert trace.window is not None
    assert trace.telemetry
    assert {s.num_other_gpu_processes for s in trace.telemetry} <= {0, None}
    assert disturbed(trace, trace.window, {}) is None
    measured = [r for r in trace.requests if r.measured]
    late = client_limited(trace, trace.window, measured, {"p50_e2e_ms": 1.0}, Conditions())
    assert late is None, late


def test_the_doctor_finds_the_gpu_that_it_measured_on() -> None:
    machine = inspect_machine("cuda", 1.0, lambda line: None)
    assert machine.aa.failure is None
    if machine.gpu is None or machine.gpu.driver is None:
        pytest.skip("NVML does not start here")
    assert machine.gpu.name == torch.cuda.get_device_name(0)
    assert machine.gpu.memory_bytes
    assert machine.aa.median_step_s
