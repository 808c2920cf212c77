"""`paretobench sweep`: measure, and write the run folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from paretobench.cli import options
from paretobench.cli.options import integers, numbers
from paretobench.cli.replayed import check_like, default_folder, plan

if TYPE_CHECKING:
    from paretobench.core.ceilings import Ceilings
    from paretobench.core.values import Trial
    from paretobench.scenario import Scenario
    from paretobench.sweep.conditions import MeasureCeilings
    from paretobench.sweep.estimate import Estimate
    from paretobench.targets.base import Target


def sweep(
    scenario_file: options.OptionalScenarioFile = None,
    like: options.Like = None,
    model: options.Model = None,
    dtype: options.Dtype = None,
    device: options.Device = None,
    max_batch_size: options.MaxBatchSize = None,
    max_waiting_time_ms: options.MaxWaitingTime = None,
    request_rate: options.RequestRate = None,
    concurrency: options.Concurrency = None,
    trace: options.Trace = None,
    repeats: options.Repeats = None,
    seed: options.Seed = None,
    no_confirm: options.NoConfirm = False,
    output_dir: options.OutputDir = None,
    resume: options.Resume = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="With --resume: measure failed trials again.")
    ] = False,
    ceilings: Annotated[
        bool,
        typer.Option(help="Measure the device's ceilings before and after the trials, 2 s each."),
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the trials and an estimate of the time.")
    ] = False,
    json_output: options.Json = False,
) -> None:
    """Measure every configuration of a scenario and write the frontier it gives."""
    from paretobench.cli.measure import measure
    from paretobench.scenario import Overrides
    from paretobench.sweep.estimate import estimate_sweep

    check_like(like, request_rate=request_rate, concurrency=concurrency, trace=trace)
    scenario, trials, replay = plan(
        scenario_file,
        Overrides(
            model=model,
            dtype=dtype,
            device=device,
            max_batch_size=integers(max_batch_size, "--max-batch-size"),
            max_waiting_time_ms=numbers(max_waiting_time_ms, "--max-waiting-time-ms"),
            request_rate=numbers(request_rate, "--request-rate"),
            concurrency=integers(concurrency, "--concurrency"),
            trace=None if trace is None else trace.resolve(),
            repeats=repeats,
            seed=seed,
            confirm=False if no_confirm else None,
        ),
        like,
        simulated=False,
    )
    if dry_run:
        _print_plan(scenario, trials, json_output=json_output)
        return
    measure(
        scenario,
        trials,
        _target(scenario, trials),
        output_dir or default_folder(scenario.name, replay),
        estimate=estimate_sweep(scenario, trials),
        command="sweep",
        resume=resume,
        retry_failed=retry_failed,
        ceilings=_ceilings(scenario) if ceilings else None,
        json=json_output,
        like=replay,
    )


def _ceilings(scenario: Scenario) -> MeasureCeilings | None:
    """Return what measures the ceilings of the models' device, and says so; None without models."""
    from paretobench.scenario.systems import Model
    from paretobench.targets.limits import ceilings_of

    models = [system for _, system in scenario.variants if isinstance(system, Model)]
    if not models:
        return None

    def measure_ceilings() -> Ceilings | None:
        print("measuring this device's ceilings", file=sys.stderr, flush=True)
        return ceilings_of(models)

    return measure_ceilings


def _target(scenario: Scenario, trials: Sequence[Trial]) -> Target:
    from paretobench.targets.check import check_variants
    from paretobench.targets.measured import worker_target
    from paretobench.targets.variants import VariantsTarget

    variants = scenario.variants
    targets: dict[str | None, Target] = {
        name: worker_target(scenario, system, trials) for name, system in variants
    }
    if len(variants) == 1:
        return next(iter(targets.values()))
    return VariantsTarget(targets, check=lambda: check_variants(variants))


def _print_plan(scenario: Scenario, trials: Sequence[Trial], *, json_output: bool) -> None:
    import json

    from paretobench.cli.tables import plan_table, print_table
    from paretobench.sweep.estimate import estimate_sweep

    estimate = estimate_sweep(scenario, trials)
    if json_output:
        rows = [
            {
                "trial_id": trial.trial_id,
                "trial": str(trial),
                "repeat": trial.repeat,
                "requests": trial.num_requests,
                "estimated_s": duration_s,
            }
            for trial, duration_s in zip(trials, estimate.durations_s, strict=True)
        ]
        later = {"trials": len(estimate.later), "estimated_s": estimate.later_s}
        document = {
            "trials": rows,
            "confirm": later,
            "estimated_s": estimate.planned_s + estimate.later_s,
            "at_most_s": estimate.at_most_s,
            "basis": estimate.basis,
        }
        print(json.dumps(document, indent=1, allow_nan=False))
        return
    print_table(plan_table(trials, estimate.durations_s))
    print(f"{len(trials)} trials, about {estimate.planned_s / 60:.1f} minutes ({estimate.basis})")
    for line in _later_lines(scenario, estimate):
        print(line)
    print("Nothing was measured or written.", file=sys.stderr)


def _later_lines(scenario: Scenario, estimate: Estimate) -> list[str]:
    """Return what follows the planned trials, and about how long it takes."""
    lines = []
    if scenario.measure.confirm:
        lines.append(
            f"Then the frontier again with fresh seeds: about {len(estimate.later)} trials, "
            f"{estimate.later_s / 60:.1f} minutes (--no-confirm leaves it out)"
        )
    if estimate.at_most_s is not None:
        lines.append(
            "Repeats until measure.precision is met: at most "
            f"{estimate.at_most_s / 60:.1f} minutes in all"
        )
    return lines
