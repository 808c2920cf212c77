"""The tables of `paretobench limits`."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from paretobench.analysis.limits import MedianShares, StepLimit
from paretobench.cli.limits_model import ModelLimits
from paretobench.cli.limits_run import RunSteps
from paretobench.core.ceilings import Ceiling, Ceilings
from paretobench.core.units import to_ms
from paretobench.report.text import MISSING, number

_PREFIXES = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_QUANTITIES = {"read_bandwidth": "read", "matmul": "matmul"}


def with_prefix(value: float | None, unit: str) -> str:
    """Return a number with its unit's decimal prefix; `—` for missing.

    >>> with_prefix(45.2e9, "B/s"), with_prefix(854e9, "FLOP/s"), with_prefix(None, "B/s")
    ('45.2 GB/s', '854 GFLOP/s', '—')
    """
    if value is None:
        return MISSING
    scale, prefix = next(((s, p) for s, p in _PREFIXES if abs(value) >= s), (1.0, ""))
    return f"{number(value / scale)} {prefix}{unit}"


def quantity_text(ceiling: Ceiling) -> str:
    """Return what was measured, in a word."""
    return _QUANTITIES[ceiling.quantity]


def ceilings_table(ceilings: Ceilings) -> Table:
    """Return what was measured on the device, one row a ceiling."""
    system = ceilings.system
    threads = f", {system['threads']} threads" if system["device"] == "cpu" else ""
    table = Table(title=escape(f"Limits of {system['device_name']} ({system['device']}{threads})"))
    for title in ("what", "dtype"):
        table.add_column(title)
    for title in ("at most", "median"):
        table.add_column(title, justify="right")
    for title in ("method", "shape"):
        table.add_column(title, overflow="fold")
    for row in ceilings.rows:
        table.add_row(
            quantity_text(row),
            row.dtype,
            with_prefix(row.best_per_s, row.unit),
            with_prefix(row.per_s, row.unit),
            escape(f"refused: {row.note}" if row.per_s is None else row.method),
            row.shape,
        )
    return table


def model_table(model: ModelLimits) -> Table:
    """Return the least decode step for each batch size."""
    table = Table(title=escape(f"Least decode step of {_model_text(model)}"))
    table.add_column("batch", justify="right")
    for title in ("least step (ms)", "tokens/s", "weights", "KV", "FLOPs"):
        table.add_column(title, justify="right")
    table.add_column("binds")
    for size, limit in model.decode:
        table.add_row(
            f"{size}",
            MISSING if limit is None else number(to_ms(limit.least_s)),
            MISSING if limit is None else number(size / limit.least_s),
            *_counted(limit),
        )
    return table


def prefill_line(model: ModelLimits) -> str:
    """Return the least time of one prompt's prefill, in a sentence."""
    limit, what = model.prefill, f"Least prefill of a prompt of {model.context_tokens} tokens"
    if limit is None:
        return f"{what}: {MISSING}"
    weights, kv, flops, binds = _counted(limit)
    return (
        f"{what}: {number(to_ms(limit.least_s))} ms "
        f"({weights} of weights, {kv} of KV, {flops}; {binds} binds)"
    )


def run_table(run: RunSteps) -> Table:
    """Return each trial's steps against the limit: decode steps, then those with prompts."""
    quantized = f" {run.counts.quantization}" if run.counts.quantization else ""
    table = Table(title=escape(f"{run.name}: {run.model}, {run.counts.dtype}{quantized}"))
    for title in ("trial", "load", "phase"):
        table.add_column(title)
    for title in ("batch", "steps", "step (ms)", "least (ms)", "share", "MFU", "MBU"):
        table.add_column(title, justify="right")
    table.add_column("binds")
    for trial in run.trials:
        for phase, medians in (("decode", trial.decode), ("with prefill", trial.prefill)):
            table.add_row(
                trial.settings.trial_id,
                escape(trial.settings.load),
                phase,
                f"{trial.settings.max_batch_size}",
                *_shares(medians),
            )
    table.caption = "medians over the steps of the window; share = least / measured step"
    return table


def _model_text(model: ModelLimits) -> str:
    quantized = f" {model.counts.quantization}" if model.counts.quantization else ""
    weights = with_prefix(model.counts.weight_bytes, "B")
    return (
        f"{model.name}, {model.counts.dtype}{quantized} ({weights} of weights), "
        f"context {model.context_tokens}"
    )


def _counted(limit: StepLimit | None) -> tuple[str, str, str, str]:
    if limit is None:
        return (MISSING,) * 4
    return (
        with_prefix(limit.weight_bytes, "B"),
        with_prefix(limit.kv_bytes, "B"),
        with_prefix(limit.flops, "FLOP"),
        limit.binds,
    )


def _shares(medians: MedianShares | None) -> tuple[str, ...]:
    if medians is None:
        return ("0", *(MISSING,) * 6)
    return (
        f"{medians.num_steps}",
        number(to_ms(medians.duration_s)),
        number(to_ms(medians.least_s)),
        *(f"{share:.2f}" for share in (medians.share_of_limit, medians.mfu, medians.mbu)),
        medians.binds,
    )
