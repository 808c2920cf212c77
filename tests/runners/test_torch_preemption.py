"""Requests that give up their slots go on where they stopped."""

from __future__ import annotations

import shutil
import weakref
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from paretobench.core.errors import DeviceOutOfMemoryError, TrialError
from paretobench.core.values import Preemption, Request
from paretobench.runners.base import StepResult
from paretobench.runners.rows import Rows
from paretobench.runners.torch import TorchRunner, make_runner, memory
from paretobench.runners.torch.models import random_model
from paretobench.runners.torch.table import SlotTable
from paretobench.scenario.presets import PRESETS
from paretobench.scenario.systems import Model

TINY = {
    **PRESETS["nano"],
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,  # which the C++ kernels serve
    "intermediate_size": 96,
    "vocab_size": 512,
    "max_position_embeddings": 128,
}
MODES: list[Preemption] = ["recompute", "keep_kv"]
SLOTS, LONGEST, BUDGET = 5, 64, 260  # the budget binds now and then

# The ways a step is computed: C++ kernels, plain torch, transformers' own modules.
WAYS: list[dict[str, Any]] = [
    {"backend": "fused"},
    {"backend": "fused", "attention": "sdpa", "compile": False},
    {"backend": "transformers"},
]


def tiny_model() -> Any:
    return random_model(TINY, device=torch.device("cpu"), dtype=torch.float32, seed=0, std=0.15)


def make(options: dict[str, Any], **how: Any) -> TorchRunner:
    model = Model(preset="nano", device="cpu", **options)
    return make_runner(tiny_model(), name="tiny", weights="random", options=model, **how)


def request(request_id: int, prompt_tokens: int = 5, output_tokens: int = 6) -> Request:
    return Request(
        request_id=request_id,
        arrival_s=0.0,
        prompt_tokens=prompt_tokens,
        output_tokens=output_tokens,
    )


def prompt(r: Request) -> np.ndarray:
    return np.random.default_rng(r.request_id).integers(512, size=r.prompt_tokens)


@cache
def requests() -> tuple[Request, ...]:
    rng = np.random.default_rng(0)
    return tuple(request(i, int(rng.integers(3, 40)), int(rng.integers(1, 24))) for i in range(24))


@cache
def generated(r: Request) -> tuple[int, ...]:
    """Return what the model generates by itself."""
    ids = torch.from_numpy(prompt(r))[None]
    result = tiny_model().generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=r.output_tokens,
        min_new_tokens=r.output_tokens,
        do_sample=False,
        pad_token_id=0,
    )
    return tuple(result[0, r.prompt_tokens :].tolist())


def start(
    runner: TorchRunner,
    preemption: Preemption,
    *,
    kv_budget_tokens: int | None = None,
    max_prefill_tokens: int | None = None,
) -> None:
    runner.start_trial(
        max_batch_size=SLOTS,
        max_request_tokens=LONGEST,
        prompts=prompt,
        kv_budget_tokens=kv_budget_tokens,
        max_prefill_tokens_per_step=max_prefill_tokens,
        preemption=preemption,
    )


