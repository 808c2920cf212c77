"""Counts against torch's counter and real models; least times and shares against hand counts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from paretobench.analysis.counts import (
    ModelCounts,
    StepWork,
    count_model,
    decode_work,
    prefill_work,
    recorded_work,
)
from paretobench.analysis.limits import (
    StepLimit,
    median_shares,
    step_limit,
    step_shares,
    trial_shares,
)
from paretobench.core.ceilings import Ceiling, Ceilings
from paretobench.core.errors import UserInputError
from paretobench.core.values import Phase, StepRecord, Trace, Window
from paretobench.scenario.presets import PRESETS, num_parameters

TINY = {
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 24,  # heads × head_dim is not hidden_size
    "intermediate_size": 96,
    "vocab_size": 256,
}
FAMILIES = {
    "llama": {**PRESETS["llama-3.2-1b"], **TINY},
    "qwen3": {**PRESETS["qwen3-0.6b"], **TINY},
    "llama untied": {**PRESETS["llama-3.1-8b"], **TINY},
    "qwen3 untied": {**PRESETS["qwen3-8b"], **TINY},
    "llama with biases": {**PRESETS["llama-3.1-8b"], **TINY, "attention_bias": True,
                          "mlp_bias": True},
    "qwen3 with biases": {**PRESETS["qwen3-8b"], **TINY, "attention_bias": True},
}  # fmt: skip
for family in ("llama", "qwen3"):
    FAMILIES[f"{family} without head_dim"] = {
        key: value for key, value in FAMILIES[family].items() if key != "head_dim"
    }
PROMPT, CHUNK = 21, 8
COUNTS = count_model(PRESETS["mini"], dtype="float32")


def row(quantity: str, dtype: str, per_s: float | None) -> Ceiling:
    return Ceiling(
        quantity=quantity,  # type: ignore[arg-type]
        dtype=dtype,
        method="",
        shape="",
        unit="",
        per_s=None if per_s is None else per_s / 2,  # the limit is the best, not the median
        best_per_s=per_s,
    )


def ceilings(
    read: float | None = 1e9, flops: float | None = 1e10, int8: float | None = None
) -> Ceilings:
    rows = (
        row("read_bandwidth", "float32", read),
        row("matmul", "float32", flops),
        row("matmul", "int8", int8),
    )
    return Ceilings(system={"device": "cpu"}, rows=rows)


def step(
    *, phase: Phase = "decode", decode_rows: int = 0, prompts: int = 0, prompt_tokens: int = 0,
    kv_tokens: int = 0, start_s: float = 0.0, duration_s: float = 1.0,
) -> StepRecord:  # fmt: skip
    return StepRecord(
        phase=phase,
        start_s=start_s,
        duration_s=duration_s,
        batch_size=decode_rows + prompts,
        decode_rows=decode_rows,
        joined=prompts,
        prompt_tokens=prompt_tokens,
        new_tokens=decode_rows + prompts,
        kv_tokens=kv_tokens,
        padded_tokens=0,
        queue_depth=0,
        close_reason=None,
    )


class Counted:
    """A tiny model of transformers and what torch's counter says of a forward."""

    def __init__(self, config: dict[str, Any]) -> None:
        torch = pytest.importorskip("torch")
        from paretobench.runners.torch.models import random_model

        self.torch = torch
        self.model = random_model(config, device=torch.device("cpu"), dtype=torch.float32, seed=0)
        self.model.set_attn_implementation("eager")  # both products are plain bmm calls
        self.counts = count_model(config, dtype="float32")

    def flops(self, tokens: int, cache: Any = None) -> tuple[int, int]:
        """Return the FLOPs of linear layers and of attention; only the last row gets logits."""
        from torch.utils.flop_counter import FlopCounterMode

        ids = self.torch.zeros(1, tokens, dtype=self.torch.int64)
        with self.torch.inference_mode(), FlopCounterMode(display=False) as counter:
            self.model(ids, past_key_values=cache, use_cache=cache is not None, logits_to_keep=1)
        by_module = counter.get_flop_counts()
        aten = self.torch.ops.aten
        total = by_module["Global"]
        attention = sum(
            flops.get(aten.bmm, 0) for name, flops in by_module.items()
            if name.endswith(".self_attn")
        )  # fmt: skip
        return total.get(aten.mm, 0) + total.get(aten.addmm, 0), attention

    def new_cache(self) -> Any:
        from transformers import DynamicCache

        return DynamicCache(config=self.model.config)


