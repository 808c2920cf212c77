"""Which machines are fit to measure: a healthy one raises no alarm, each fault raises its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from paretobench.analysis.fitness import is_fit, judge_machine
from paretobench.analysis.repeatability import paired_difference
from paretobench.core.machine import (
    AaRun,
    CpuUse,
    GpuState,
    HostState,
    MachineState,
    RunFigures,
    TimerState,
)

SAME = tuple((RunFigures(output_tokens_per_s=1000.0, p95_e2e_ms=100.0),) * 2 for _ in range(8))
GPU = GpuState(
    uuid="GPU-1",
    name="NVIDIA H200",
    driver="580",
    memory_bytes=150 << 30,
    used_bytes=600 << 20,
    persistence_mode=True,
    mig_mode=False,
    num_other_processes=0,
    gpu_util_pct=0.0,
    max_sm_clock_mhz=1980.0,
    application_clock_mhz=1980.0,
)
HEALTHY = MachineState(
    gpu=GPU,
    host=HostState(
        cores=16,
        quota_cores=None,
        governors=("performance",),
        frequency_drivers=(),
        memory_bytes=128 << 30,
        available_bytes=120 << 30,
        swap_used_bytes=0,
    ),
    timer=TimerState(resolution_s=4e-8, median_overshoot_s=6e-5, p95_overshoot_s=9e-5),
    cpu_use=CpuUse(other_cores=0.05, steal_pct=0.0, swapped_bytes=0),
    aa=AaRun(
        pairs=SAME,
        batch_size=4,
        median_step_s=1e-3,
        throttle_reasons=frozenset({"none", "gpu_idle"}),
        sm_clock_mhz=1980.0,
        device="cuda:0",
        device_name="NVIDIA H200",
        gpu_uuid="1",
        threads=16,
    ),
    loop_cost_us={1: 6.0, 4: 8.0, 64: 32.0},
)
# a virtual machine or a sandbox that tells next to nothing
SILENT = replace(
    HEALTHY,
    gpu=GpuState(uuid="GPU-1", name=None),
    host=replace(HEALTHY.host, governors=()),
    cpu_use=CpuUse(other_cores=None, steal_pct=None, swapped_bytes=None),
    aa=replace(HEALTHY.aa, throttle_reasons=None, sm_clock_mhz=None),
)
ON_CPU = replace(
    HEALTHY,
    gpu=None,
    host=replace(HEALTHY.host, cores=2, governors=()),
    aa=replace(HEALTHY.aa, device="cpu", gpu_uuid=None, threads=2, throttle_reasons=None),
)


def changed(machine: MachineState, **changes: Any) -> MachineState:
    """Change `part__field`, or a whole part."""
    for key, value in changes.items():
        part, _, field = key.partition("__")
        new = replace(getattr(machine, part), **{field: value}) if field else value
        machine = replace(machine, **{part: new})
    return machine


@pytest.mark.parametrize("machine", [HEALTHY, SILENT, ON_CPU])
def test_healthy_machine_has_nothing_to_say(machine: MachineState) -> None:
    assert {finding.verdict for finding in judge_machine(machine)} == {"ok"}


@pytest.mark.parametrize(
    ("machine", "changes", "name", "verdict"),
    [
        (HEALTHY, {"gpu__num_other_processes": 1}, "other processes", "unfit"),
        (HEALTHY, {"gpu__gpu_util_pct": 60.0}, "other processes", "unfit"),
        (HEALTHY, {"gpu__used_bytes": 9 << 30}, "other processes", "note"),
        (HEALTHY, {"gpu__persistence_mode": False}, "persistence", "note"),
        (HEALTHY, {"gpu__mig_mode": True}, "MIG", "note"),
        (HEALTHY, {"gpu__application_clock_mhz": 1200.0}, "clocks", "note"),
        (HEALTHY, {"aa__throttle_reasons": frozenset({"sw_power_cap"})}, "throttling", "note"),
        (
            HEALTHY,
            {"aa__throttle_reasons": frozenset({"none", "hw_thermal_slowdown"})},
            "throttling",
            "unfit",
        ),
        (HEALTHY, {"host__governors": ("schedutil",)}, "CPU governor", "note"),
        (HEALTHY, {"host__governors": ("powersave",)}, "CPU governor", "unfit"),
        (
            HEALTHY,
            {"host__governors": ("powersave",), "host__frequency_drivers": ("intel_pstate",)},
            "CPU governor",
            "note",
        ),
        (HEALTHY, {"host__cores": 1}, "cores", "note"),
        (HEALTHY, {"host__quota_cores": 1.0}, "cores", "unfit"),
        (ON_CPU, {"host__quota_cores": 1.5}, "cores", "unfit"),
        (ON_CPU, {"aa__threads": 4}, "cores", "unfit"),
        (HEALTHY, {"host__available_bytes": 100 << 20}, "memory", "unfit"),
        (HEALTHY, {"host__swap_used_bytes": 1 << 30}, "swap", "note"),
        (HEALTHY, {"cpu_use__swapped_bytes": 4096}, "swapping", "unfit"),
        (HEALTHY, {"cpu_use__steal_pct": 6.0}, "CPU steal", "unfit"),
        (HEALTHY, {"cpu_use__other_cores": 13.9}, "other load", "ok"),
        (HEALTHY, {"cpu_use__other_cores": 15.0}, "other load", "unfit"),
        (ON_CPU, {"cpu_use__other_cores": 0.19}, "other load", "ok"),
        (ON_CPU, {"cpu_use__other_cores": 0.3}, "other load", "unfit"),
        (HEALTHY, {"timer__resolution_s": 4e-3}, "timer", "unfit"),
        (HEALTHY, {"timer__median_overshoot_s": 2e-3}, "sleeps", "unfit"),
        (HEALTHY, {"timer__p95_overshoot_s": 2e-3}, "sleeps", "note"),
        (HEALTHY, {"loop_cost_us": {1: 6.0, 64: 300.0}}, "loop cost", "unfit"),
        (HEALTHY, {"aa__median_step_s": 1e-4}, "loop cost", "note"),
        (HEALTHY, {"aa": AaRun(failure="the worker died")}, "A/A run", "unfit"),
    ],
)
def test_each_fault_is_found_alone_and_says_what_to_do(
    machine: MachineState, changes: dict[str, Any], name: str, verdict: str
) -> None:
    findings = judge_machine(changed(machine, **changes))
    wrong = {f.name: f.verdict for f in findings if f.verdict != "ok"}
    assert wrong == ({} if verdict == "ok" else {name: verdict})
    assert all(f.advice for f in findings if f.verdict != "ok")
    assert is_fit(findings) == (verdict != "unfit")


def runs(first: list[float], second: list[float]) -> tuple[tuple[RunFigures, RunFigures], ...]:
    """Pairs of these throughputs, with the latencies that closed loops have then."""
    return tuple(
        (
            RunFigures(output_tokens_per_s=a, p95_e2e_ms=1e5 / a),
            RunFigures(output_tokens_per_s=b, p95_e2e_ms=1e5 / b),
        )
        for a, b in zip(first, second, strict=True)
    )


def verdict_on(pairs: Any) -> str:
    findings = judge_machine(changed(HEALTHY, aa__pairs=pairs))
    return next(f.verdict for f in findings if f.name == "A/A throughput")


def test_same_thing_that_differs_by_its_turn_is_unfit() -> None:
    noise = np.random.default_rng(0).normal(0, 5, 16)
    steady = [float(1000 + x) for x in noise[:8]]
    slower = [float(950 + x) for x in noise[8:]]
    assert verdict_on(runs(steady, slower)) == "unfit"


def test_one_stall_is_noted_and_a_scatter_is_unfit() -> None:
    steady = [1000.0 + x for x in (3, -4, 2, 5, -1, 0, 4, -2)]
    stalled = [*steady[:3], 700.0, *steady[4:]]
    assert verdict_on(runs(steady, stalled)) == "note"
    scattered = [1000.0 * (1 + s) for s in (0.2, -0.15, 0.12, -0.2, 0.18, -0.1, 0.15, -0.2)]
    assert verdict_on(runs(steady, scattered)) == "unfit"


def test_honest_machines_are_not_alarmed() -> None:
    """Runs that scatter by 3%, as on a quiet virtual machine, and one in 50 stalled by 20%."""
    rng = np.random.default_rng(1)
    figures = 1000 * (1 + 0.03 * rng.standard_normal((500, 2, 8)))
    figures *= np.where(rng.random(figures.shape) < 0.02, 0.8, 1.0)
    alarms = [verdict_on(runs(list(a), list(b))) == "unfit" for a, b in figures]
    assert np.mean(alarms) < 0.02


def test_interval_of_the_difference_covers_at_its_nominal_rate() -> None:
    rng = np.random.default_rng(2)
    pairs = 100 * (1 + 0.02 * rng.standard_normal((400, 8, 2)))
    covered = [(d := paired_difference(p)).low <= 0 <= d.high for p in pairs]
    assert np.mean(covered) == pytest.approx(0.95, abs=0.03)
