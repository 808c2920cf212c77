"""The GPU: whose it is, how it is set, and how it did under load."""

from __future__ import annotations

from collections.abc import Iterator

from paretobench.analysis.disturbance import HELD_DOWN
from paretobench.analysis.fitness.base import (
    BUSY_GPU_PCT,
    RESERVED_BYTES,
    Finding,
)
from paretobench.core.machine import AaRun, GpuState


def gpu_findings(gpu: GpuState | None, aa: AaRun) -> Iterator[Finding]:
    """Yield what there is to say of the GPU; of a CPU that it measures."""
    if gpu is None:
        none = f"none used: {aa.device_name or 'a CPU'} measures"
        yield Finding(name="GPU", found="unknown: nothing ran" if aa.device is None else none)
        return
    memory = "" if gpu.memory_bytes is None else f", {gpu.memory_bytes / 2**30:.0f} GiB"
    yield Finding(name="GPU", found=f"{gpu.name or 'unknown'}{memory}")
    yield Finding(name="driver", found=gpu.driver or "unknown")
    yield _persistence(gpu)
    yield _others_on_gpu(gpu)
    yield _clocks(gpu, aa)
    yield _throttling(aa)
    if gpu.mig_mode:
        yield Finding(
            name="MIG",
            found="on",
            verdict="note",
            advice="other instances share power and clocks: keep them idle",
        )
    else:
        yield Finding(name="MIG", found="unknown" if gpu.mig_mode is None else "off")


def _persistence(gpu: GpuState) -> Finding:
    if gpu.persistence_mode is False:
        return Finding(
            name="persistence",
            found="off",
            verdict="note",
            advice="every run wakes the driver anew: sudo nvidia-smi -pm 1",
        )
    return Finding(name="persistence", found="unknown" if gpu.persistence_mode is None else "on")


def _others_on_gpu(gpu: GpuState) -> Finding:
    name = "other processes"
    if gpu.num_other_processes:
        return Finding(
            name=name,
            found=f"{gpu.num_other_processes} on the GPU",
            verdict="unfit",
            advice="end them, or measure on another GPU: nvidia-smi lists them",
        )
    if gpu.gpu_util_pct is not None and gpu.gpu_util_pct > BUSY_GPU_PCT:
        return Finding(
            name=name,
            found=f"the GPU was {gpu.gpu_util_pct:.0f}% busy before anything of ours ran",
            verdict="unfit",
            advice="another container or machine computes on it: have it to yourself",
        )
    if gpu.used_bytes is not None and gpu.used_bytes > RESERVED_BYTES:
        return Finding(
            name=name,
            found=f"none listed, but {gpu.used_bytes / 2**30:.1f} GiB are in use",
            verdict="note",
            advice="a process outside this container may hold the GPU",
        )
    return Finding(name=name, found="unknown" if gpu.num_other_processes is None else "none")


def _clocks(gpu: GpuState, aa: AaRun) -> Finding:
    most, set_to, seen = gpu.max_sm_clock_mhz, gpu.application_clock_mhz, aa.sm_clock_mhz
    if most is None and seen is None:
        return Finding(name="clocks", found="unknown")
    parts = ["unknown under load" if seen is None else f"{seen:.0f} MHz under load"]
    if most is not None:
        parts.append(f"at most {most:.0f}")
    if set_to is not None and most is not None and set_to < most:
        return Finding(
            name="clocks",
            found=", ".join([*parts, f"set to {set_to:.0f}"]),
            verdict="note",
            advice="figures are those of the set clock: say so beside them, "
            "or undo it with sudo nvidia-smi -rac",
        )
    return Finding(name="clocks", found=", ".join(parts))


def _throttling(aa: AaRun) -> Finding:
    name = "throttling"
    if aa.throttle_reasons is None:
        return Finding(name=name, found="unknown")
    held = sorted(aa.throttle_reasons & set(HELD_DOWN))
    if held:
        return Finding(
            name=name,
            found=", ".join(held),
            verdict="unfit",
            advice="the GPU is too hot or its power supply too weak: cool it, and wait",
        )
    if "sw_power_cap" in aa.throttle_reasons:
        return Finding(
            name=name,
            found="sw_power_cap",
            verdict="note",
            advice="the power limit holds the clocks: figures are those of this limit",
        )
    return Finding(name=name, found="none")