@pytest.fixture(scope="module", params=FAMILIES)
def counted(request: pytest.FixtureRequest) -> Counted:
    return Counted(FAMILIES[request.param])


def test_a_prompts_flops_are_torchs_once_the_causal_halving_is_undone(counted: Counted) -> None:
    linear, attention = counted.flops(PROMPT)
    work = prefill_work(PROMPT)
    assert counted.counts.linear_flops(work) == linear
    full_square = work.attended * 2 * PROMPT / (PROMPT + 1)  # n(n + 1)/2 attended of n²
    assert full_square == PROMPT**2
    assert counted.counts.attention_flops(work) * 2 * PROMPT / (PROMPT + 1) == attention


def test_a_decode_steps_flops_are_torchs(counted: Counted) -> None:
    cache = counted.new_cache()
    counted.flops(PROMPT, cache)
    linear, attention = counted.flops(1, cache)
    work = decode_work([PROMPT + 1])
    assert counted.counts.linear_flops(work) == linear
    assert counted.counts.attention_flops(work) == attention
    assert counted.counts.step_flops(work) == linear + attention


def test_weight_bytes_are_the_parameters_less_an_embedding_of_its_own(counted: Counted) -> None:
    model = counted.model
    expected = sum(p.nbytes for p in model.parameters())
    if model.lm_head.weight is not model.model.embed_tokens.weight:
        expected -= model.model.embed_tokens.weight.nbytes
    assert counted.counts.weight_bytes == expected


def test_kv_bytes_are_what_a_cache_holds(counted: Counted) -> None:
    cache = counted.new_cache()
    counted.flops(PROMPT, cache)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert counted.counts.kv_bytes_per_token * PROMPT == held
    assert counted.counts.step_kv_bytes(prefill_work(PROMPT)) == held


@pytest.mark.parametrize("preset", PRESETS)
def test_a_presets_weights_are_its_parameters_in_bytes(preset: str) -> None:
    config = PRESETS[preset]
    embedding = 0 if config["tie_word_embeddings"] else config["vocab_size"] * config["hidden_size"]
    counts = count_model(config, dtype="bfloat16")
    assert counts.weight_bytes == 2 * (num_parameters(config) - embedding)


def test_quantised_layers_take_a_byte_a_weight_and_a_scale_an_output() -> None:
    config = PRESETS["nano"]
    counts = count_model(config, dtype="bfloat16", quantization="int8")
    q, kv, hidden, inner = 6 * 64, 2 * 64, 384, 1024
    weights = hidden * (q + kv + kv + q + 3 * inner)
    outputs = q + kv + kv + hidden + inner + inner + hidden
    norms = 2 * hidden + 2 * 64
    head = 16384 * hidden
    layers = 8 * (weights + 4 * outputs + 2 * norms)
    assert counts.weight_bytes == layers + 2 * hidden + 2 * head
    assert counts.kv_bytes_per_token == 8 * 2 * kv * 2


def test_chunks_of_a_prompt_add_up_to_the_whole_prompt() -> None:
    chunks = [
        prefill_work(tokens, cached_tokens=start, is_last=start + tokens == PROMPT)
        for start, tokens in ((0, CHUNK), (CHUNK, CHUNK), (2 * CHUNK, PROMPT - 2 * CHUNK))
    ]
    total, whole = sum(chunks, StepWork()), prefill_work(PROMPT)
    assert COUNTS.step_flops(total) == COUNTS.step_flops(whole)
    assert (total.tokens, total.attended, total.num_wanted) == (PROMPT, whole.attended, 1)
    assert total.kv_tokens == 8 + 16 + 21  # what is cached is read again for every chunk


