"""Packed linear layers compute what the plain ones do."""

from __future__ import annotations

import pytest
import torch

from paretobench.runners.torch.packing import prepack_linears


class Scaled(torch.nn.Linear):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(inputs)


def layers(dtype: torch.dtype) -> torch.nn.Sequential:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(48, 96), torch.nn.SiLU(), torch.nn.Linear(96, 40, bias=False)
    )
    return model.to(dtype).requires_grad_(False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 7, 64])
def test_packed_layers_give_what_plain_ones_give(dtype: torch.dtype, rows: int) -> None:
    plain, packed = layers(dtype), layers(dtype)
    if not prepack_linears(packed):
        pytest.skip(f"this CPU or this torch packs no {dtype} layers")
    inputs = torch.randn(1, rows, 48).to(dtype)
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    torch.testing.assert_close(packed(inputs), plain(inputs), atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(packed[0].weight, plain[0].weight, atol=0, rtol=0)


def test_a_tied_embedding_stays_as_it_is() -> None:
    model = torch.nn.ModuleDict(
        {"embed": torch.nn.Embedding(50, 48), "head": torch.nn.Linear(48, 50, bias=False)}
    )
    model["head"].weight = model["embed"].weight
    prepack_linears(model)
    ids = torch.arange(50)
    with torch.no_grad():
        assert torch.equal(model["head"](model["embed"](ids)).argmax(-1), ids)


def test_a_layer_of_another_kind_is_left_alone() -> None:
    model = torch.nn.Sequential(Scaled(8, 8))
    assert prepack_linears(model) == 0
    assert type(model[0]) is Scaled


def test_float64_stays_plain() -> None:
    assert prepack_linears(layers(torch.float64)) == 0
