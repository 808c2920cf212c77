"""Is a machine fit to measure? What was found of it, turned into findings.

`unfit` is what would make figures mislead; `note` may, or only some; `ok` is all else, and what
the system does not tell: a virtual machine hides much and measures well. Where a cause is not
certain to hurt, it is a note, for the A/A run shows whether it does.
"""

from __future__ import annotations

from collections.abc import Sequence

from paretobench.analysis.fitness.base import CPU_NEEDED_BESIDE_GPU, Finding, Fitness
from paretobench.analysis.fitness.gpu import gpu_findings
from paretobench.analysis.fitness.host import host_findings, timer_findings, use_findings
from paretobench.analysis.fitness.run import aa_findings, loop_findings
from paretobench.core.machine import MachineState


def judge_machine(machine: MachineState) -> list[Finding]:
    """Return a finding for everything that was looked at, in a fixed order."""
    on_gpu = machine.gpu is not None
    threads = machine.aa.threads
    needed = CPU_NEEDED_BESIDE_GPU if on_gpu else threads
    return [
        *gpu_findings(machine.gpu, machine.aa),
        *host_findings(machine.host, needed, on_gpu=on_gpu),
        *timer_findings(machine.timer),
        *use_findings(machine.cpu_use, machine.host, needed),
        *loop_findings(machine),
        *aa_findings(machine.aa),
    ]


def is_fit(findings: Sequence[Finding]) -> bool:
    """Return whether nothing is unfit.

    >>> is_fit([Finding(name="swap", found="in use", verdict="note")])
    True
    """
    return all(finding.verdict != "unfit" for finding in findings)


__all__ = ["Finding", "Fitness", "is_fit", "judge_machine"]
