"""Figures and names as people read them."""

from __future__ import annotations

import math
from collections.abc import Collection

from paretobench.analysis.configurations import Configuration
from paretobench.core.metrics import metric_of
from paretobench.core.points import Settings

MISSING = "—"
_UNITS = {
    "requests_per_s": "requests/s",
    "goodput_requests_per_s": "good requests/s",
    "total_tokens_per_s": "total tokens/s",
}


def number(value: float | None) -> str:
    """Return three or more significant digits, `—` for missing, `∞` for infinite.

    >>> [number(v) for v in (1234.5, 45.67, 3.0, 0.0123, 0, None, float("inf"))]
    ['1,234', '45.7', '3', '0.0123', '0', '—', '∞']
    """
    if value is None or math.isnan(value):
        return MISSING
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if size >= 100:
        return f"{value:,.0f}"
    if size >= 1:
        return f"{value:.3g}"
    return f"{value:.3g}" if size >= 1e-4 or size == 0 else f"{value:.2e}"


def with_unit(metric: str, value: float | None) -> str:
    """Return a figure with its unit; milliseconds from 1000 on are said in seconds.

    >>> with_unit("p95_e2e_ms", 1234.0), with_unit("busy_fraction", 0.5)
    ('1.23 s', '50%')
    """
    if value is None or not math.isfinite(value):
        return number(value)
    unit = metric_of(metric).unit
    if unit == "ms":
        return f"{number(value / 1e3)} s" if value >= 1000 else f"{number(value)} ms"
    if unit == "share":
        return f"{number(100 * value)}%"
    if unit == "%":
        return f"{number(value)}%"
    return f"{number(value)} {_UNITS.get(metric, unit)}"


def short_label(metric: str) -> str:
    """Return a metric's label without the words that its unit already says.

    >>> short_label("p95_e2e_ms")
    'p95 E2E'
    """
    return metric_of(metric).label.removesuffix(" latency")


def wait_label(max_waiting_time_ms: float) -> str:
    """Return a wait timeout in human units.

    >>> wait_label(50.0), wait_label(20000.0)
    ('50 ms', '20 s')
    """
    if max_waiting_time_ms >= 10_000:
        return f"{max_waiting_time_ms / 1e3:g} s"
    return f"{max_waiting_time_ms:g} ms"


def configuration_label(settings: Settings) -> str:
    """Return what to set, and under which load: `batch 16, wait 50 ms, poisson 70% ...`.

    The name of the variant comes first where the scenario compares several systems.
    """
    parts = [
        settings.variant or "",
        f"batch {settings.max_batch_size}",
        f"wait {wait_label(settings.max_waiting_time_ms)}",
        memory_label(settings),
        settings.load,
    ]
    return ", ".join(part for part in parts if part)


def memory_label(settings: Settings) -> str:
    """Return the limits on cache and prefill that were set, empty where none was."""
    parts = []
    if settings.kv_budget_tokens is not None:
        parts.append(f"KV {settings.kv_budget_tokens:,} tokens")
    if settings.max_prefill_tokens_per_step is not None:
        parts.append(f"prefill {settings.max_prefill_tokens_per_step:,} a step")
    return ", ".join(parts)


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> plural(1, "trial"), plural(2, "trial")
    ('1 trial', '2 trials')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def marked(configuration: Configuration, metric: str) -> str:
    """Return a figure without its unit, `~` before a percentile with too few samples."""
    mark = "~" if metric in configuration.low_percentiles else ""
    return f"{mark}{number(configuration.figures.get(metric))}"


def joined(parts: Collection[str]) -> str:
    """Return the parts as an English list.

    >>> joined(["a", "b", "c"])
    'a, b and c'
    """
    items = list(parts)
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def one_line(text: str, *, limit: int | None = None) -> str:
    """Return the text on one line without control characters, cut to `limit` characters."""
    clean = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return clean if limit is None or len(clean) <= limit else f"{clean[: limit - 1]}…"


def markdown(text: str) -> str:
    """Return the text for a Markdown sentence or table cell: nothing in it acts as markup.

    >>> markdown("a|b <i>")
    'a\\\\|b &lt;i&gt;'
    """
    clean = one_line(text).replace("&", "&amp;").replace("\\", "&#92;")
    clean = clean.replace("<", "&lt;").replace(">", "&gt;")
    for sign in "|`*[]":
        clean = clean.replace(sign, f"\\{sign}")
    return clean
