"""What was measured: the loop's own cost, and the same thing twice over."""

from __future__ import annotations

from collections.abc import Iterator

from paretobench.analysis.disturbance import LOOP_SHARE_OF_STEP
from paretobench.analysis.fitness.base import (
    AA_DIFFERENCE,
    AA_SPREAD,
    AA_TAIL_SPREAD,
    LOOP_COST_AT_64_US,
    Finding,
    duration,
)
from paretobench.analysis.repeatability import paired_difference
from paretobench.core.machine import AaRun, MachineState


def loop_findings(machine: MachineState) -> Iterator[Finding]:
    """Yield what a step of the serving loop costs, beside a step of nano."""
    cost_us, step_s = machine.loop_cost_us, machine.aa.median_step_s
    if not cost_us:
        return
    largest = max(cost_us)
    found = ", ".join(f"{us:.0f} µs a step at batch {size}" for size, us in sorted(cost_us.items()))
    if cost_us[largest] > LOOP_COST_AT_64_US:
        yield Finding(
            name="loop cost",
            found=found,
            verdict="unfit",
            advice="this CPU is too slow or too busy to serve from: see other load and cores",
        )
        return
    at_its_size = cost_us.get(machine.aa.batch_size or 0)
    if step_s and at_its_size and at_its_size * 1e-6 > LOOP_SHARE_OF_STEP * step_s:
        yield Finding(
            name="loop cost",
            found=f"{found}; nano's step takes {duration(step_s)}",
            verdict="note",
            advice="models as small as nano will be client_limited: measure a larger one",
        )
        return
    yield Finding(name="loop cost", found=found)


def aa_findings(aa: AaRun) -> Iterator[Finding]:
    """Yield whether throughput and tail came out the same, or why there is nothing to compare."""
    if aa.failure is not None:
        yield Finding(
            name="A/A run",
            found=f"failed: {aa.failure}",
            verdict="unfit",
            advice="nothing can be measured until this is mended",
        )
        return
    yield _aa_finding(
        "A/A throughput",
        [(a.output_tokens_per_s, b.output_tokens_per_s) for a, b in aa.pairs],
        AA_SPREAD,
    )
    yield _aa_finding(
        "A/A p95 latency", [(a.p95_e2e_ms, b.p95_e2e_ms) for a, b in aa.pairs], AA_TAIL_SPREAD
    )


def _aa_finding(name: str, pairs: list[tuple[float, float]], most_spread: float) -> Finding:
    difference = paired_difference(pairs)
    found = (
        f"differs by {difference.mean:+.1%} ({difference.low:+.1%} to {difference.high:+.1%}), "
        f"pairs spread {difference.spread:.1%}, worst {difference.worst:.1%}, {len(pairs)} pairs"
    )
    if difference.low > AA_DIFFERENCE or difference.high < -AA_DIFFERENCE:
        return Finding(
            name=name,
            found=found,
            verdict="unfit",
            advice="the same thing measured twice differs: something changes with time here, "
            "clocks or other load; wait for a quiet machine",
        )
    if difference.spread > most_spread:
        return Finding(
            name=name,
            found=found,
            verdict="unfit",
            advice="runs of the same thing scatter too much to compare: quiet the machine "
            "(see other load, CPU steal, throttling)",
        )
    if difference.worst > 2 * most_spread:
        return Finding(
            name=name,
            found=found,
            verdict="note",
            advice="one pair stood out: expect a stall now and then, and measure with repeats",
        )
    return Finding(name=name, found=found)
