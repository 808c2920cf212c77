"""What the runner and the device did inside the measuring window."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from paretobench.core.columns import StepColumns
from paretobench.core.points import Settings
from paretobench.core.values import TelemetrySample, Window

# figure of METRICS -> field of TelemetrySample of which it is the mean
_MEANS = {
    "gpu_util_pct": "gpu_util_pct",
    "sm_util_pct": "sm_util_pct",
    "tensor_util_pct": "tensor_util_pct",
    "dram_util_pct": "dram_util_pct",
    "gpu_memory_bytes": "memory_bytes",
    "mean_power_w": "power_w",
    "cpu_util_pct": "cpu_util_pct",
    "cpu_steal_pct": "cpu_steal_pct",
}
_POWER_CAP = "sw_power_cap"  # as telemetry.throttle names it

STEP_FIGURES = (
    "busy_fraction",
    "mean_batch_size",
    "batch_occupancy",
    "padding_waste",
    "loop_cost_share",
)
DEVICE_FIGURES = (*_MEANS, "power_cap_share", "energy_j", "tokens_per_joule")


def steps_in_window(
    steps: StepColumns, window: Window, settings: Settings
) -> dict[str, float | None]:
    """Return mean batch size, occupancy, padding waste and busy fraction.

    A step that straddles an edge of the window counts by the share of it that lies inside. Where
    classes have engines of their own, the device is busy as the mean of its engines, each with its
    share of it, and their mean batch sizes add up.
    """
    engines = settings.class_limits() if settings.arrangement == "separate" else {}
    present = [name for name in engines if steps.engine.says(name).any()]
    if not present:
        return _one_engine(steps, window, settings.max_batch_size)
    figures = {
        name: _one_engine(
            steps.where(steps.engine.says(name)), window, engines[name]["max_batch_size"]
        )
        for name in present
    }
    shares = {name: engines[name]["device_share"] for name in present}
    whole = math.fsum(shares.values())
    mean_batch_size = math.fsum(figures[name].get("mean_batch_size") or 0.0 for name in present)
    return {
        "busy_fraction": math.fsum(
            shares[name] * (figures[name]["busy_fraction"] or 0.0) for name in present
        )
        / whole,
        "mean_batch_size": mean_batch_size,
        "batch_occupancy": mean_batch_size
        / sum(engines[name]["max_batch_size"] for name in present),
        "padding_waste": _padding_waste(steps, share_inside(steps, window)),
    }


def _one_engine(steps: StepColumns, window: Window, max_batch_size: int) -> dict[str, float | None]:
    inside = _seconds_inside(steps, window)
    busy_s = float(inside.sum())
    figures: dict[str, float | None] = {"busy_fraction": busy_s / window.duration_s}
    if busy_s > 0:
        mean_batch_size = float(steps.batch_size @ inside) / busy_s
        figures["mean_batch_size"] = mean_batch_size
        figures["batch_occupancy"] = mean_batch_size / max_batch_size
        figures["padding_waste"] = _padding_waste(steps, share_inside(steps, window))
    return figures


def _seconds_inside(steps: StepColumns, window: Window) -> NDArray[np.float64]:
    """Return the seconds of each step that lie in the window, shape [steps]."""
    inside = np.minimum(steps.end_s, window.end_s) - np.maximum(steps.start_s, window.start_s)
    return inside.clip(min=0.0)


def share_inside(steps: StepColumns, window: Window) -> NDArray[np.float64]:
    """Return the share of each step that lies in the window, shape [steps]."""
    return _seconds_inside(steps, window) / np.maximum(steps.duration_s, 1e-12)


def _padding_waste(steps: StepColumns, share: NDArray[np.float64]) -> float | None:
    # a row of a joiner is its prompt, a row of one that decodes is one token
    computed = (steps.decode_rows + steps.prompt_tokens).astype(float)
    padded = steps.padded_tokens.astype(float)
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
    reasons = [s.throttle_reasons.split("|") for s in inside if s.throttle_reasons is not None]
    capped = sum(_POWER_CAP in named for named in reasons)
    figures["power_cap_share"] = capped / len(reasons) if reasons else None
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
