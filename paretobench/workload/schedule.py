"""The whole schedule of a trial, drawn before it runs."""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from paretobench.core.values import Request, Trial, Window
from paretobench.core.workloads import ArrivalProcess, ClosedLoop, TraceReplay
from paretobench.workload.arrivals import arrival_times
from paretobench.workload.lengths import request_shapes
from paretobench.workload.warmup import WarmUpRule, warmup_rule


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSchedule:
    """Requests with their arrival times, by arrival.

    The first `num_warmup` warm the system up, the next `num_measured` are measured, the rest keep
    the load up until the measured ones are done. Request ids count from 0. The window runs from
    the arrival of the first measured request to that of the first after them.

    With a `warmup` rule this is the earliest window: `starting_with` returns the others.
    """

    requests: tuple[Request, ...]
    num_warmup: int
    num_measured: int
    window: Window
    warmup: WarmUpRule | None = None
    num_requests: int = 0  # of each window at least, as many seconds, and what comes after it
    min_duration_s: float = 0.0
    num_after: int = 0

    def starting_with(self, first: int) -> OpenSchedule:
        """Return the schedule whose measured requests begin with `first`, and end as they should.

        Only one with a `warmup` rule can begin later, up to the rule's last request.
        """
        start_s = self.requests[first].arrival_s
        end = bisect_left(
            self.requests,
            start_s + self.min_duration_s,
            lo=first + self.num_requests,
            key=lambda request: request.arrival_s,
        )
        return replace(
            self,
            requests=self.requests[: end + self.num_after],
            num_warmup=first,
            num_measured=end - first,
            window=Window(start_s=start_s, end_s=self.requests[end].arrival_s),
            warmup=None,
        )

    def only(self, class_name: str) -> OpenSchedule:
        """Return the requests of one class, with the ids and the window of all."""
        mine = tuple(r for r in self.requests if r.class_name == class_name)
        return replace(self, requests=mine)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedSchedule:
    """Request classes and lengths for clients whose arrivals follow from the system's answers.

    Requests are measured from the `num_warmup`-th on (or from when the `warmup` rule says),
    `num_measured` of them, and more while they have arrived over less than `min_duration_s`.
    """

    shapes: Iterator[tuple[str, int, int]]  # class, prompt tokens, output tokens
    load: ClosedLoop
    num_warmup: int
    num_measured: int
    min_duration_s: float
    warmup: WarmUpRule | None = None


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
            warmup=warmup_rule(trial),
        )
    return _open_schedule(trial, trial.load, shapes, arrivals_rng)


def _open_schedule(
    trial: Trial,
    load: ArrivalProcess | TraceReplay,
    shapes: Iterator[tuple[str, int, int]],
    rng: np.random.Generator,
) -> OpenSchedule:
    times = arrival_times(load, rng)
    rule = warmup_rule(trial)
    arrivals = list(itertools.islice(times, trial.num_warmup + trial.num_requests))
    duration_s = _window_s(trial, load, arrivals[-1] - arrivals[trial.num_warmup])
    num_measured = _draw_window(arrivals, times, trial, trial.num_warmup, duration_s)
    num_after = max(num_measured, 4 * trial.batching.max_batch_size)
    latest = num_measured
    if rule is not None:
        arrivals += itertools.islice(times, max(rule.last + 1 - len(arrivals), 0))
        latest = _draw_window(arrivals, times, trial, rule.last, duration_s)
    missing = (rule.last if rule else trial.num_warmup) + latest + num_after - len(arrivals)
    arrivals += itertools.islice(times, max(missing, 0))
    return OpenSchedule(
        requests=_requests(arrivals, shapes),
        num_warmup=trial.num_warmup,
        num_measured=num_measured,
        window=Window(
            start_s=arrivals[trial.num_warmup], end_s=arrivals[trial.num_warmup + num_measured]
        ),
        warmup=rule,
        num_requests=trial.num_requests,
        min_duration_s=duration_s,
        num_after=num_after,
    )


def _draw_window(
    arrivals: list[float], times: Iterator[float], trial: Trial, first: int, duration_s: float
) -> int:
    """Draw `arrivals` on until a window that begins with `first` has closed; return how many
    requests it measures."""
    end = first + trial.num_requests
    while True:
        arrivals += itertools.islice(times, max(end + 1 - len(arrivals), 0))
        if arrivals[end] - arrivals[first] >= duration_s:
            return end - first
        end += 1


def _requests(arrivals: list[float], shapes: Iterator[tuple[str, int, int]]) -> tuple[Request, ...]:
    return tuple(
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
