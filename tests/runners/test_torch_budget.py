"""What is free for keys and values, where a process may have a part of the GPU alone."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from paretobench.runners.torch.budget import free_bytes, kv_budget_tokens, limit_memory  # noqa: E402

GIB = 1 << 30
GPU = torch.device("cuda", 0)


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """A GPU of 100 GiB with 80 free, of which torch holds 4 and uses 3."""
    state = {"free": 80 * GIB, "reserved": 4 * GIB, "allocated": 3 * GIB, "fraction": 1.0}
    cuda = torch.cuda
    monkeypatch.setattr(cuda, "mem_get_info", lambda _: (int(state["free"]), 100 * GIB))
    monkeypatch.setattr(cuda, "memory_reserved", lambda _: int(state["reserved"]))
    monkeypatch.setattr(cuda, "memory_allocated", lambda _: int(state["allocated"]))
    monkeypatch.setattr(cuda, "get_per_process_memory_fraction", lambda _: state["fraction"])

    def set_fraction(fraction: float, _: object) -> None:
        state["fraction"] = fraction

    monkeypatch.setattr(cuda, "set_per_process_memory_fraction", set_fraction)
    return state


def test_without_a_limit_all_that_is_free_counts(gpu: dict[str, float]) -> None:
    assert free_bytes(GPU) == 81 * GIB


def test_a_limit_binds_the_budget_of_keys_and_values(gpu: dict[str, float]) -> None:
    limit_memory(GPU, 24 * GIB)
    assert free_bytes(GPU) == pytest.approx(21 * GIB, rel=1e-6)
    tokens = kv_budget_tokens(GPU, set_aside_bytes=0, token_bytes=1 << 20)
    assert tokens < 21 * 1024


def test_of_less_than_the_limit_what_is_free_binds(gpu: dict[str, float]) -> None:
    limit_memory(GPU, 50 * GIB)
    gpu["free"] = 10 * GIB
    assert free_bytes(GPU) == 11 * GIB


@pytest.mark.parametrize(("asked", "fraction"), [(-1, 0.0), (500 * GIB, 1.0)])
def test_a_limit_stays_within_the_device(
    gpu: dict[str, float], asked: int, fraction: float
) -> None:
    limit_memory(GPU, asked)
    assert gpu["fraction"] == fraction
