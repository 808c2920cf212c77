"""Figures and names as people read them."""

from __future__ import annotations

import math
import re
from collections.abc import Collection

from paretobench.analysis.configurations import Configuration
from paretobench.core.metrics import metric_of, split_name
from paretobench.core.points import Settings

MISSING = "—"
# what can begin or end emphasis: `_` inside a word and `~` before one (nearly) are plain text
_EMPHASIS = re.compile(r"(?<![^\W_])_|_(?![^\W_])|(?<=\S)~")
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

    What is counted of one class is said to be: `509 batch tokens/s`.

    >>> with_unit("p95_e2e_ms", 1234.0), with_unit("chat.output_tokens_per_s", 509.0)
    ('1.23 s', '509 chat tokens/s')
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
    return " ".join(part for part in (number(value), unit_of(metric)) if part)


def unit_of(metric: str) -> str:
    """Return what a figure counts, and of which class: `requests/s`, `chat tokens/s`."""
    class_name, base = split_name(metric)
    unit = _UNITS.get(base, metric_of(base).unit)
    return " ".join(part for part in (class_name, unit) if part)


def short_label(metric: str) -> str:
    """Return a metric's label without the words that its unit already says.

    >>> short_label("p95_e2e_ms")
    'p95 E2E'
    """
    return metric_of(metric).label.removesuffix(" latency")


def wait_label(max_waiting_time_ms: float) -> str:
    """Return a wait timeout in human units.

    >>> wait_label(50.0), wait_label(1500.0)
    ('50 ms', '1.5 s')
    """
    if max_waiting_time_ms >= 1000:
        return f"{max_waiting_time_ms / 1e3:g} s"
    return f"{max_waiting_time_ms:g} ms"


def memory_label(settings: Settings) -> str:
    """Return the limits on cache and prefill that were set, empty where none was."""
    parts = []
    if settings.kv_budget_tokens is not None:
        parts.append(f"KV {settings.kv_budget_tokens:,} tokens")
    if settings.max_prefill_tokens_per_step is not None:
        parts.append(f"prefill {settings.max_prefill_tokens_per_step:,} a step")
    return ", ".join(parts)


def ratio_label(ratio: float) -> str:
    """Return how many times as much.

    >>> ratio_label(6.234), ratio_label(12.6)
    ('6.2 ×', '13 ×')
    """
    return f"{ratio:.0f} ×" if ratio >= 9.95 else f"{ratio:.1f} ×"


def with_article(name: str) -> str:
    """Return a name with its indefinite article.

    >>> with_article("short"), with_article("interactive")
    ('a short', 'an interactive')
    """
    return f"{'an' if name[:1].lower() in 'aeio' else 'a'} {name}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> plural(1, "trial"), plural(2, "trial")
    ('1 trial', '2 trials')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def marked(configuration: Configuration, metric: str) -> str:
    """Return a figure without its unit, a share in percent, `~` where samples are too few."""
    mark = "~" if metric in configuration.low_percentiles else ""
    value = configuration.figures.get(metric)
    if value is not None and metric_of(metric).unit == "share":
        value *= 100
    return f"{mark}{number(value)}"


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
    """Return the text for a Markdown sentence or table cell: nothing in it acts as markup, but
    that a code host may link a bare address.

    >>> markdown("a|b <i>")
    'a\\\\|b &lt;i&gt;'
    >>> markdown("p95_e2e_ms of __init__, ~200 ms"), markdown("~~no~~")
    ('p95_e2e_ms of \\\\_\\\\_init\\\\_\\\\_, ~200 ms', '~\\\\~no\\\\~\\\\~')
    """
    clean = one_line(text).replace("&", "&amp;").replace("\\", "&#92;")
    clean = clean.replace("<", "&lt;").replace(">", "&gt;")
    for sign in "|`*[]":
        clean = clean.replace(sign, f"\\{sign}")
    return _EMPHASIS.sub(r"\\\g<0>", clean)
