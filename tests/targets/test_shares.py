"""How a device is shared out among engines."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretobench.core.errors import ScenarioError
from paretobench.targets.engines import Engine
from paretobench.targets.shares import device_parts, split_threads


def engine(name: str, device_share: float) -> Engine:
    return Engine(
        name=name,
        device_share=device_share,
        batch_sizes=(4,),
        max_request_tokens=8,
        max_prompt_tokens=4,
    )


@given(st.lists(st.floats(0.01, 1.0), min_size=1, max_size=8), st.integers(0, 40))
def test_threads_are_all_handed_out_and_none_goes_without(weights: list[float], more: int) -> None:
    shares = [w / sum(weights) for w in weights]
    threads = len(weights) + more
    counts = split_threads(threads, shares)
    assert sum(counts) == threads
    assert min(counts) >= 1
    # nobody's rounding is worse than by one thread, but for those who give to the smallest
    assert all(c < s * threads + 1 or c == 1 for c, s in zip(counts, shares, strict=True))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system pins no processes")
def test_engines_on_a_cpu_have_threads_and_cores_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 4, 5, 6, 8, 9, 10, 11})
    parts = device_parts(
        [engine("chat", 0.25), engine("bulk", 0.75)],
        device="cpu",
        environment={"OMP_NUM_THREADS": "8", "OMP_WAIT_POLICY": "passive"},
    )
    assert parts["chat"].environment == {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
    assert parts["bulk"].environment["OMP_NUM_THREADS"] == "6"
    assert parts["chat"].cores == (3, 4)
    assert parts["bulk"].cores == (5, 6, 8, 9, 10, 11)
    assert parts["chat"].facts["threads"] == 2


def test_more_threads_than_cores_are_not_pinned() -> None:
    parts = device_parts(
        [engine("chat", 0.5), engine("bulk", 0.5)],
        device="cpu",
        environment={"OMP_NUM_THREADS": "4096"},
    )
    assert [part.cores for part in parts.values()] == [(), ()]


def test_fewer_threads_than_classes_are_refused() -> None:
    engines = [engine("chat", 0.5), engine("bulk", 0.25), engine("night", 0.25)]
    with pytest.raises(ScenarioError, match="a CPU thread for each class, found 2 for 3 classes"):
        device_parts(engines, device="cpu", environment={"OMP_NUM_THREADS": "2"})


def test_engines_on_a_gpu_have_a_share_of_its_multiprocessors() -> None:
    parts = device_parts(
        [engine("chat", 0.3), engine("bulk", 0.7)], device="cuda:0", environment={"A": "b"}
    )
    percentages = [p.environment["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] for p in parts.values()]
    assert percentages == ["30", "70"]
    assert parts["chat"].environment["A"] == "b"
    assert parts["chat"].cores == ()