class Server:
    """Joins, preempts and leaves at random, and has `Rows` count the same calls."""

    def __init__(self, runner: TorchRunner, preemption: Preemption, limit: int | None) -> None:
        start(runner, preemption, kv_budget_tokens=BUDGET, max_prefill_tokens=limit)
        self.runner, self.preemption = runner, preemption
        self.rows = Rows(
            SLOTS,
            max_request_tokens=LONGEST,
            kv_budget_tokens=BUDGET,
            max_prefill_tokens=limit,
            preemption=preemption,
        )
        self.rng = np.random.default_rng(1)
        self.outside, self.inside = list(requests()), dict[int, Request]()
        self.tokens: dict[int, list[int]] = {r.request_id: [] for r in self.outside}
        self.num_preemptions = dict.fromkeys(self.tokens, 0)
        self.counted: list[StepResult] = []  # by Rows
        self.reported: list[StepResult] = []

    def serve(self) -> None:
        for _ in range(1000):
            if not (self.outside or self.inside):
                return
            if self.rng.random() < 0.3:
                self.preempt()
            join = self.choose()
            self.counted.append(self.rows.step(join))
            self.take(self.runner.step(join))
            done = [i for i in self.inside if not self.owed(i) and self.rng.random() < 0.5]
            self.runner.leave(done)
            self.rows.leave(done)
            for request_id in done:
                del self.inside[request_id]
            assert self.runner.capacity() == self.rows.capacity()

    def preempt(self) -> None:
        self.take(self.runner.settle())
        victims = [i for i in self.inside if self.owed(i) and self.rng.random() < 0.5]
        self.runner.preempt(victims)
        self.rows.preempt(victims)
        for request_id in victims:
            self.num_preemptions[request_id] += 1
            self.outside.insert(
                int(self.rng.integers(len(self.outside) + 1)), self.inside.pop(request_id)
            )

    def choose(self) -> list[Request]:
        """Return a few from outside who fit, in the order that the runner computes them."""
        capacity = self.runner.capacity()
        free_kv_tokens, join = capacity.free_kv_tokens, list[Request]()
        num_joining = min(capacity.free_slots, int(self.rng.integers(0, 4)))
        assert free_kv_tokens is not None
        for r in self.outside:
            is_kept = self.preemption == "keep_kv" and self.num_preemptions[r.request_id]
            needed = 0 if is_kept else r.prompt_tokens + r.output_tokens
            if len(join) < num_joining and needed <= free_kv_tokens:
                free_kv_tokens -= needed
                join.append(r)
        self.outside = [r for r in self.outside if r not in join]
        self.inside |= {r.request_id: r for r in join}
        recomputes = self.preemption == "recompute"
        return sorted(
            join, key=lambda r: r.prompt_tokens + recomputes * len(self.tokens[r.request_id])
        )

    def take(self, result: StepResult) -> None:
        self.reported.append(result)
        for request_id, token in result.tokens:
            self.tokens[request_id].append(token)

    def owed(self, request_id: int) -> int:
        return self.inside[request_id].output_tokens - len(self.tokens[request_id])


def counts(results: list[StepResult]) -> list[tuple[Any, ...]]:
    """Return what each step that computed for somebody counted, and for whom."""
    return [
        (sorted(request_id for request_id, _ in result.tokens), *result[1:])
        for result in results
        if result.tokens or result.prompt_tokens
    ]


def serves_as_if_nobody_were_preempted(server: Server) -> None:
    server.serve()
    assert sum(n >= 2 for n in server.num_preemptions.values()) > 5
    expected = {r.request_id: list(generated(r)) for r in requests()}
    assert server.tokens == expected
    assert len({token for tokens in expected.values() for token in tokens}) > 40
    assert counts(server.reported) == counts(server.counted)
    capacity = server.runner.capacity()
    assert (capacity.free_slots, capacity.free_kv_tokens) == (SLOTS, BUDGET)


@pytest.mark.parametrize("limit", [None, 13])
@pytest.mark.parametrize("options", WAYS, ids=str)
@pytest.mark.parametrize("preemption", MODES)
def test_tokens_of_preempted_requests_equal_generate(
    preemption: Preemption, options: dict[str, Any], limit: int | None
) -> None:
    serves_as_if_nobody_were_preempted(Server(make(options), preemption, limit))


@pytest.mark.parametrize("limit", [None, 13])
@pytest.mark.parametrize("options", [WAYS[0], WAYS[2]], ids=str)
@pytest.mark.parametrize("preemption", MODES)
def test_with_replayed_steps_read_late_they_do_too(
    preemption: Preemption,
    options: dict[str, Any],
    limit: int | None,
    recorded: Any,
    reads_late: Any,
) -> None:
    runner = make(options, make_capture=lambda: recorded, readback=reads_late)
    serves_as_if_nobody_were_preempted(Server(runner, preemption, limit))
    assert sum(recorded.num_replays) > 50


@pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None, reason="no C++ compiler here"
)
def test_the_ways_above_include_the_cpp_kernels() -> None:
    assert "C++" in make(WAYS[0]).describe()["attention_backend"]


@pytest.fixture
def runner() -> TorchRunner:
    return make({"backend": "transformers"})


@pytest.fixture
def late_runner(reads_late: Any) -> TorchRunner:
    return make({"backend": "transformers"}, readback=reads_late)


def test_a_runner_that_waits_for_its_device_has_nothing_to_settle(runner: TorchRunner) -> None:
    start(runner, "recompute")
    assert len(runner.step([request(0)]).tokens) == 1
    assert runner.settle() == StepResult(tokens=[])


def test_settle_returns_the_step_on_its_way_and_the_next_one_nothing(
    late_runner: TorchRunner,
) -> None:
    one = request(0, output_tokens=4)
    start(late_runner, "recompute")
    assert late_runner.step([one]) == StepResult(tokens=[])
    settled = late_runner.settle()
    assert (len(settled.tokens), settled.num_prompts, settled.prompt_tokens) == (1, 1, 5)
    assert late_runner.settle() == StepResult(tokens=[])
    assert late_runner.step([]) == StepResult(tokens=[])
    rest = [late_runner.step([]).tokens for _ in range(4)]
    assert [token for tokens in [settled.tokens, *rest] for _, token in tokens] == list(
        generated(one)
    )


def test_logits_that_are_not_finite_fail_where_they_are_settled(late_runner: TorchRunner) -> None:
    start(late_runner, "recompute")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(late_runner._backend, "logits", lambda *_: torch.full((1, 512), float("nan")))
        late_runner.step([request(0)])
    with pytest.raises(TrialError, match="logits of 1 of 1 requests"):
        late_runner.settle()


def test_a_kept_cache_decodes_in_the_step_it_joins_in_while_a_prompt_is_half_done(
    runner: TorchRunner,
) -> None:
    one, long = request(0, 5, 6), request(1, 20, 3)
    start(runner, "keep_kv", max_prefill_tokens=8)
    tokens = [token for join in ([one], []) for _, token in runner.step(join).tokens]
    runner.preempt([0])
    result = runner.step([long])
    assert (result.decode_rows, result.prompt_tokens, result.tokens) == (0, 8, [])
    result = runner.step([one])
    assert (result.decode_rows, result.num_prompts, result.prompt_tokens) == (1, 1, 8)
    # 6 + the one it writes, and 16 of the prompt
    assert result.kv_tokens == 7 + 16
    results = [result, *(runner.step([]) for _ in range(3))]
    tokens += [token for result in results for i, token in result.tokens if i == 0]
    assert tokens == list(generated(one))
    assert [token for r in results for i, token in r.tokens if i == 1] == list(generated(long))


def test_what_is_computed_again_counts_as_prompt(runner: TorchRunner) -> None:
    one = request(0, 5, 6)
    start(runner, "recompute", kv_budget_tokens=20)
    for join in ([one], [], []):
        runner.step(join)
    runner.preempt([0])
    assert runner.capacity().free_kv_tokens == 20
    result = runner.step([one])
    assert (result.num_prompts, result.prompt_tokens, result.decode_rows) == (1, 5 + 3, 0)
    assert [token for _, token in result.tokens] == [generated(one)[3]]


def test_a_kept_cache_counts_against_the_budget_all_the_while(runner: TorchRunner) -> None:
    start(runner, "keep_kv", kv_budget_tokens=40)
    runner.step([request(0, 5, 6)])
    runner.preempt([0])
    assert (runner.capacity().free_slots, runner.capacity().free_kv_tokens) == (SLOTS, 40 - 11)
    runner.step([request(0, 5, 6)])
    assert runner.capacity().free_kv_tokens == 40 - 11
    runner.leave([0])
    assert runner.capacity().free_kv_tokens == 40


