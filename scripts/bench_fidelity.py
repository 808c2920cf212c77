#!/usr/bin/env python3
"""How true is a simulation? The same trials measured and simulated, and the difference.

Run A (closed loops at several batch sizes) gives the steps that the step times are fitted to. Run B
(Poisson arrivals at fractions of each configuration's own capacity, another seed) is what is told:
each of its trials is measured, and simulated over the same schedule with the times of A alone. A's
trials are spread between B's, for a shared machine drifts; how much is printed.

    python scripts/bench_fidelity.py results/fidelity --quick

Writes fidelity.csv and fidelity.md. Errors are simulated / measured - 1. The goal: at most 5% on
throughput and 10% on p95 E2E where the load is below 0.8 of the capacity.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from paretobench.analysis.metrics import summarize
from paretobench.analysis.sla import ServiceLevels
from paretobench.analysis.step_model import StepFit, fit_step_times
from paretobench.core.points import Point, Settings
from paretobench.core.values import Trace, Trial
from paretobench.core.workloads import at_capacity
from paretobench.report.markdown_table import table
from paretobench.scenario import Scenario, scenario_from_mapping
from paretobench.serving.policies import POLICIES
from paretobench.sweep.pilot import measure_capacity
from paretobench.sweep.plan import plan_trials
from paretobench.targets.simulated import SimulatedTarget
from paretobench.targets.worker_target import WorkerTarget

METRICS = {
    "output_tokens_per_s": "tokens/s",
    "mean_ttft_ms": "mean TTFT",
    "p95_ttft_ms": "p95 TTFT",
    "mean_tpot_ms": "mean TPOT",
    "mean_e2e_ms": "mean E2E",
    "p95_e2e_ms": "p95 E2E",
}
GOAL = {"output_tokens_per_s": 0.05, "p95_e2e_ms": 0.10}
GOAL_BELOW = 0.8  # of the capacity
PROMPT_TOKENS, OUTPUT_TOKENS = (16, 96), (8, 32)


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How much is measured."""

    fit_batch_sizes: tuple[int, ...]
    fit_requests: int
    batch_sizes: tuple[int, ...]
    waits_ms: tuple[float, ...]
    fractions: tuple[float, ...]
    requests: int


