"""What stands behind a point: how its latencies are spread, what the device did meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from paretobench.analysis.configurations import Configuration
from paretobench.core.metrics import qualified
from paretobench.core.units import to_ms
from paretobench.core.values import TelemetrySample
from paretobench.report.html.packing import CURVE_DIGITS, Cell, column
from paretobench.results.reader import RunFolder

# shares of the requests, in percent: closer where a tail is read
QUANTILES_PCT = (0, 1, 2, 5, *range(10, 90, 5), 90, 92, 94, 95, 96, 97, 98, 99, 100)
_SERIES = (
    "gpu_util_pct",
    "sm_util_pct",
    "memory_bytes",
    "power_w",
)
_BINS = 48
_BINS_IN_ALL = 48_000  # of all points of a page: many points have coarser timelines
_FEWEST_BINS = 16


def digest(configuration: Configuration, of_class: str | None = None) -> list[Cell] | None:
    """Return the E2E latencies in ms at QUANTILES_PCT, the runs' requests pooled.

    Each is a latency that was measured, none is interpolated; infinite: not delivered. None where
    the requests are not at hand.
    """
    kind = "e2e" if of_class is None else qualified(of_class, "e2e")
    samples = [run.samples[kind] for run in configuration.runs if kind in run.samples]
    if not samples or not sum(len(of_run) for of_run in samples):
        return None
    shares = np.array(QUANTILES_PCT) / 100
    found = np.quantile(np.concatenate(samples), shares, method="inverted_cdf")
    return column([to_ms(float(value)) for value in found], CURVE_DIGITS)


def timeline(run: RunFolder, configuration: Configuration, num_bins: int) -> dict[str, Any] | None:
    """Return what device and host did in the first of the configuration's runs, in equal bins.

    A bin holds the mean of its samples, None where it has none. Series that were not reported are
    left out; the CPU's stands in for a GPU's. None where nothing was recorded.
    """
    trial_id = configuration.runs[0].settings.trial_id
    samples = run.read_telemetry(trial_id)
    if len(samples) < 2:
        return None
    names = [n for n in _SERIES if any(getattr(s, n) is not None for s in samples)]
    names = names or ["cpu_util_pct"]
    series = {name: _binned(samples, name, num_bins) for name in names}
    if not any(value is not None for values in series.values() for value in values):
        return None
    return {"start": round(samples[0].t_s, 3), "end": round(samples[-1].t_s, 3), "series": series}


def bins_for(num_points: int) -> int:
    """Return how fine the timelines of so many points may be.

    >>> bins_for(20), bins_for(2000)
    (48, 24)
    """
    return max(_FEWEST_BINS, min(_BINS, _BINS_IN_ALL // max(num_points, 1)))


def _binned(samples: Sequence[TelemetrySample], name: str, num_bins: int) -> list[Cell]:
    times = np.array([sample.t_s for sample in samples])
    values = np.array(
        [np.nan if (v := getattr(sample, name)) is None else v for sample in samples], dtype=float
    )
    span = times[-1] - times[0]
    num_bins = min(num_bins, len(samples))
    places = np.minimum((times - times[0]) / (span or 1.0) * num_bins, num_bins - 1).astype(int)
    known = ~np.isnan(values)
    sums = np.bincount(places[known], weights=values[known], minlength=num_bins)
    counts = np.bincount(places[known], minlength=num_bins)
    means = [s / n if n else None for s, n in zip(sums, counts, strict=True)]
    if name.endswith("_pct"):  # a percent is as fine as a reader sees
        return [None if mean is None else round(float(mean)) for mean in means]
    return column(means, CURVE_DIGITS)