@pytest.mark.parametrize("preemption", MODES)
def test_a_prompt_that_was_half_done_starts_anew(
    runner: TorchRunner, preemption: Preemption
) -> None:
    one = request(0, 12, 2)
    start(runner, preemption, max_prefill_tokens=8)
    assert runner.step([one]).prompt_tokens == 8
    runner.preempt([0])
    results = [runner.step(join) for join in ([one], [], [])]
    assert [result.prompt_tokens for result in results] == [8, 4, 0]
    assert [token for result in results for _, token in result.tokens] == list(generated(one))


@pytest.mark.parametrize("preemption", MODES)
def test_a_new_trial_knows_nothing_of_those_preempted_in_the_last(
    runner: TorchRunner, preemption: Preemption
) -> None:
    one = request(0, 5, 6)
    start(runner, preemption, kv_budget_tokens=40)
    runner.step([one])
    runner.preempt([0])
    start(runner, preemption, kv_budget_tokens=40)
    assert runner.capacity().free_kv_tokens == 40
    results = [runner.step(join) for join in ([one], [])]
    assert [result.prompt_tokens for result in results] == [5, 0]
    assert [token for result in results for _, token in result.tokens] == list(generated(one)[:2])


def test_the_memory_of_a_kept_cache_is_given_back_at_the_end_of_the_trial(
    runner: TorchRunner,
) -> None:
    start(runner, "keep_kv")
    runner.step([request(0)])
    copies: list[weakref.ref[torch.Tensor]] = []
    copy = runner._layout.cache.copy

    def copy_and_watch(slot: int, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        keys, values = copy(slot, tokens)
        assert keys.untyped_storage().nbytes() == keys.numel() * 4  # no more than is used
        copies.extend((weakref.ref(keys), weakref.ref(values)))
        return keys, values

    runner._layout.cache.copy = copy_and_watch  # type: ignore[method-assign]
    runner.preempt([0])
    assert all(kept() is not None for kept in copies)
    runner.end_trial()
    assert [kept() for kept in copies] == [None, None]


def test_out_of_memory_in_setting_aside_ends_the_trial_and_the_next_one_runs(
    runner: TorchRunner,
) -> None:
    one = request(0, 5, 6)
    start(runner, "keep_kv", kv_budget_tokens=40)
    runner.step([one, request(1)])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "available_host_memory", lambda: 100)
        with pytest.raises(DeviceOutOfMemoryError, match="the cache of 2 preempted requests"):
            runner.preempt([0, 1])
    assert runner.capacity().free_slots == 0
    start(runner, "keep_kv", kv_budget_tokens=40)
    assert runner.capacity().free_kv_tokens == 40
    assert runner.step([one]).tokens == [(0, generated(one)[0])]


def test_rows_that_come_back_move_prompts_that_are_not_done_down_in_order() -> None:
    table = SlotTable(6)
    decoding = [request(0, 5), request(1, 7)]
    for r in decoding:
        table.join(r, prompt(r))
    table.plan(None)
    seats = [table.seat(i) for i in (0, 1)]
    assert [(s.slot, s.cached_tokens, s.owed, s.decodes) for s in seats] == [
        (0, 5, 5, True),
        (1, 7, 5, True),
    ]
    table.leave([0, 1])
    for i in (2, 3, 4):
        table.join(request(i, 6), prompt(request(i, 6)))
    table.plan(9)
    version = table.version
    # 2 decodes; 3 has three tokens in the cache, 4 none: it moves without a copy
    assert table.rejoin(seats) == [(1, 3, 3)]
    assert table.version > version
    assert table.positions.tolist() == [6, 5, 7]
    assert table.owed.tolist() == [5, 5, 5]
    assert table.reserved_tokens == 11 + 13 + 3 * 12
    plan = table.plan(9)
    assert plan is not None
    assert [(c.slot, c.start, len(c.token_ids)) for c in plan.chunks] == [(3, 3, 3), (4, 0, 6)]
    assert plan.deliveries == ((2, 0), (0, 1), (1, 2), (3, 3), (4, 4))