FULL = Extent(
    fit_batch_sizes=(1, 2, 4, 8, 16),
    fit_requests=96,
    batch_sizes=(4, 16),
    waits_ms=(0.0, 50.0),
    fractions=(0.3, 0.5, 0.7, 0.8, 0.9),
    requests=400,
)
QUICK = Extent(
    fit_batch_sizes=(1, 4, 16),
    fit_requests=32,
    batch_sizes=(4, 16),
    waits_ms=(0.0,),
    fractions=(0.3, 0.7),
    requests=100,
)


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One trial of B, measured and simulated."""

    measured: Point
    simulated: Point

    @property
    def fraction(self) -> float:
        fraction = self.measured.settings.fraction_of_capacity
        assert fraction is not None
        return fraction

    @property
    def is_goal(self) -> bool:
        """Whether the goal speaks of this trial."""
        return self.fraction < GOAL_BELOW and self.measured.verdict == "valid"

    def error(self, metric: str) -> float | None:
        measured, simulated = self.measured.figures[metric], self.simulated.figures[metric]
        return None if not measured or simulated is None else simulated / measured - 1

    def meets_goal(self) -> bool:
        errors = [(self.error(metric), limit) for metric, limit in GOAL.items()]
        return all(error is not None and abs(error) <= limit for error, limit in errors)


def scenario_of(model: dict[str, Any], batching: dict[str, Any], **more: Any) -> Scenario:
    low_high = {"prompt_tokens": PROMPT_TOKENS, "output_tokens": OUTPUT_TOKENS}
    lengths = {n: {"kind": "uniform", "low": v[0], "high": v[1]} for n, v in low_high.items()}
    return scenario_from_mapping(
        {"name": "fidelity", "model": model, "workload": lengths, "batching": batching, **more}
    )


def plan_fit(model: dict[str, Any], policies: list[str], extent: Extent) -> list[Trial]:
    """Return the trials of A, in two blocks."""
    scenario = scenario_of(
        model,
        {"policy": policies, "max_batch_size": list(extent.fit_batch_sizes)},
        load={"kind": "closed_loop"},
        measure={"requests": extent.fit_requests, "seed": 1, "repeats": 2},
    )
    return plan_trials(scenario)


def plan_compared(
    model: dict[str, Any], policies: list[str], extent: Extent, target: WorkerTarget
) -> list[Trial]:
    """Return the trials of B, rates settled by each batch size's and policy's own capacity."""
    trials: list[Trial] = []
    for policy, size in itertools.product(policies, extent.batch_sizes):
        scenario = scenario_of(
            model,
            {
                "policy": policy,
                "max_batch_size": size,
                "max_waiting_time_ms": list(extent.waits_ms),
            },
            load={"kind": "poisson", "fraction_of_capacity": list(extent.fractions)},
            measure={"requests": extent.requests, "seed": 2, "timeout_s": 600.0},
        )
        planned = plan_trials(scenario)
        capacity = measure_capacity(scenario, planned[0], target)["requests_per_s"]
        say(f"capacity of {policy} batch {size}: {capacity:.1f} requests/s")
        trials += [replace(t, load=at_capacity(t.load, capacity)) for t in planned]
    return trials


def spread(fitted: Sequence[Trial], compared: Sequence[Trial]) -> Iterator[tuple[Trial, bool]]:
    """Yield all trials, A's evenly among B's; the flag says whether it is one of B."""
    places = [((i + 0.5) / len(fitted), t, False) for i, t in enumerate(fitted)]
    places += [((i + 0.5) / len(compared), t, True) for i, t in enumerate(compared)]
    for _, trial, is_compared in sorted(places, key=lambda place: place[0]):
        yield trial, is_compared


def simulate(trial: Trial, measured: Trace, fit: StepFit) -> Pair:
    trace = SimulatedTarget(fit.times).measure(trial)
    arrivals = [
        {
            r.request_id: (r.arrival_s, r.prompt_tokens, r.output_tokens)
            for r in t.requests
            if r.measured
        }
        for t in (measured, trace)
    ]
    assert arrivals[0] == arrivals[1], "not the same schedule"
    settings = Settings.of(trial)
    return Pair(
        measured=summarize(settings, measured, ServiceLevels()),
        simulated=summarize(settings, trace, ServiceLevels()),
    )


def drift(traces: Sequence[Trace], fit: StepFit) -> float:
    """Return how much longer the steps of A's second half took than those of its first, the work
    of each taken out: the machine's drift, of which no model can know."""
    half = len(traces) // 2
    shares = []
    for part in (traces[:half], traces[half:]):
        found = fit_step_times([trace.steps for trace in part])
        assert found is not None
        shares.append(
            statistics.mean(
                step_ms(found, rows) / step_ms(fit, rows)
                for rows in range(1, fit.batch_sizes[1] + 1)
            )
        )
    return shares[1] / shares[0] - 1


def step_ms(fit: StepFit, rows: int) -> float:
    return 1e3 * fit.times.duration_s(
        num_joining=0, prompt_tokens=0, num_decoding=rows, kv_tokens=64 * rows
    )


def rows_of(pairs: Sequence[Pair]) -> Iterator[dict[str, Any]]:
    for pair in pairs:
        settings = pair.measured.settings
        yield {
            "policy": settings.policy,
            "max_batch_size": settings.max_batch_size,
            "max_waiting_time_ms": settings.max_waiting_time_ms,
            "fraction_of_capacity": pair.fraction,
            "measured_verdict": pair.measured.verdict,
            "simulated_verdict": pair.simulated.verdict,
            **{f"measured_{m}": pair.measured.figures[m] for m in METRICS},
            **{f"simulated_{m}": pair.simulated.figures[m] for m in METRICS},
            **{f"error_{m}": pair.error(m) for m in METRICS},
            "meets_goal": pair.meets_goal() if pair.is_goal else None,
        }


def percent(value: float | None) -> str:
    return "—" if value is None else f"{value:+.1%}"


def pooled(label: str, pairs: Sequence[Pair]) -> Iterator[list[str]]:
    """Yield the median signed and the largest error over some of the trials."""
    for name, pick in (("median", statistics.median), ("largest", lambda v: max(v, key=abs))):
        cells = []
        for metric in METRICS:
            errors = [e for p in pairs if (e := p.error(metric)) is not None]
            cells.append(percent(pick(errors)) if errors else "—")
        yield [f"{name}, {label}", "", "", str(len(pairs)), *cells, ""]


