"""The whole schedule of a trial, drawn before it runs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from paretobench.core.values import Request, Trial, Window
from paretobench.core.workloads import ArrivalProcess, ClosedLoop, TraceReplay
from paretobench.workload.arrivals import arrival_times
from paretobench.workload.lengths import request_shapes


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSchedule:
    """Requests with their arrival times, by arrival.

    The first `num_warmup` warm the system up, the next `num_measured` are measured, the rest keep
    the load up until the measured ones are done. Request ids count from 0. The window runs from
    the arrival of the first measured request to that of the first after them.
    """

    requests: tuple[Request, ...]
    num_warmup: int
    num_measured: int
    window: Window

    def only(self, class_name: str) -> OpenSchedule:
        """Return the requests of one class, with the ids and the window of all."""
        mine = tuple(r for r in self.requests if r.class_name == class_name)
        return replace(self, requests=mine)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedSchedule:
    """Request classes and lengths for clients whose arrivals follow from the system's answers.

    Requests are measured from the `num_warmup`-th on, `num_measured` of them, and more while they
    have arrived over less than `min_duration_s`.
    """

    shapes: Iterator[tuple[str, int, int]]  # class, prompt tokens, output tokens
    load: ClosedLoop
    num_warmup: int
    num_measured: int
    min_duration_s: float


def make_schedule(trial: Trial) -> OpenSchedule | ClosedSchedule:
    """Return the schedule that the trial's seed stands for. The load's rate must be settled."""
    lengths_rng, arrivals_rng = np.random.default_rng(trial.seed).spawn(2)
    shapes = request_shapes(trial.workload, lengths_rng)
    if isinstance(trial.load, ClosedLoop):
        return ClosedSchedule(
            shapes=shapes,
            load=trial.load,
            num_warmup=trial.num_warmup,
            num_measured=trial.num_requests,
            min_duration_s=trial.min_duration_s,
        )
    return _open_schedule(trial, trial.load, shapes, arrivals_rng)


def _open_schedule(
    trial: Trial,
    load: ArrivalProcess | TraceReplay,
    shapes: Iterator[tuple[str, int, int]],
    rng: np.random.Generator,
) -> OpenSchedule:
    times = arrival_times(load, rng)
    arrivals = list(itertools.islice(times, trial.num_warmup + trial.num_requests))
    starts_s = arrivals[trial.num_warmup]
    duration_s = _window_s(trial, load, arrivals[-1] - starts_s)
    for arrival_s in times:  # the first that is not measured closes the window
        arrivals.append(arrival_s)
        if arrival_s - starts_s >= duration_s:
            break
    num_measured = len(arrivals) - 1 - trial.num_warmup
    cooldown = max(num_measured, 4 * trial.batching.max_batch_size)
    arrivals += itertools.islice(times, cooldown - 1)
    requests = tuple(
        Request(
            request_id=request_id,
            class_name=class_name,
            arrival_s=arrival_s,
            prompt_tokens=prompt_tokens,
            output_tokens=output_tokens,
        )
        for request_id, (arrival_s, (class_name, prompt_tokens, output_tokens)) in enumerate(
            zip(arrivals, shapes, strict=False)
        )
    )
    return OpenSchedule(
        requests=requests,
        num_warmup=trial.num_warmup,
        num_measured=num_measured,
        window=Window(start_s=starts_s, end_s=arrivals[trial.num_warmup + num_measured]),
    )


def _window_s(trial: Trial, load: ArrivalProcess | TraceReplay, spanned_s: float) -> float:
    """Return how long arrivals are measured at least, where the requests asked for span that long.

    Where the rate varies these are whole cycles: any other window would hold more of one phase
    than of another, and how much would depend on the number of requests.
    """
    profile = load.profile if isinstance(load, ArrivalProcess) else None
    if profile is None:
        return trial.min_duration_s
    cycles = math.ceil(max(trial.min_duration_s, spanned_s) / profile.cycle_s)
    return cycles * profile.cycle_s
