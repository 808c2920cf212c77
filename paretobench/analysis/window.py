"""What the runner and the device did inside the measuring window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paretobench.core.values import StepRecord, TelemetrySample, Window

# figure of METRICS -> field of TelemetrySample of which it is the mean
_MEANS = {
    "gpu_util_pct": "gpu_util_pct",
    "sm_util_pct": "sm_util_pct",
    "tensor_util_pct": "tensor_util_pct",
    "dram_util_pct": "dram_util_pct",
    "gpu_memory_bytes": "memory_bytes",
    "mean_power_w": "power_w",
    "cpu_util_pct": "cpu_util_pct",
}


def steps_in_window(
    steps: Sequence[StepRecord], window: Window, *, max_batch_size: int
) -> dict[str, float | None]:
    """Return mean batch size, occupancy, padding waste and busy fraction.

    A step that straddles an edge of the window counts by the share of it that lies inside.
    """
    start = np.array([step.start_s for step in steps])
    duration = np.array([step.duration_s for step in steps])
    inside = np.minimum(start + duration, window.end_s) - np.maximum(start, window.start_s)
    inside = np.clip(inside, 0.0, None)  # seconds of each step in the window, shape [steps]
    busy_s = float(inside.sum())
    figures: dict[str, float | None] = {"busy_fraction": busy_s / window.duration_s}
    if busy_s > 0:
        batch_size = np.array([step.batch_size for step in steps])
        mean_batch_size = float(batch_size @ inside) / busy_s
        figures["mean_batch_size"] = mean_batch_size
        figures["batch_occupancy"] = mean_batch_size / max_batch_size
        figures["padding_waste"] = _padding_waste(steps, inside / np.maximum(duration, 1e-12))
    return figures


def _padding_waste(steps: Sequence[StepRecord], share: NDArray[np.float64]) -> float | None:
    # a row of a joiner is its prompt, a row of one that decodes is one token
    computed = np.array([s.decode_rows + s.prompt_tokens for s in steps], dtype=float)
    padded = np.array([s.padded_tokens for s in steps], dtype=float)
    total = float(computed @ share)
    return float(padded @ share) / total if total else None


def device_figures(
    samples: Sequence[TelemetrySample], window: Window, *, output_tokens: int
) -> dict[str, float | None]:
    """Return means of what the device reported, energy and tokens per joule.

    What was never reported is None.
    """
    inside = [s for s in samples if window.start_s <= s.t_s <= window.end_s]
    figures: dict[str, float | None] = {}
    for figure, name in _MEANS.items():
        values = [v for s in inside if (v := getattr(s, name)) is not None]
        figures[figure] = float(np.mean(values)) if values else None
    energy_j = _energy_between(samples, window)
    figures["energy_j"] = energy_j
    figures["tokens_per_joule"] = output_tokens / energy_j if energy_j else None
    return figures


def _energy_between(samples: Sequence[TelemetrySample], window: Window) -> float | None:
    """Return the counter's difference over the window, its ends interpolated between samples."""
    known = [(s.t_s, s.energy_j) for s in samples if s.energy_j is not None]
    if len(known) < 2 or known[0][0] > window.start_s or known[-1][0] < window.end_s:
        return None  # the counter was not read on both sides of the window
    times, energies = zip(*known, strict=True)
    first, last = np.interp([window.start_s, window.end_s], times, energies)
    return float(last - first)
