"""The one serving loop: requests, a policy, a runner and a clock, measured or simulated alike."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from paretobench.core.errors import DeviceOutOfMemoryError
from paretobench.core.values import CloseReason, Outcome, Phase, Request, RequestRecord, Trace
from paretobench.runners.base import Runner
from paretobench.serving.clock import Clock
from paretobench.serving.policies import Admit, Hold, Policy, ServingState
from paretobench.serving.recorder import InFlight, StepLog
from paretobench.serving.sources import RequestSource


class ServingLoop:
    """Serves a source's requests until every measured one has ended.

    The loop itself takes in each request whose scheduled time has come, so arrivals never fall
    behind and no delay of the system is hidden (no coordinated omission). `timeout_s` of the
    clock's time ends the trial with what it has.
    """

    def __init__(
        self,
        *,
        source: RequestSource,
        policy: Policy,
        runner: Runner,
        clock: Clock,
        timeout_s: float,
    ) -> None:
        self._source = source
        self._policy = policy
        self._runner = runner
        self._clock = clock
        self._timeout_s = timeout_s
        self._max_request_tokens = runner.capacity().max_request_tokens
        self._queue: deque[Request] = deque()
        self._waiting: dict[int, InFlight] = {}
        self._running: dict[int, InFlight] = {}
        self._batch_done: list[InFlight] = []  # have their tokens, wait for the batch's end
        self._unfinished_measured = 0
        self._records: list[RequestRecord] = []
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
            requests=tuple(sorted(self._records, key=lambda record: record.request_id)),
            steps=self._steps.records(),
            window=self._source.window(),
            outcome=outcome,
            reason=reason,
        )

    def _is_done(self) -> bool:
        """Take in what is due; return whether the window has closed and all measured ended."""
        for request in self._source.due(self._clock.now()):
            self._accept(request)
        return not self._unfinished_measured and self._source.window() is not None

    def _accept(self, request: Request) -> None:
        in_flight = InFlight(request, measured=self._source.is_measured(request.request_id))
        needed = request.prompt_tokens + request.output_tokens
        if self._max_request_tokens is not None and needed > self._max_request_tokens:
            error = f"needs {needed} tokens of cache, found room for {self._max_request_tokens}"
            self._records.append(in_flight.record("rejected", error=error))
            self._source.on_finished(request.arrival_s)
            return
        self._unfinished_measured += in_flight.measured
        self._waiting[request.request_id] = in_flight
        self._queue.append(request)

    def _advance(self) -> None:
        state = ServingState(
            now_s=self._clock.now(),
            queue=self._queue,
            num_running=len(self._running) + len(self._batch_done),
            more_will_come=self._source.more_will_come(),
        )
        decision = self._policy.decide(state)
        if isinstance(decision, Hold):
            self._hold(decision, state.now_s)
        elif isinstance(decision, Admit):
            join = self._take(decision.num_requests, state.now_s)
            assert join or state.num_running, "the policy admits, but the runner has no room"
            self._step(join, decision.reason if join else None)
        else:
            self._step((), None)

    def _take(self, num_requests: int, now_s: float) -> list[Request]:
        """Return the first of the queue, up to `num_requests`, that there is memory for.

        The others of them wait for memory, and are marked so. Nobody overtakes.
        """
        capacity = self._runner.capacity()
        free_kv_tokens = capacity.free_kv_tokens
        join: list[Request] = []
        while len(join) < min(num_requests, capacity.free_slots):
            request = self._queue[0]
            if free_kv_tokens is not None:
                free_kv_tokens -= request.prompt_tokens + request.output_tokens
                if free_kv_tokens < 0:
                    break
            join.append(self._queue.popleft())
        for request in islice(self._queue, num_requests - len(join)):
            in_flight = self._waiting[request.request_id]
            if in_flight.kv_blocked_s is None:
                in_flight.kv_blocked_s = now_s
        return join

    def _hold(self, decision: Hold, now_s: float) -> None:
        times = [t for t in (decision.until_s, self._source.next_arrival_s()) if t is not None]
        assert times, "nothing runs, nothing will arrive, and the policy holds"
        self._clock.sleep(min(times) - now_s)

    def _step(self, join: Sequence[Request], close_reason: CloseReason | None) -> None:
        start_s = self._clock.now()
        running = self._running
        for request in join:
            in_flight = self._waiting.pop(request.request_id)
            in_flight.admitted_s = start_s
            running[request.request_id] = in_flight
        result = self._runner.step(join)
        now_s = self._clock.now()
        phase: Phase = "decode"
        if result.prompt_tokens:
            phase = "mixed" if result.decode_rows else "prefill"
        self._steps.add(
            phase,
            start_s,
            now_s,
            len(running) + len(self._batch_done),
            len(join),
            result,
            len(self._queue),
            close_reason,
        )
        complete: list[InFlight] = []
        for request_id, _ in result.tokens:
            in_flight = running[request_id]
            in_flight.token_times_s.append(now_s)
            in_flight.remaining -= 1
            if not in_flight.remaining:
                complete.append(in_flight)
        if complete:
            self._complete(complete, now_s)

    def _complete(self, complete: list[InFlight], now_s: float) -> None:
        for in_flight in complete:
            del self._running[in_flight.request.request_id]
        if self._policy.delivers_at_batch_end:
            self._batch_done += complete
            if self._running:
                return
            complete, self._batch_done = self._batch_done, []
        for in_flight in complete:
            self._unfinished_measured -= in_flight.measured
            self._records.append(in_flight.record("finished", finished_s=now_s))
            self._source.on_finished(now_s)
        self._runner.leave([in_flight.request.request_id for in_flight in complete])

    def _describe_timeout(self) -> str:
        done = sum(record.measured and record.status == "finished" for record in self._records)
        return (
            f"timed out after {self._timeout_s:g} s: {done} measured requests finished, "
            f"{self._unfinished_measured} had arrived and were not"
        )

    def _abandon(self, reason: str | None) -> None:
        for in_flight in (*self._waiting.values(), *self._running.values(), *self._batch_done):
            self._records.append(in_flight.record("unfinished", error=reason))
