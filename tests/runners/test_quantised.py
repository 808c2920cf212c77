"""Weights of one byte: how far they are off, and where they are refused."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from paretobench.core.errors import EnvironmentUnfitError, UserInputError
from paretobench.runners.torch.quantised import (
    CpuInt8Linear,
    Fp8Linear,
    Int8Linear,
    Quantisation,
    dequantise,
    quantise_fp8,
    quantise_int8,
    quantised_linear,
    require_quantisation,
)

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)

needs_gpu = pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no NVIDIA GPU on this machine"
)


def draw(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return normal numbers whose rows differ in size by up to a million."""
    generator = torch.Generator().manual_seed(0)
    sizes = 10.0 ** torch.linspace(-4, 2, shape[0])
    return (torch.randn(*shape, generator=generator) * sizes[:, None]).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_int8_is_off_by_half_a_scale_at_most(dtype: torch.dtype) -> None:
    weight = draw(64, 300, dtype=dtype)
    quantised, scale = quantise_int8(weight)
    assert quantised.dtype == torch.int8
    assert (quantised.abs().amax(1) == 127).all()
    difference = (dequantise(quantised, scale) - weight.float()).abs()
    assert (difference <= 0.5001 * scale[:, None]).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fp8_is_off_by_a_sixteenth_at_most(dtype: torch.dtype) -> None:
    weight = draw(64, 300, dtype=dtype)
    quantised, scale = quantise_fp8(weight)
    assert quantised.dtype == torch.float8_e4m3fn
    assert (quantised.float().abs().amax(1) == 448).all()
    difference = (dequantise(quantised, scale) - weight.float()).abs()
    assert (
        difference <= 1.0001 * torch.maximum(weight.float().abs() / 16, scale[:, None] / 1024)
    ).all()


@pytest.mark.parametrize("quantise", [quantise_int8, quantise_fp8])
def test_a_row_of_zeros_stays_zero(quantise: object) -> None:
    assert callable(quantise)
    quantised, scale = quantise(torch.zeros(3, 16))
    assert (scale > 0).all()
    assert not quantised.float().any()


def test_quantising_leaves_the_weight_as_it_was() -> None:
    weight = draw(16, 32)
    before = weight.clone()
    quantise_int8(weight)
    quantise_fp8(weight)
    assert torch.equal(weight, before)


def test_fp8_is_refused_on_a_cpu_and_int8_is_not() -> None:
    require_quantisation("int8", CPU, torch.float32)
    require_quantisation("int8", CPU, torch.bfloat16)
    with pytest.raises(UserInputError, match=r"model.quantization: fp8 needs an NVIDIA GPU"):
        require_quantisation("fp8", CPU, torch.bfloat16)


@pytest.mark.parametrize(
    ("kind", "dtype", "wanted"),
    [
        ("int8", torch.float32, "bfloat16 or float16, found float32"),
        ("fp8", torch.float16, "bfloat16, found float16"),
    ],
)
def test_other_precisions_are_refused(kind: Quantisation, dtype: torch.dtype, wanted: str) -> None:
    with pytest.raises(UserInputError, match=wanted):
        require_quantisation(kind, GPU, dtype)


@pytest.mark.parametrize(
    ("kind", "old", "new"), [("int8", (7, 5), (8, 0)), ("fp8", (8, 6), (8, 9))]
)
def test_a_gpu_too_old_is_refused(
    kind: Quantisation,
    old: tuple[int, int],
    new: tuple[int, int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: new)
    require_quantisation(kind, GPU, torch.bfloat16)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: old)
    with pytest.raises(EnvironmentUnfitError, match=rf"found {old[0]}\.{old[1]} \(a GPU\)"):
        require_quantisation(kind, GPU, torch.bfloat16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_int8_without_the_kernel_is_the_product_by_the_dequantised_weight(
    dtype: torch.dtype,
) -> None:
    weight, bias = draw(48, 33, dtype=dtype), draw(48, 1, dtype=dtype)[:, 0]
    inputs = draw(6, 33, dtype=dtype).view(2, 3, 33)
    layer = Int8Linear(weight, bias)
    expected = functional.linear(inputs, dequantise(*quantise_int8(weight)).to(dtype), bias)
    found = layer(inputs)
    assert found.shape == (2, 3, 48)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(48, 33), (33, 48)], ids=["wide", "deep"])