def test_a_chunk_that_ends_no_prompt_reads_no_head() -> None:
    first = prefill_work(CHUNK, is_last=False)
    head = COUNTS.step_weight_bytes(prefill_work(CHUNK)) - COUNTS.step_weight_bytes(first)
    assert head == 4 * PRESETS["mini"]["vocab_size"] * PRESETS["mini"]["hidden_size"]


def test_of_the_embedding_only_the_rows_looked_up_are_read() -> None:
    one, five = (COUNTS.step_weight_bytes(decode_work([1] * n)) for n in (1, 5))
    assert five - one == 4 * 4 * PRESETS["mini"]["hidden_size"]
    assert one - 4 * PRESETS["mini"]["hidden_size"] == COUNTS.weight_bytes


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"model_type": "mixtral"}, "mixtral"),
        ({"model_type": None}, "None"),
        ({"hidden_size": "64"}, "hidden_size"),
        ({"num_hidden_layers": 0}, "num_hidden_layers"),
    ],
)
def test_a_model_that_cannot_be_counted_is_refused(change: dict[str, Any], found: str) -> None:
    with pytest.raises(UserInputError, match=found):
        count_model({**FAMILIES["llama"], **change}, dtype="float32")


def counts_of(*, weights: int, kv_values: int, attention: int = 1) -> ModelCounts:
    return ModelCounts(
        linear_weights=weights,
        linear_outputs=10,
        other_weights=0,
        head_weights=0,
        hidden_size=0,
        kv_values=kv_values,
        attention_flops_per_position=attention,
        dtype="float32",
    )


def test_the_least_step_is_the_longer_of_reading_and_computing() -> None:
    counts = counts_of(weights=1_000_000, kv_values=100, attention=1000)
    limit = step_limit(counts, ceilings(read=1e9, flops=1e9), decode_work([500] * 4))
    assert limit is not None
    assert limit.weight_bytes == 4_000_000
    assert limit.kv_bytes == 4 * 500 * 400
    assert limit.memory_s == pytest.approx(4.8e-3)
    assert limit.flops == 4 * (2 * 1_000_000 + 500 * 1000)
    assert limit.arithmetic_s == pytest.approx(10e-3)
    assert (limit.least_s, limit.binds) == (limit.arithmetic_s, "arithmetic")


def test_what_binds_moves_from_weights_to_kv_with_the_context_and_to_arithmetic_with_batch() -> (
    None
):
    def binds(contexts: list[int]) -> str:
        limit = step_limit(COUNTS, ceilings(read=4e10, flops=4e11), decode_work(contexts))
        assert limit is not None
        return limit.binds

    assert binds([1]) == "weights"
    assert binds([40_000]) == "kv"
    assert binds([100] * 64) == "arithmetic"


def test_quantised_layers_are_held_to_the_faster_rate() -> None:
    counts = count_model(PRESETS["nano"], dtype="float32", quantization="int8")
    work = decode_work([10] * 100)
    linear, attention = counts.linear_flops(work), counts.attention_flops(work)
    for int8, rate in ((4e10, 4e10), (1e9, 1e10), (None, 1e10)):
        limit = step_limit(counts, ceilings(int8=int8), work)
        assert limit is not None
        assert limit.arithmetic_s == pytest.approx(linear / rate + attention / 1e10)


@pytest.mark.parametrize("missing", [{"read": None}, {"flops": None}])
def test_without_a_measured_rate_there_is_no_limit(missing: dict[str, None]) -> None:
    assert step_limit(COUNTS, ceilings(**missing), decode_work([1])) is None
    assert step_shares([step(decode_rows=1, kv_tokens=1)], COUNTS, ceilings(**missing)) == ()


def test_shares_are_counts_a_second_over_the_measured_rates() -> None:
    limit = StepLimit(
        weight_bytes=600, kv_bytes=200, flops=900.0, memory_s=800 / 100, arithmetic_s=900 / 300
    )
    duration_s = 10.0
    assert limit.mbu(duration_s) == pytest.approx((800 / duration_s) / 100)
    assert limit.mfu(duration_s) == pytest.approx((900 / duration_s) / 300)
    assert limit.share_of_limit(duration_s) == max(limit.mbu(duration_s), limit.mfu(duration_s))