def markdown(pairs: Sequence[Pair], fit: StepFit, facts: Sequence[str]) -> str:
    lines = ["# Simulation against measurement", "", *(f"- {fact}" for fact in facts), ""]
    lines += ["```", fit.summary(), "```", ""]
    rows = []
    for pair in pairs:
        s = pair.measured.settings
        verdict = "" if pair.measured.verdict == "valid" else f" ({pair.measured.verdict})"
        goal = ("yes" if pair.meets_goal() else "no") if pair.is_goal else "—"
        rows.append(
            [
                f"{s.policy}{verdict}",
                str(s.max_batch_size),
                f"{s.max_waiting_time_ms:g} ms",
                f"{pair.fraction:g}",
                *(percent(pair.error(metric)) for metric in METRICS),
                goal,
            ]
        )
    rows += pooled(f"valid below {GOAL_BELOW:g}", [p for p in pairs if p.is_goal])
    rows += pooled("all", pairs)
    header = ["policy", "batch", "wait", "load", *METRICS.values(), "in goal"]
    lines += table(header, rows, num_left=1)
    return "\n".join(lines) + "\n"


def facts_of(
    target: WorkerTarget, pairs: Sequence[Pair], fitted: int, drifted: float, took_s: float
) -> list[str]:
    system = target.describe()
    goal = [pair for pair in pairs if pair.is_goal]
    return [
        f"{system['model']}, {system['dtype']}, "
        f"on {system.get('device_name') or system['device']}, "
        f"{system.get('threads')} threads",
        f"{fitted} trials fitted to, {len(pairs)} compared, {took_s:.0f} s",
        f"between the first and the second half, steps of the fitted run changed by {drifted:+.1%}",
        f"in the goal ({GOAL['output_tokens_per_s']:.0%} on throughput and "
        f"{GOAL['p95_e2e_ms']:.0%} on p95 E2E below {GOAL_BELOW:g} of the capacity): "
        f"{sum(p.meets_goal() for p in goal)} of {len(goal)} trials",
    ]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--preset", default="nano")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--omp-wait-policy", default="bounded_spin")
    known = [name for name in ("static", "continuous") if name in POLICIES]
    parser.add_argument("--policies", default=",".join(known), help=f"[default: {','.join(known)}]")
    parser.add_argument("--quick", action="store_true", help="a minute, to see that it works")
    return parser.parse_args()


def main() -> None:
    options = parse()
    extent = QUICK if options.quick else FULL
    policies = options.policies.split(",")
    model = {"preset": options.preset, "dtype": options.dtype}
    model["omp_wait_policy"] = options.omp_wait_policy
    fitted = plan_fit(model, policies, extent)
    plain = scenario_of(model, {"max_batch_size": 1}, load={"kind": "closed_loop"})
    ((_, system),) = plain.variants
    target = WorkerTarget(
        system,
        batch_sizes=tuple(sorted({*extent.fit_batch_sizes, *extent.batch_sizes})),
        max_request_tokens=PROMPT_TOKENS[1] + OUTPUT_TOKENS[1],
        max_prompt_tokens=PROMPT_TOKENS[1],
    )
    begin_s = time.monotonic()
    try:
        target.open()
        compared = plan_compared(model, policies, extent, target)
        fit_traces: list[Trace] = []
        measured: list[tuple[Trial, Trace]] = []
        for trial, is_compared in spread(fitted, compared):
            say(f"{'compared' if is_compared else 'fitted'}: {trial}")
            trace = target.measure(trial)
            measured += [(trial, trace)] if is_compared else []
            fit_traces += [] if is_compared else [trace]
    finally:
        target.close()
    fit = fit_step_times([trace.steps for trace in fit_traces])
    assert fit is not None, "closed loops decode"
    pairs = [simulate(trial, trace, fit) for trial, trace in measured]
    pairs.sort(
        key=lambda p: (
            str(p.measured.settings.policy),
            p.measured.settings.max_batch_size,
            p.measured.settings.max_waiting_time_ms,
            p.fraction,
        )
    )
    took_s = time.monotonic() - begin_s
    facts = facts_of(target, pairs, len(fitted), drift(fit_traces, fit), took_s)
    text = markdown(pairs, fit, facts)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "fidelity.md").write_text(text)
    rows = list(rows_of(pairs))
    with (options.out / "fidelity.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    print(text)


if __name__ == "__main__":
    main()
