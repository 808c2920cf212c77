"""The ceilings of this CPU, measured in a hurry."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from paretobench.core.ceilings import Ceilings
from paretobench.runners.torch import ceiling_loads as loads
from paretobench.runners.torch.ceilings import CeilingBench, measure_ceilings

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loads, "_CPU_READ_BYTES", 16 << 20)
    monkeypatch.setattr("paretobench.runners.torch.ceilings._SLOW_CALL_S", 0.0)


@pytest.fixture
def refusing_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    linear = loads.cpu_linear

    def refuse(name: str, shape: Any) -> Any:
        if name == "bfloat16":
            raise NotImplementedError("no bfloat16 here\nand more lines")
        return linear(name, shape)

    monkeypatch.setattr(loads, "cpu_linear", refuse)


def test_every_rate_of_a_cpu_is_measured_and_survives_json() -> None:
    ceilings = measure_ceilings(CPU, 0.4)
    assert ceilings.system["device"] == "cpu"
    assert ceilings.system["threads"] == torch.get_num_threads()
    assert [(row.quantity, row.dtype) for row in ceilings.rows] == [
        ("read_bandwidth", "float32"),
        ("matmul", "float32"),
        ("matmul", "bfloat16"),
        ("matmul", "float16"),
    ]
    for row in ceilings.rows:
        assert row.per_s is not None
        assert row.best_per_s is not None
        assert 0 < row.per_s <= row.best_per_s
        assert row.repeats >= 5
        assert row.method
        assert row.shape
    assert ceilings.read_bytes_per_s == ceilings.rows[0].best_per_s
    assert ceilings.flop_per_s("float16") == ceilings.rows[3].best_per_s
    assert Ceilings.from_dict(json.loads(json.dumps(ceilings.to_dict()))) == ceilings


def test_a_refused_dtype_has_no_rate_and_says_why(refusing_bfloat16: None) -> None:
    ceilings = measure_ceilings(CPU, 0.05)
    assert ceilings.flop_per_s("bfloat16") is None
    assert ceilings.note("bfloat16") == "no bfloat16 here"
    assert ceilings.flop_per_s("float32") is not None


def test_a_dtype_never_tried_has_no_rate_and_says_so() -> None:
    ceilings = Ceilings(system={"device": "cpu"}, rows=())
    assert ceilings.flop_per_s("float64") is None
    assert ceilings.note("float64") == "not measured on this device"


def test_a_dtype_too_slow_for_the_large_shape_is_measured_on_a_small_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = CeilingBench(CPU)
    monkeypatch.setattr("paretobench.runners.torch.ceilings._SLOW_CALL_S", 60.0)
    assert bench.measure("float32", 1e-6).shape == "1024×2048×2048"
    monkeypatch.setattr("paretobench.runners.torch.ceilings._SLOW_CALL_S", 0.0)
    assert bench.measure("float32", 1e-6).shape == "64×512×512"


@pytest.mark.gpu
def test_every_rate_of_a_gpu_is_measured() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs an NVIDIA GPU")
    before = torch.backends.cuda.matmul.fp32_precision
    ceilings = measure_ceilings(torch.device("cuda", 0), 4.0)
    assert {row.dtype for row in ceilings.rows[1:]} == {
        "bfloat16", "float16", "tf32", "float32", "float8_e4m3fn", "int8",
    }  # fmt: skip
    for dtype in ("bfloat16", "float16", "tf32", "float32"):
        assert (ceilings.flop_per_s(dtype) or 0) > 0
    for row in ceilings.rows:
        assert row.per_s or row.note
    assert (ceilings.read_bytes_per_s or 0) > 0
    assert torch.backends.cuda.matmul.fp32_precision == before
