"""The one serving loop: requests, a policy, a runner and a clock, measured or simulated alike."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from paretobench.core.errors import DeviceOutOfMemoryError
from paretobench.core.values import (
    CloseReason,
    Outcome,
    Phase,
    Preemption,
    Request,
    Trace,
)
from paretobench.runners.base import Runner, SkippingRunner, StepResult
from paretobench.serving.clock import Clock, VirtualClock
from paretobench.serving.policies import Admit, Continue, Hold, Policy, ServingState
from paretobench.serving.queues import Queues
from paretobench.serving.recorder import InFlight, RequestLog, StepLog
from paretobench.serving.sources import RequestSource


class ServingLoop:
    """Serves a source's requests until every measured one has ended.

    The loop itself takes in each request whose scheduled time has come, so arrivals never fall
    behind and no delay of the system is hidden (no coordinated omission). `timeout_s` of the
    clock's time ends the trial with what it has. `preemption` is what the runner does with those
    that a policy takes out of their slots.
    """

    def __init__(
        self,
        *,
        source: RequestSource,
        policy: Policy,
        runner: Runner,
        clock: Clock,
        timeout_s: float,
        preemption: Preemption | None = None,
    ) -> None:
        self._source = source
        self._policy = policy
        self._runner = runner
        self._clock = clock
        self._timeout_s = timeout_s
        self._preemption = preemption
        # in virtual time steps at which nothing can happen need not be run one by one
        self._skipper: tuple[SkippingRunner, VirtualClock] | None = None
        if isinstance(clock, VirtualClock) and isinstance(runner, SkippingRunner):
            self._skipper = runner, clock
        self._max_request_tokens = runner.capacity().max_request_tokens
        self._queues = Queues(keeps_kv=preemption == "keep_kv")
        self._running: dict[int, InFlight] = {}
        self._batch_done: list[InFlight] = []  # have their tokens, wait for the batch's end
        self._unfinished_measured = 0
        self._ended = RequestLog()
        self._steps = StepLog()

    def run(self) -> Trace:
        """Return the trace of the trial, also where memory or time ran out."""
        outcome: Outcome = "completed"
        reason: str | None = None
        try:
            while not self._is_done():
                if self._clock.now() >= self._timeout_s:
                    outcome, reason = "timed_out", self._describe_timeout()
                    break
                self._advance()
        except DeviceOutOfMemoryError as error:
            outcome, reason = "out_of_memory", str(error)
        if outcome != "completed":
            self._abandon(reason)
        return Trace(
            requests=self._ended.records(np.frombuffer(self._steps.ends_s)),
            steps=self._steps.records(),
            window=self._source.window(),
            outcome=outcome,
            reason=reason,
            limit_changes=tuple(self._policy.limit_changes),
        )

    def _is_done(self) -> bool:
        """Take in what is due; return whether the window has closed and all measured ended."""
        self._take_in(self._clock.now())
        return not self._unfinished_measured and self._source.window() is not None

    def _take_in(self, now_s: float) -> None:
        for request in self._source.due(now_s):
            self._accept(request, now_s)

    def _accept(self, request: Request, now_s: float) -> None:
        measured = self._source.is_measured(request.request_id)
        in_flight = InFlight(request, measured=measured, taken_in_s=now_s)
        needed = request.prompt_tokens + request.output_tokens
        if self._max_request_tokens is not None and needed > self._max_request_tokens:
            error = f"needs {needed} tokens of cache, found room for {self._max_request_tokens}"
            self._ended.add(in_flight, "rejected", error=error)
            self._source.on_finished(request.arrival_s, None)
            return
        self._unfinished_measured += in_flight.measured
        self._queues.append(self._policy.lane_of(request), in_flight)

    def _advance(self) -> None:
        state = ServingState(
            now_s=self._clock.now(),
            queues=self._queues.lanes,
            running=self._running,
            num_running=len(self._running) + len(self._batch_done),
            capacity=self._runner.capacity(),
            more_will_come=self._source.more_will_come(),
            set_aside=self._queues.set_aside,
        )
        decision = self._policy.decide(state)
        if isinstance(decision, Continue):
            self._continue(decision, state.now_s)
        elif isinstance(decision, Hold):
            self._hold(decision, state.now_s)
        else:
            self._admit(decision, state)

    def _admit(self, decision: Admit, state: ServingState) -> None:
        capacity = state.capacity
        out: list[InFlight] = []
        if decision.preempt:
            out = self._preempt(decision.preempt)
            capacity = self._runner.capacity()
        join = self._queues.take(decision.groups, capacity, state.now_s)
        for in_flight in out:  # not before: none of them is meant by the groups
            self._queues.put_back(self._policy.lane_of(in_flight.request), in_flight)
        if not (join or self._running or self._batch_done):
            join = self._queues.take_set_aside()
            assert join, "the policy admits, but the runner has no room"
        if join:
            self._step(join, decision.groups[0].reason)
        else:
            self._continue(Continue(until_s=decision.until_s), state.now_s)

    def _hold(self, decision: Hold, now_s: float) -> None:
        times = [t for t in (decision.until_s, self._source.next_arrival_s()) if t is not None]
        assert times, "nothing runs, nothing will arrive, and the policy holds"
        self._clock.sleep(min(times) - now_s)

    def _preempt(self, request_ids: Sequence[int]) -> list[InFlight]:
        """Take requests out of their slots and return them, those aside that are done by now."""
        start_s = self._clock.now()
        result = self._runner.settle()
        if result.tokens:
            self._record((), start_s, result, None)
        now_s = self._clock.now()
        out_ids = [request_id for request_id in request_ids if request_id in self._running]
        self._runner.preempt(out_ids)
        out = [self._running.pop(request_id) for request_id in out_ids]
        for in_flight in out:
            in_flight.preempt(now_s, recompute=self._preemption == "recompute")
        return out

    def _continue(self, decision: Continue, now_s: float) -> None:
        if self._skipper is None:
            self._step((), None)
            return
        runner, clock = self._skipper
        times = [self._timeout_s]
        if decision.until_s is not None:
            times.append(decision.until_s)
        if decision.until_arrival and (arrival_s := self._source.next_arrival_s()) is not None:
            times.append(arrival_s)
        ends_s, result = runner.run_alike(now_s, until_s=min(times))
        if not ends_s:
            self._step((), None)
            return
        clock.sleep_until(ends_s[-1])
        self._record_alike(now_s, ends_s, result)

    def _step(self, join: Sequence[InFlight], close_reason: CloseReason | None) -> None:
        start_s = self._clock.now()
        for in_flight in join:
            in_flight.join(start_s)
            self._running[in_flight.request.request_id] = in_flight
        result = self._runner.step([in_flight.request for in_flight in join])
        self._record(join, start_s, result, close_reason)

    def _record(
        self,
        join: Sequence[InFlight],
        start_s: float,
        result: StepResult,
        close_reason: CloseReason | None,
    ) -> None:
        running = self._running
        now_s = self._clock.now()
        phase: Phase = "decode"
        if result.prompt_tokens:
            phase = "mixed" if result.decode_rows else "prefill"
        step = self._steps.add(
            phase,
            start_s,
            (now_s,),
            len(running) + len(self._batch_done),
            len(join),
            len(result.tokens),
            result,
            self._queues.num_waiting,
            close_reason,
        )
        after = step + 1
        complete: list[InFlight] = []
        for request_id, _ in result.tokens:
            in_flight = running[request_id]
            if in_flight.next_step == step:
                in_flight.next_step = after
            else:
                in_flight.start_span(step)
            if in_flight.end_step == after:
                complete.append(in_flight)
        if complete:
            self._complete(complete, now_s)

    def _record_alike(self, start_s: float, ends_s: Sequence[float], result: StepResult) -> None:
        """Note steps in each of which all that run got a token."""
        running, count = self._running, len(ends_s)
        step = self._steps.add(
            "decode",
            start_s,
            ends_s,
            len(running) + len(self._batch_done),
            0,
            count * len(running),
            result,
            self._queues.num_waiting,
            None,
        )
        for request in self._source.due(ends_s[-1]):
            # steps one by one would have taken it in after the first that ended behind its arrival
            self._accept(request, ends_s[bisect_left(ends_s, request.arrival_s)])
        after = step + count
        complete: list[InFlight] = []
        for in_flight in running.values():
            assert in_flight.next_step == step, "a token in every step"
            in_flight.next_step = after
            if in_flight.end_step == after:
                complete.append(in_flight)
        if complete:
            self._complete(complete, ends_s[-1])

    def _complete(self, complete: list[InFlight], now_s: float) -> None:
        for in_flight in complete:
            del self._running[in_flight.request.request_id]
        if self._policy.delivers_at_batch_end:
            self._batch_done += complete
            if self._running:
                return
            complete, self._batch_done = self._batch_done, []
        self._take_in(now_s)  # a policy learns how many waited, also of those that came meanwhile
        queue_depth = self._queues.num_waiting
        for in_flight in complete:
            self._unfinished_measured -= in_flight.measured
            self._ended.add(in_flight, "finished", finished_s=now_s)
            self._source.on_finished(now_s, in_flight.request.arrival_s)
        self._runner.leave([in_flight.request.request_id for in_flight in complete])
        self._policy.observe(complete, now_s, queue_depth)

    def _describe_timeout(self) -> str:
        return (
            f"timed out after {self._timeout_s:g} s: {self._ended.num_measured('finished')} "
            f"measured requests finished, {self._unfinished_measured} had arrived and were not"
        )

    def _abandon(self, reason: str | None) -> None:
        for in_flight in (*self._queues.waiting(), *self._running.values(), *self._batch_done):
            self._ended.add(in_flight, "unfinished", error=reason)
