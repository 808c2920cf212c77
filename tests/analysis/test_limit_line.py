"""The line nothing can cross: by hand for a tiny model, and against systems at the limit."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest

from paretobench.analysis.conditions import Conditions, counts_entry
from paretobench.analysis.counts import (
    ModelCounts,
    StepWork,
    count_model,
    decode_work,
    prefill_work,
)
from paretobench.analysis.limit_line import LimitLine, why_no_line
from paretobench.analysis.limits import step_limit
from paretobench.analysis.metrics import summarize
from paretobench.analysis.request_work import request_work, shapes_of
from paretobench.analysis.sla import service_levels
from paretobench.analysis.utilisation import utilisation
from paretobench.core.ceilings import Ceiling, Ceilings
from paretobench.core.points import Point, Settings
from paretobench.core.values import BatchingConfig, StepRecord, Trace, Trial, Window
from paretobench.core.workloads import (
    ArrivalProcess,
    ClosedLoop,
    FixedLength,
    LengthSpec,
    LoadSpec,
    LognormalLength,
    UniformLength,
    WorkloadSpec,
)
from paretobench.runners.latency_model import LatencyModelRunner
from paretobench.scenario.presets import PRESETS
from paretobench.serving.clock import VirtualClock
from paretobench.targets.serve import serve_trial

# a simulated step knows only the sum of its prompts' tokens, so their squares are left out
NANO = replace(count_model(PRESETS["nano"], dtype="float32"), attention_flops_per_position=0)
# reading takes 1 s for all weights and 1/100 s for a token of cache, a token's arithmetic 1/10 s
TINY = ModelCounts(
    linear_weights=100,
    linear_outputs=1,
    other_weights=0,
    head_weights=0,
    hidden_size=0,
    kv_values=1,
    attention_flops_per_position=0,
    dtype="float32",
)
READ, MULTIPLY = 400.0, 2000.0
PROMPT, OUTPUT = FixedLength(value=32), FixedLength(value=20)
LATENCIES = (
    "mean_e2e_ms", "p50_e2e_ms", "p95_e2e_ms", "p95_ttft_ms", "mean_tpot_ms", "p95_tpot_ms",
    "mean_itl_ms",
)  # fmt: skip


def ceilings(read: float = READ, flops: float = MULTIPLY) -> Ceilings:
    def row(quantity: str, rate: float) -> Ceiling:
        return Ceiling(
            quantity=quantity, dtype="float32", method="", shape="", unit="", per_s=rate / 2,
            best_per_s=rate,
        )  # type: ignore[arg-type]  # fmt: skip

    return Ceilings(system={}, rows=(row("read_bandwidth", read), row("matmul", flops)))


def line_of(
    lengths: list[tuple[int, int]],
    latency: str = "mean_e2e_ms",
    throughput: str = "output_tokens_per_s",
    counts: ModelCounts = TINY,
    found: Ceilings | None = None,
) -> LimitLine:
    shape = np.array(lengths)
    work = request_work(shape, counts, found or ceilings())
    assert work is not None
    return LimitLine(work, shape, throughput=throughput, latency=latency)


# A prompt of 5 and 3 tokens: prefill max(1.05, 0.5) s; rows at contexts 6 and 7, 1.06 + 1.07 s
# alone. Owned: 0.05 + 0.06 + 0.07 = 0.18 s of moving, 0.5 + 2 · 0.1 = 0.7 s of arithmetic.
ONE = [(5, 3)]


def test_alone_a_request_takes_its_prefill_and_its_steps() -> None:
    assert line_of(ONE).least_latency == pytest.approx(1000 * (1.05 + 1.06 + 1.07))
    assert line_of(ONE, "p95_ttft_ms").least_latency == pytest.approx(1050)
    assert line_of(ONE, "mean_tpot_ms").least_latency == pytest.approx(1065)


@pytest.mark.parametrize(
    ("rows", "seconds"),
    [(1, 2 / 1 + 0.18), (2, 2 / 2 + 0.18), (3, 2 / 3 + 0.18), (4, 0.7), (100, 0.7)],
)
def test_the_best_throughput_shares_the_weights_until_arithmetic_binds(
    rows: int, seconds: float
) -> None:
    for metric, tokens in (
        ("output_tokens_per_s", 3), ("total_tokens_per_s", 8), ("requests_per_s", 1),
    ):  # fmt: skip
        assert line_of(ONE, throughput=metric).at_batch_size(rows)[0] == pytest.approx(
            tokens / seconds
        )


def test_the_least_latency_at_a_throughput_is_that_of_its_rows() -> None:
    root = math.sqrt(0.06) + math.sqrt(0.07)  # contexts 6 and 7 almost as two of 6.5
    throughput, latency = line_of(ONE).at_batch_size(2)
    # charged per request: 1 s of reading, (Σ√a)² / (D − 2) by hand
    assert latency == pytest.approx(1000 * (1.05 + 2 + root**2 / 1.0), rel=1e-6)
    assert latency == pytest.approx(1000 * (1.05 + 2 * (1 + 2 * 0.065)), rel=1e-3)
    assert line_of(ONE).throughput_at(latency) == pytest.approx(throughput)


def test_rows_that_give_no_more_throughput_still_make_each_other_wait() -> None:
    line = line_of(ONE)
    few, many = line.at_batch_size(4), line.at_batch_size(100)
    assert few[0] == many[0]
    assert many[1] == pytest.approx(1000 * (1.05 + 2 * 100 * 0.1))  # two steps of 100 rows
    assert line_of(ONE, "mean_tpot_ms").at_batch_size(100)[1] == pytest.approx(1000 * 100 * 0.1)
    assert line_of(ONE, "mean_itl_ms").at_batch_size(100)[1] == pytest.approx(1000 * 100 * 0.1)


@pytest.mark.parametrize("device", ["arithmetic binds", "either binds"])
def test_full_batches_at_the_limit_are_no_faster_than_their_rows_allow(device: str) -> None:
    found = DEVICES[device]
    short = FixedLength(value=1)
    load = ClosedLoop(concurrency=32, start_interval_s=0.0)
    point = served(load, found, batch=32, prompt=short)
    assert point.lengths is not None
    work = request_work(point.lengths, NANO, found)
    assert work is not None
    line = LimitLine(work, point.lengths, throughput="output_tokens_per_s", latency="mean_e2e_ms")
    measured = point.figures["mean_e2e_ms"]
    assert measured is not None
    # the line charges the prefill of one prompt, the batch waits for all of them
    assert 0.93 < line.at_batch_size(32)[1] / measured <= 1 + 1e-9


def test_a_percentile_serves_the_rest_for_nothing_and_keeps_the_cheapest() -> None:
    lengths = [(5, 3), (5, 3), (5, 3), (5, 11)]
    half = line_of(lengths, "p50_e2e_ms")  # two of four: order statistic floor(3 · 0.5) + 1
    assert half.least_latency == pytest.approx(3180)
    assert line_of(lengths, "p99_e2e_ms").least_latency == pytest.approx(3180)  # three of four
    latency_s = 4.0
    root = math.sqrt(0.06) + math.sqrt(0.07)
    charge = 2 * root**2 / (latency_s - 1.05 - 2) / 4
    own = 0.18 + (sum(0.01 * c for c in range(8, 16))) / 4
    arithmetic = 0.7 + 8 * 0.1 / 4
    expected = 5 / max(own + charge, arithmetic)
    assert half.throughput_at(1000 * latency_s) == pytest.approx(expected)


def test_below_the_least_latency_nothing_is_served_and_above_the_greatest_throughput_never() -> (
    None
):
    line = line_of(ONE)
    assert line.throughput_at(0.999 * line.least_latency) == 0
    assert line.throughput_at(line.least_latency) > 0
    assert line.greatest_throughput == pytest.approx(3 / 0.7)
    assert line.latency_at(1.001 * line.greatest_throughput) == math.inf


def test_requests_of_one_token_have_no_tpot() -> None:
    assert line_of([(5, 1)], "p95_tpot_ms").least_latency == math.inf
    assert line_of([(5, 1)], "mean_itl_ms").throughput_at(1e9) == 0
    assert line_of([(5, 1)]).greatest_throughput == pytest.approx(1 / 0.5)


@pytest.mark.parametrize("latency", LATENCIES)
def test_more_time_never_allows_less_nor_do_more_rows(latency: str) -> None:
    rng = np.random.default_rng(3)
    lengths = list(zip(rng.integers(1, 900, 60), rng.integers(1, 90, 60), strict=True))
    for found in (ceilings(3e10, 4e11), ceilings(3e10, 1e15)):
        line = line_of(lengths, latency, counts=NANO, found=found)
        ys = np.geomspace(line.least_latency, 100 * line.least_latency, 200)
        assert (np.diff([line.throughput_at(y) for y in ys]) >= 0).all()
        bests = [line.at_batch_size(b) for b in (1, 2, 3, 5, 8, 40)]
        assert (np.diff(bests, axis=0) >= -1e-9).all()


def test_rates_that_are_higher_move_the_line_out() -> None:
    slow = line_of(ONE, counts=NANO, found=ceilings(1e10, 1e11))
    fast = line_of(ONE, counts=NANO, found=ceilings(2e10, 2e11))
    assert fast.least_latency == pytest.approx(slow.least_latency / 2)
    assert fast.greatest_throughput == pytest.approx(2 * slow.greatest_throughput)


@pytest.mark.parametrize(
    ("throughput", "latency", "has_one"),
    [
        ("output_tokens_per_s", "p95_e2e_ms", True),
        ("goodput_requests_per_s", "mean_itl_ms", True),
        ("tokens_per_joule", "p95_e2e_ms", False),
        ("output_tokens_per_s", "p95_itl_ms", False),
        ("output_tokens_per_s", "max_wait_ms", False),
        ("output_tokens_per_s", "chat.p95_e2e_ms", False),
    ],
)
def test_only_what_follows_from_the_device_has_a_line(
    throughput: str, latency: str, has_one: bool
) -> None:
    assert (why_no_line(throughput, latency) is None) is has_one


def test_of_two_measurements_of_a_device_the_better_rate_counts() -> None:
    manifest = {
        "conditions": {
            "ceilings_before": ceilings(read=100.0, flops=9.0).to_dict(),
            "ceilings_after": ceilings(read=90.0, flops=10.0).to_dict(),
            "counts": {"": counts_entry(TINY)},
        }
    }
    found = Conditions.from_manifest(manifest, None).ceilings
    assert found is not None
    assert (found.read_bytes_per_s, found.flop_per_s("float32")) == (100.0, 10.0)


class LeastTimes:
    """Step times that are exactly the counted limits: no software is faster."""

    def __init__(self, counts: ModelCounts, found: Ceilings) -> None:
        self._counts, self._ceilings = counts, found

    def duration_s(
        self, *, num_joining: int, prompt_tokens: int, num_decoding: int, kv_tokens: int
    ) -> float:
        work = StepWork(
            tokens=prompt_tokens + num_decoding,
            kv_tokens=kv_tokens + prompt_tokens,
            num_wanted=num_joining + num_decoding,
        )
        limit = step_limit(self._counts, self._ceilings, work)
        assert limit is not None
        return limit.least_s


def served(
    load: LoadSpec, found: Ceilings, *, policy: str = "static", batch: int = 4,
    prompt: LengthSpec = PROMPT, output: LengthSpec = OUTPUT,
    whole: bool = False, counted: Ceilings | None = None,
) -> Point:  # fmt: skip
    """Serve a trial at the limits of `found`, its shares taken of those of `counted`.

    `whole` takes the requests whose whole service lies in the window, and none but those.
    """
    trial = Trial(
        batching=BatchingConfig(policy=policy, max_batch_size=batch, max_waiting_time_s=0.0),
        load=load,
        workload=WorkloadSpec(prompt_tokens=prompt, output_tokens=output),
        num_requests=6 * batch,
        num_warmup=2 * batch,
        min_duration_s=0.0,
        timeout_s=1e9,
        repeat=0,
        seed=1,
    )
    clock = VirtualClock()
    runner = LatencyModelRunner(LeastTimes(NANO, found), clock.sleep)  # type: ignore[arg-type]
    trace = serve_trial(trial, runner, clock)
    if whole:
        trace = of_whole_requests(trace)
    conditions = Conditions(counts=NANO, ceilings=counted or found)
    return summarize(Settings.of(trial), trace, service_levels({}), conditions)


def of_whole_requests(trace: Trace) -> Trace:
    window = trace.window
    assert window is not None
    inside = (
        replace(r, measured=True)
        for r in trace.requests
        if r.admitted_s is not None
        and r.finished_s is not None
        and window.start_s <= r.admitted_s
        and r.finished_s <= window.end_s
    )
    return replace(trace, requests=tuple(inside))


DEVICES = {
    "reading binds": ceilings(3e10, 1e14),
    "arithmetic binds": ceilings(1e12, 1e11),
    "either binds": ceilings(3e10, 4e11),
}
SHAPES: dict[str, tuple[LengthSpec, LengthSpec]] = {
    "fixed": (PROMPT, OUTPUT),
    "uniform": (PROMPT, UniformLength(low=8, high=32)),
    "long": (
        LognormalLength(mean=800, cv=1.0, low=10, high=4000),
        LognormalLength(mean=30, cv=1.0, low=2, high=100),
    ),
}


@pytest.mark.parametrize("batch", [1, 2, 8, 32])
@pytest.mark.parametrize("policy", ["static", "continuous"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_system_at_the_limit_is_never_beyond_the_line(
    device: str, policy: str, batch: int
) -> None:
    found = DEVICES[device]
    alone = step_limit(NANO, found, decode_work([100]))
    assert alone is not None
    full = ClosedLoop(concurrency=batch)
    sparse = ArrivalProcess(
        kind="poisson", requests_per_s=0.3 / (20 * alone.least_s) * math.sqrt(batch)
    )
    for (prompt, output), load in itertools.product(SHAPES.values(), (full, sparse)):
        point = served(
            load, found, policy=policy, batch=batch, prompt=prompt, output=output, whole=True
        )
        mfu, mbu = point.figures["mfu"], point.figures["mbu"]
        assert mfu is not None
        assert mbu is not None
        assert max(mfu, mbu) <= 1 + 1e-9
        if load is full or point.figures["num_measured"]:
            check(point, found)


def check(point: Point, found: Ceilings) -> None:
    assert point.lengths is not None
    work = request_work(point.lengths, NANO, found)
    assert work is not None
    for latency in LATENCIES:
        line = LimitLine(work, point.lengths, throughput="output_tokens_per_s", latency=latency)
        x, y = point.figures["output_tokens_per_s"], point.figures[latency]
        assert x is not None
        assert y is not None
        assert y >= line.least_latency * (1 - 1e-9)
        assert x <= line.throughput_at(y * (1 + 1e-9)) * (1 + 1e-9)


@pytest.mark.parametrize("batch", [1, 4, 32])
def test_whole_batches_at_the_limit_come_within_a_prefill_of_the_line(batch: int) -> None:
    found = ceilings(3e10, 1e14)
    point = served(ClosedLoop(concurrency=batch, start_interval_s=0.0), found, batch=batch)
    assert point.lengths is not None
    work = request_work(point.lengths, NANO, found)
    assert work is not None
    line = LimitLine(work, point.lengths, throughput="output_tokens_per_s", latency="mean_e2e_ms")
    x, y = point.figures["output_tokens_per_s"], point.figures["mean_e2e_ms"]
    assert x is not None
    assert y is not None
    # it reads the weights for 19 steps and a prefill, of which the line charges the 19
    assert 19 / 20.5 < x / line.at_batch_size(batch)[0] <= 19.5 / 20
    assert 0.98 < line.latency_at(x) / y <= 1 + 1e-9
    assert (point.binds, point.figures["busy_fraction"]) == ("weights", pytest.approx(1))
    assert point.figures["mbu"] == pytest.approx(1)


def test_a_device_counted_as_half_as_fast_is_needed_twice_over() -> None:
    point = served(ClosedLoop(concurrency=4), ceilings(3e10, 4e11), counted=ceilings(1.5e10, 2e11))
    assert point.figures["mbu"] is not None
    assert point.figures["mbu"] > 1.5


def test_a_chunk_that_wants_no_token_does_not_read_the_head() -> None:
    chunk = StepRecord(
        phase="prefill", start_s=0.0, duration_s=1.0, batch_size=1, joined=1, decode_rows=0,
        prompt_tokens=8, new_tokens=0, kv_tokens=8, padded_tokens=0, queue_depth=0,
        close_reason=None, num_prompts=1,
    )  # fmt: skip
    last = replace(chunk, start_s=1.0, new_tokens=1, kv_tokens=16)
    trace = Trace(
        outcome="completed", requests=(), steps=(chunk, last), window=Window(start_s=0.0, end_s=2.0)
    )
    counts = count_model(PRESETS["llama-3.1-8b"], dtype="float32")
    found = utilisation(trace, 1.0, Conditions(counts=counts, ceilings=ceilings(1e12, 1e15)))
    assert found is not None
    steps = (prefill_work(8, is_last=False), prefill_work(8, cached_tokens=8))
    assert found.weights == pytest.approx(sum(map(counts.step_weight_bytes, steps)) / 2e12)
    assert found.arithmetic == pytest.approx(sum(map(counts.step_flops, steps)) / 2e15, rel=1e-3)


def test_an_idle_device_waits() -> None:
    point = served(ArrivalProcess(kind="constant", requests_per_s=1.0), ceilings(3e10, 4e11))
    assert point.binds == "waiting"
    # a second holds one request: its 19 steps and its prefill read the weights once each
    assert point.figures["mbu"] == pytest.approx(20 * NANO.weight_bytes / 3e10, rel=0.02)


def test_of_very_many_lengths_the_line_stays_above_that_of_each() -> None:
    prompts, outputs = np.meshgrid(np.arange(1000, 1300), np.arange(1000, 1200))
    lengths = np.stack((prompts.ravel(), outputs.ravel()), axis=1)  # 60,000 different
    shapes, counts = shapes_of(lengths)
    assert counts.sum() == len(lengths)
    assert len(shapes) < len(lengths)
    total, rounded = lengths.sum(axis=0), counts @ shapes
    assert (rounded <= total).all()
    assert (rounded > 0.998 * total).all()


def test_requests_of_equal_lengths_count_as_many_as_they_are() -> None:
    # of the mean latency, the order of sums aside, repeating every request changes nothing
    few, many = [(5, 3), (9, 2), (9, 2), (2, 8)], [(5, 3), (9, 2), (2, 8), (9, 2)] * 7
    for latency in ("mean_e2e_ms", "mean_tpot_ms", "mean_itl_ms"):
        one, seven = line_of(few, latency), line_of(many, latency)
        assert seven.least_latency == pytest.approx(one.least_latency)
        at = 1.5 * one.least_latency
        assert seven.throughput_at(at) == pytest.approx(one.throughput_at(at))
        assert seven.at_batch_size(3) == pytest.approx(one.at_batch_size(3))
    # the median of these is (9, 2)'s: so many are served for nothing
    median = line_of([(9, 2)] * 3 + [(50, 40)], "p50_e2e_ms")
    assert median.least_latency == pytest.approx(line_of([(9, 2)], "p50_e2e_ms").least_latency)