def test_a_recorded_decode_step_counts_every_row_at_its_context() -> None:
    record = step(decode_rows=3, kv_tokens=100 + 20 + 3)
    assert recorded_work(record) == decode_work([100, 20, 3])


@pytest.mark.parametrize("lengths", [[16], [8, 8], [1, 15], [2, 3, 11]])
def test_a_recorded_prefill_counts_no_more_than_its_prompts_took(lengths: list[int]) -> None:
    record = step(
        phase="mixed", decode_rows=2, prompts=len(lengths), prompt_tokens=16, kv_tokens=50 + 16
    )
    exact = sum((prefill_work(n) for n in lengths), decode_work([30, 20]))
    found = recorded_work(record)
    assert (found.tokens, found.kv_tokens, found.num_wanted) == (
        exact.tokens, exact.kv_tokens, exact.num_wanted,
    )  # fmt: skip
    if len(set(lengths)) == 1:
        assert found.attended == exact.attended
    else:
        assert found.attended < exact.attended


def test_a_recorded_chunk_counts_no_more_than_it_took() -> None:
    exact = prefill_work(8, cached_tokens=24)
    found = recorded_work(step(phase="prefill", prompts=1, prompt_tokens=8, kv_tokens=32))
    assert found.attended <= exact.attended
    assert (found.tokens, found.kv_tokens) == (exact.tokens, exact.kv_tokens)


def test_a_trials_shares_are_medians_by_phase_over_the_steps_of_its_window() -> None:
    decode = [
        step(decode_rows=4, kv_tokens=400, start_s=float(i), duration_s=duration_s)
        for i, duration_s in enumerate([9.0, 0.5, 0.8, 0.6, 9.0])
    ]
    prefill = step(phase="prefill", prompts=2, prompt_tokens=64, kv_tokens=64, start_s=1.0)
    trace = Trace(
        requests=(),
        steps=(*decode, prefill),
        window=Window(start_s=1.0, end_s=4.5),
        outcome="completed",
    )
    of_decode, of_prefill = trial_shares(trace, COUNTS, ceilings())
    limit = step_limit(COUNTS, ceilings(), decode_work([100] * 4))
    assert of_decode is not None
    assert of_prefill is not None
    assert limit is not None
    assert (of_decode.num_steps, of_prefill.num_steps) == (3, 1)
    assert of_decode.duration_s == 0.6
    assert of_decode.share_of_limit == pytest.approx(limit.least_s / 0.6)
    assert of_decode.mfu == pytest.approx(limit.flops / 0.6 / 1e10)
    assert of_decode.mbu == pytest.approx((limit.weight_bytes + limit.kv_bytes) / 0.6 / 1e9)
    assert of_decode.binds == "weights"


def test_a_call_in_which_no_step_ended_is_time_of_the_one_that_ended_next() -> None:
    launch = step(prompts=2, duration_s=0.4, start_s=0.0)
    prefill = step(phase="prefill", prompts=2, prompt_tokens=64, kv_tokens=64, duration_s=0.2)
    decode = step(decode_rows=2, kv_tokens=66, duration_s=0.1)
    of_other = replace(decode, engine="other")
    shares = step_shares([launch, of_other, prefill, decode], COUNTS, ceilings())
    assert [share.duration_s for share in shares] == pytest.approx([0.1, 0.6, 0.1])
    limit = step_limit(COUNTS, ceilings(), recorded_work(prefill))
    assert limit is not None
    assert shares[1].share_of_limit == pytest.approx(limit.least_s / 0.6)


def test_a_trial_without_a_window_or_without_steps_has_no_shares() -> None:
    for window in (None, Window(start_s=0.0, end_s=1.0)):
        trace = Trace(requests=(), steps=(), window=window, outcome="failed")
        assert trial_shares(trace, COUNTS, ceilings()) == (None, None)
    assert median_shares(()) is None
