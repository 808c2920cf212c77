"""What the report says of trials that are valid, and yet not above every doubt."""

from __future__ import annotations

import math

from paretobench.analysis.configurations import Configuration
from paretobench.core.warmup import WARMUP_E2E, WARMUP_REQUESTS, WARMUP_SHARE
from paretobench.report.manifest import section
from paretobench.report.model import Report
from paretobench.report.settings_text import configuration_label
from paretobench.report.text import markdown, plural


def warmup_caveats(report: Report) -> list[str]:
    """Return where less was dropped than the rule of warm-up `auto` says, and by how much.

    Loads whose rate varies have a rule of their own: they are not told.
    """
    if section(report.run.manifest, "scenario", "measure").get("warmup") == "auto":
        return []
    steady = [c for c in report.configurations if c.is_valid and c.settings.is_steady]
    short = [(c, dropped, due) for c in steady for dropped, due in _warmup(c) if dropped < due]
    if not short:
        return []
    worst, dropped, due = min(short, key=lambda entry: entry[1] / entry[2])
    label = markdown(configuration_label(worst.settings, report.varied))
    return [
        "Warm-up was shorter than the rule (the larger of 200 requests, 10% and five mean E2E "
        f"latencies) in {len(short)} of {plural(len(steady), 'valid configuration')}, most in "
        f"{label}: {dropped} requests were dropped where {due} are due. What the start left in "
        "these figures is not known; `measure.warmup: auto` drops it."
    ]


def _warmup(configuration: Configuration) -> list[tuple[int, int]]:
    """Return how many requests were dropped and how many the rule says; empty where not known."""
    figures = configuration.figures
    dropped, measured = figures.get("num_warmup"), figures.get("num_measured")
    e2e_ms, rate = figures.get("mean_e2e_ms"), figures.get("requests_per_s")
    if dropped is None or not measured or e2e_ms is None or rate is None:
        return []
    passed = WARMUP_E2E * e2e_ms / 1e3 * rate
    if not math.isfinite(passed):
        return []
    return [(round(dropped), math.ceil(max(WARMUP_REQUESTS, WARMUP_SHARE * measured, passed)))]


def power_cap_caveats(report: Report) -> list[str]:
    """Return where the GPU ran into its own power limit: that is how it is set, not a fault."""
    capped = [c for c in report.configurations if c.figures.get("power_cap_share")]
    if not capped:
        return []
    worst = max(capped, key=lambda c: c.figures.get("power_cap_share") or 0.0)
    label = markdown(configuration_label(worst.settings, report.varied))
    return [
        f"The GPU's power limit held its clocks down in {plural(len(capped), 'configuration')}, "
        f"most in {label}: {worst.figures.get('power_cap_share') or 0.0:.0%} of the samples. These "
        "are the figures of a card with that limit."
    ]
