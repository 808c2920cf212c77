"""A planned step, queued on the device."""

from __future__ import annotations

import torch

from paretobench.runners.torch.attention import SlotAttention
from paretobench.runners.torch.backends import Backend
from paretobench.runners.torch.batch import pack
from paretobench.runners.torch.device_rows import sample
from paretobench.runners.torch.kernels import AttentionKernels
from paretobench.runners.torch.layout import Layout
from paretobench.runners.torch.table import StepPlan


def launch(
    plan: StepPlan, layout: Layout, backend: Backend, kernels: AttentionKernels
) -> list[torch.Tensor]:
    """Queue a step, its decode rows replayed where recorded; return what it reports of its wanted
    rows, in parts, on the device."""
    graphs = layout.graphs
    if graphs is None or not plan.num_decode:
        return [_compute(plan, layout, backend, kernels)]
    parts = [graphs.replay(plan)]
    if plan.chunks:
        parts.append(_compute(plan.without_decode_rows(), layout, backend, kernels))
    return parts


def _compute(
    plan: StepPlan, layout: Layout, backend: Backend, kernels: AttentionKernels
) -> torch.Tensor:
    """Queue a packed batch; return what it reports of its wanted rows, on the device."""
    batch = pack(plan, layout.rows.tokens)
    attention = SlotAttention(batch, layout.cache, kernels)
    tokens, reported = sample(backend.logits(batch, attention))
    # decode rows that have all their tokens feed on in vain: nothing reads what they give
    decode = plan.num_decode
    layout.rows.tokens[:decode] = tokens[:decode]
    last = [chunk.slot for chunk in plan.chunks if chunk.is_last]
    if last:  # in neighbouring slots: prompts end in the order of their slots
        layout.rows.tokens[last[0] : last[-1] + 1] = tokens[decode:]
    return reported