def test_int8_on_a_cpu_is_the_product_of_both_dequantised(
    shape: tuple[int, int], dtype: torch.dtype
) -> None:
    weight, bias = draw(*shape, dtype=dtype), draw(shape[0], 1, dtype=dtype)[:, 0]
    inputs = draw(6, shape[1], dtype=dtype).view(2, 3, shape[1])
    layer = quantised_linear(weight, bias, "int8")
    assert isinstance(layer, CpuInt8Linear)
    rows = dequantise(*quantise_int8(inputs.view(6, -1))).view(2, 3, -1)
    expected = functional.linear(rows, dequantise(*quantise_int8(weight)), bias.float())
    found = layer(inputs)
    assert found.dtype == dtype
    torch.testing.assert_close(found, expected.to(dtype))


def test_a_row_in_int8_on_a_cpu_does_not_depend_on_the_rows_beside_it() -> None:
    layer, inputs = quantised_linear(draw(40, 64), None, "int8"), draw(5, 64)
    alone = torch.cat([layer(row[None]) for row in inputs])
    assert torch.equal(layer(inputs), alone)


def test_weight_bytes_count_weight_scales_and_bias() -> None:
    weight, bias = draw(32, 64, dtype=torch.bfloat16), torch.zeros(32, dtype=torch.bfloat16)
    for kind in ("int8", "fp8"):
        plain, biased = quantised_linear(weight, None, kind), quantised_linear(weight, bias, kind)
        assert plain.weight_bytes == 32 * 64 + 32 * 4
        assert biased.weight_bytes == 32 * 64 + 32 * 4 + 32 * 2


@pytest.mark.parametrize("shape", [(24, 32), (32, 24)])
def test_a_layer_that_fp8_cannot_take_stays_plain(shape: tuple[int, int]) -> None:
    weight, bias = draw(*shape, dtype=torch.bfloat16), torch.ones(shape[0], dtype=torch.bfloat16)
    layer = quantised_linear(weight, bias, "fp8")
    inputs = torch.ones(2, shape[1], dtype=torch.bfloat16)
    assert type(layer) is torch.nn.Linear
    assert torch.equal(layer(inputs), functional.linear(inputs, weight, bias))


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("has_bias", [False, True])
@pytest.mark.parametrize("rows", [1, 3, 64, 128, 129, 500])
@pytest.mark.parametrize("kind", ["int8", "fp8"])
def test_quantised_layers_are_near_the_plain_one(
    kind: Quantisation, rows: int, has_bias: bool
) -> None:
    try:
        require_quantisation(kind, GPU, torch.bfloat16)
    except EnvironmentUnfitError as error:
        pytest.skip(str(error))
    generator = torch.Generator("cuda").manual_seed(0)
    weight, inputs, bias = (
        torch.randn(*shape, generator=generator, device=GPU).to(torch.bfloat16)
        for shape in ((1536, 1040), (rows, 1040), (1536,))
    )
    layer = quantised_linear(weight, bias if has_bias else None, kind)
    assert isinstance(layer, Int8Linear | Fp8Linear)
    expected = functional.linear(inputs, weight, bias if has_bias else None).float()
    found = layer(inputs)
    assert found.dtype == torch.bfloat16
    # normal numbers, 3 to 4 deviations wide: a step of 1/127 of that is .8 % of one; e4m3's is
    # up to 1/16 of each number, evenly spread, and inputs have it too
    bound = {"int8": 0.015, "fp8": 0.05}[kind]
    assert (found.float() - expected).norm() <= bound * expected.norm()


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("rows", [8, 300])
def test_int8_in_float16_does_not_overflow_before_it_is_scaled(rows: int) -> None:
    weight = torch.full((64, 1024), 0.01, dtype=torch.float16, device=GPU)
    inputs = torch.full((rows, 1024), 4.0, dtype=torch.float16, device=GPU)
    found = quantised_linear(weight, None, "int8")(inputs)  # 127 × 4 × 1024 is past 65,504
    torch.testing.assert_close(
        found.float(), torch.full_like(found.float(), 40.96), rtol=2e-3, atol=0
    )
