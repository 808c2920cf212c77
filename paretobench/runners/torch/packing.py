"""Linear layers whose weights lie in memory the way the CPU's matrix kernels read them.

Plain `linear` brings the weights into oneDNN's or MKL's layout at every call. Done once instead,
a decode step takes half to three quarters of the time (measured, float32, batch 4 to 64).
"""

from __future__ import annotations

import logging

import torch
from torch.nn import functional

logger = logging.getLogger(__name__)

_BATCH_HINT = 64  # rows for which the layout is chosen; measured good from 1 to 64 (1 is not)
_TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 2e-2}


class PrepackedLinear(torch.nn.Module):
    """A linear layer over a packed copy of its weight; the original is let go."""

    def __init__(self, linear: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        # torch.compile uses these two operators for the same purpose; they are not public
        pack = torch.ops.mkldnn._reorder_linear_weight
        self._linear = torch.ops.mkldnn._linear_pointwise
        self._packed = pack(linear.weight.detach().contiguous(), _BATCH_HINT)
        self.bias = linear.bias

    @property
    def weight(self) -> torch.Tensor:
        """The weight, unpacked anew; for architectures that look at it."""
        dense: torch.Tensor = self._packed.to_dense()
        return dense

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return inputs · weightᵀ + bias."""
        outputs: torch.Tensor = self._linear(inputs, self._packed, self.bias, "none", [], "")
        return outputs


def prepack_linears(model: torch.nn.Module) -> int:
    """Pack the linear layers of `model` in place, where that works; return how many were packed.

    Each is compared with the layer it replaces; one that differs, or that this build of torch or
    this CPU cannot pack, stays as it was.
    """
    num_packed = 0
    # names, not modules: a layer's plain weight must go before the next one is packed
    for path in [name for name, _ in model.named_modules() if name]:
        module = model.get_submodule(path)
        if type(module) is not torch.nn.Linear:  # a subclass computes something else
            continue
        if not _can_be_packed(module):
            continue
        packed = pack_linear(module)
        if packed is None:
            return num_packed  # what one layer cannot, the others cannot
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, packed)
        num_packed += 1
    return num_packed


def pack_linear(linear: torch.nn.Linear) -> PrepackedLinear | None:
    """Return a packed layer that was found to give what `linear` gives, None where none does."""
    if not _can_be_packed(linear):
        return None
    generator = torch.Generator().manual_seed(0)
    dtype = linear.weight.dtype
    with torch.no_grad():
        probe = torch.randn(3, linear.in_features, generator=generator).to(dtype)
        expected = functional.linear(probe, linear.weight, linear.bias).float()
        try:
            packed = PrepackedLinear(linear)
            found = packed(probe).float()
        except (AttributeError, NotImplementedError, RuntimeError) as error:
            logger.info("linear layers stay plain: %s", str(error).partition("\n")[0])
            return None
        if not (found - expected).norm() <= _TOLERANCE[dtype] * expected.norm():
            logger.warning("linear layers stay plain: packed ones differ on this CPU")
            return None
    return packed


def _can_be_packed(linear: torch.nn.Linear) -> bool:
    return linear.weight.device.type == "cpu" and linear.weight.dtype in _TOLERANCE
