"""Length distributions keep what they state."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretobench.core.errors import TraceFileError
from paretobench.core.workloads import (
    FixedLength,
    LengthSpec,
    LognormalLength,
    TraceLength,
    UniformLength,
    WorkloadSpec,
)
from paretobench.workload.lengths import length_facts, length_pairs, max_request_tokens
from paretobench.workload.trace_files import read_trace_file

TRACE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:48.6805900,90,0
2023-11-16 18:15:47.6805900,1000,109
"""


def draw(spec: LengthSpec, count: int, seed: int = 0) -> np.ndarray:
    workload = WorkloadSpec(prompt_tokens=spec, output_tokens=FixedLength(value=1))
    pairs = length_pairs(workload, np.random.default_rng(seed))
    return np.array([prompt for prompt, _ in itertools.islice(pairs, count)])


@pytest.mark.parametrize(
    "spec",
    [
        UniformLength(low=8, high=32),
        LognormalLength(mean=100, cv=1.0, low=1, high=400),
        LognormalLength(mean=30, cv=2.0, low=16, high=64),
        FixedLength(value=7),
    ],
    ids=str,
)
def test_drawn_mean_and_spread_are_those_of_the_facts(spec: LengthSpec) -> None:
    facts = length_facts(spec, column="prompt")
    lengths = draw(spec, 40_000)
    standard_error = facts.cv * facts.mean / np.sqrt(lengths.size)
    assert abs(lengths.mean() - facts.mean) <= 4 * standard_error
    assert lengths.std() == pytest.approx(facts.cv * facts.mean, rel=0.03)
    assert lengths.max() <= facts.maximum


@given(
    low=st.integers(1, 50),
    span=st.integers(2, 500),
    place=st.floats(0.05, 0.95),
    cv=st.floats(0.1, 3.0),
)
@settings(max_examples=60, deadline=None)
def test_a_clipped_lognormal_keeps_its_stated_mean(
    low: int, span: int, place: float, cv: float
) -> None:
    mean = low + place * span
    facts = length_facts(
        LognormalLength(mean=mean, cv=cv, low=low, high=low + span), column="prompt"
    )
    assert facts.mean == pytest.approx(mean, rel=1e-6)


def test_uniform_lengths_take_every_value_equally_often() -> None:
    counts = np.bincount(draw(UniformLength(low=3, high=6), 40_000))[3:]
    assert counts.size == 4
    assert np.all(np.abs(counts - 10_000) < 5 * np.sqrt(10_000))


def test_a_trace_gives_prompt_and_output_of_one_row_in_order_of_time(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    lengths = TraceLength(path=path)
    pairs = length_pairs(
        WorkloadSpec(prompt_tokens=lengths, output_tokens=lengths), np.random.default_rng(0)
    )
    assert list(itertools.islice(pairs, 4)) == [(374, 44), (1000, 109), (90, 1), (374, 44)]


def test_a_cap_reports_the_share_that_it_shortens(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(TRACE)
    facts = length_facts(TraceLength(path=path, cap=100), column="prompt")
    assert facts.share_capped == pytest.approx(2 / 3)
    assert facts.maximum == 100
    assert facts.mean == pytest.approx((100 + 90 + 100) / 3)


def test_the_longest_request_of_a_trace_is_looked_up_by_row(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,100,1\n"
        "2023-11-16 18:15:47,1,50\n"
    )
    lengths = TraceLength(path=path)
    assert max_request_tokens(WorkloadSpec(prompt_tokens=lengths, output_tokens=lengths)) == 101


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "found no TIMESTAMP, ContextTokens, GeneratedTokens among: a, b"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "at least one request"),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1,2\nnoon,1,2\n",
            "line 3: TIMESTAMP must be a time, found 'noon'",
        ),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,-1,2\n",
            "line 2: ContextTokens must be a number ≥ 0",
        ),
        ("", "expected CSV"),
    ],
)
def test_a_broken_trace_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(TraceFileError) as caught:
        read_trace_file(path)
    assert message in str(caught.value)


def test_a_missing_trace_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TraceFileError, match="--trace PATH"):
        read_trace_file(tmp_path / "none.csv")


def test_the_azure_trace_reads_whole() -> None:
    path = Path(__file__).parents[3] / "shared" / "data" / "AzureLLMInferenceTrace_conv.csv"
    if not path.exists():
        pytest.skip("the Azure trace is not part of the project")
    rows = read_trace_file(path)
    assert rows.arrival_s.size == 19_366
    assert np.all(np.diff(rows.arrival_s) >= 0)
    assert 3000 < rows.arrival_s[-1] < 3700  # an hour
