"""The host: its cores, memory, clocks, and what others did with them."""

from __future__ import annotations

from collections.abc import Iterator

from paretobench.analysis.disturbance import STEAL_PCT
from paretobench.analysis.fitness.base import (
    AVAILABLE_BYTES,
    CLOCK_RESOLUTION_S,
    OTHERS_SHARE,
    SLEEP_OVERSHOOT_S,
    Finding,
    duration,
)
from paretobench.core.machine import CpuUse, HostState, TimerState

_SELF_CLOCKING_DRIVERS = ("intel_pstate", "amd-pstate-epp", "amd_pstate_epp")


def host_findings(host: HostState, needed: int | None, *, on_gpu: bool) -> Iterator[Finding]:
    """Yield what there is to say of cores and memory; `needed` cores are ours (None: unknown)."""
    yield _governor(host)
    yield _cores(host, needed, on_gpu=on_gpu)
    available = f"{host.available_bytes / 2**30:.1f} of {host.memory_bytes / 2**30:.1f} GiB free"
    if host.available_bytes < AVAILABLE_BYTES:
        yield Finding(
            name="memory",
            found=available,
            verdict="unfit",
            advice="end what fills it: a measurement that swaps measures the disk",
        )
    else:
        yield Finding(name="memory", found=available)
    if host.swap_used_bytes:
        yield Finding(
            name="swap",
            found=f"{host.swap_used_bytes / 2**20:.0f} MiB in use",
            verdict="note",
            advice="harmless while nothing is moved in or out: see swapping",
        )
    else:
        yield Finding(name="swap", found="none in use")


def _governor(host: HostState) -> Finding:
    name, found = "CPU governor", ", ".join(host.governors)
    if not found:
        return Finding(name=name, found="unknown")
    clocks_itself = any(driver in _SELF_CLOCKING_DRIVERS for driver in host.frequency_drivers)
    advice = "sudo cpupower frequency-set -g performance"
    if "powersave" in host.governors and not clocks_itself:
        return Finding(
            name=name,
            found=found,
            verdict="unfit",
            advice=f"it holds the CPU at its lowest clock: {advice}",
        )
    if host.governors != ("performance",):
        return Finding(
            name=name,
            found=found,
            verdict="note",
            advice=f"clocks follow the load, so light loads look slow: {advice}",
        )
    return Finding(name=name, found=found)


def _cores(host: HostState, needed: int | None, *, on_gpu: bool) -> Finding:
    found = f"{host.cores} usable"
    if needed is not None:
        found += ", 2 needed beside a GPU" if on_gpu else f", {needed} threads"
    quota = host.quota_cores
    if quota is not None:
        found += f", quota {quota:g}"
    if needed is not None and quota is not None and quota < needed:
        return Finding(
            name="cores",
            found=found,
            verdict="unfit",
            advice="the quota stops all threads for the rest of each period: give the container "
            + ("2 CPUs" if on_gpu else f"{needed} CPUs, or set model.threads to {int(quota) or 1}"),
        )
    if needed is not None and host.cores < needed:
        return Finding(
            name="cores",
            found=found,
            verdict="note" if on_gpu else "unfit",
            advice="the serving loop shares its core: give it a second one"
            if on_gpu
            else f"threads wait for one another: set model.threads to {host.cores}",
        )
    return Finding(name="cores", found=found)


def timer_findings(timer: TimerState) -> Iterator[Finding]:
    """Yield what there is to say of the clock and of sleeping."""
    found = f"ticks of {duration(timer.resolution_s)}"
    if timer.resolution_s > CLOCK_RESOLUTION_S:
        yield Finding(
            name="timer",
            found=found,
            verdict="unfit",
            advice="too coarse for times between tokens: choose the clock source tsc or kvm-clock",
        )
    else:
        yield Finding(name="timer", found=found)
    found = (
        f"end {duration(timer.median_overshoot_s)} late (median), "
        f"{duration(timer.p95_overshoot_s)} (p95)"
    )
    if timer.median_overshoot_s > SLEEP_OVERSHOOT_S:
        yield Finding(
            name="sleeps",
            found=found,
            verdict="unfit",
            advice="arrivals would be taken in late: end what else runs",
        )
    elif timer.p95_overshoot_s > SLEEP_OVERSHOOT_S:
        yield Finding(
            name="sleeps",
            found=found,
            verdict="note",
            advice="some arrivals may be taken in late: see other load",
        )
    else:
        yield Finding(name="sleeps", found=found)


def use_findings(use: CpuUse, host: HostState, needed: int | None) -> Iterator[Finding]:
    """Yield what the CPUs did for others while we measured."""
    if use.steal_pct is None:
        yield Finding(name="CPU steal", found="unknown")
    elif use.steal_pct > STEAL_PCT:
        yield Finding(
            name="CPU steal",
            found=f"{use.steal_pct:.1f}%",
            verdict="unfit",
            advice="the hypervisor gives these CPUs to others: take dedicated ones",
        )
    else:
        yield Finding(name="CPU steal", found=f"{use.steal_pct:.1f}%")
    yield _other_load(use, host, needed)
    if use.swapped_bytes:
        yield Finding(
            name="swapping",
            found=f"{use.swapped_bytes / 2**20:.1f} MiB moved during the run",
            verdict="unfit",
            advice="end what fills the memory: steps wait for the disk",
        )
    else:
        yield Finding(
            name="swapping", found="unknown" if use.swapped_bytes is None else "none during the run"
        )


def _other_load(use: CpuUse, host: HostState, needed: int | None) -> Finding:
    if use.other_cores is None:
        return Finding(name="other load", found="unknown")
    found = f"{use.other_cores:.2f} of {host.cores} cores"
    needed = host.cores if needed is None else min(needed, host.cores)
    if needed + use.other_cores - host.cores > OTHERS_SHARE * needed:
        return Finding(
            name="other load",
            found=found,
            verdict="unfit",
            advice="others take cores that the measurement needs: end them, or lower model.threads",
        )
    return Finding(name="other load", found=found)
