"""The columns of a frontier table: what tells its rows apart, then the figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from paretobench.analysis.sla import service_levels
from paretobench.core.metrics import qualified
from paretobench.core.points import Settings
from paretobench.report.manifest import scenario
from paretobench.report.model import Report
from paretobench.report.settings_text import batch_cell, batching_label, policy_label, wait_cell
from paretobench.report.text import memory_label, short_label, unit_of

_PLAIN = ("p50_e2e_ms", "p95_e2e_ms", "p95_ttft_ms", "requests_per_s", "mean_batch_size")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of settings: its title, what stands in it, and whether it is text, set left."""

    title: str
    cell: Callable[[Settings], str]
    is_text: bool = False


def setting_columns(report: Report) -> list[Column]:
    """Return the settings that a frontier table shows, text first; what never varies is left out.

    Where classes are told apart by more than one queue, one column holds all their limits.
    """
    varied = report.varied
    columns = [Column(title="load", cell=lambda s: s.load, is_text=True)]
    if len(report.workloads) > 1:
        columns.insert(0, Column(title="workload", cell=lambda s: s.workload, is_text=True))
    if report.variants:
        variant = Column(title="variant", cell=lambda s: s.variant or "", is_text=True)
        columns.insert(0, variant)
    if varied & {"policy", "controller"}:
        columns.append(Column(title="policy", cell=policy_label, is_text=True))
    settings = [c.settings for c in report.configurations]
    if "mix_classes" in varied or any(s.class_batching for s in settings):
        batching = Column(title="batching", cell=lambda s: batching_label(s, varied), is_text=True)
        columns.append(batching)
    else:
        columns.append(Column(title="batch", cell=batch_cell))
        columns.append(Column(title="wait", cell=wait_cell))
    if any(memory_label(c.settings) for c in report.frontier):
        columns.append(Column(title="limits", cell=memory_label))
    return columns


def frontier_columns(report: Report) -> list[str]:
    """Return the figures that a frontier table shows: the two objectives first, none twice.

    Of mixed traffic they are each class's: latency, throughput, the SLA it has, its longest wait.
    """
    names = report.class_names
    levels = service_levels(scenario(report.run))
    by_class = [
        *(qualified(name, "p95_e2e_ms") for name in names),
        *(qualified(name, "output_tokens_per_s") for name in names),
        *(qualified(name, "sla_attainment") for name in names if levels.of(name).any_set),
        *(qualified(name, "max_wait_ms") for name in names),
    ]
    return list(dict.fromkeys((report.throughput, report.latency, *(by_class or _PLAIN))))


def column_title(metric: str) -> str:
    """Return a short column title with its unit.

    >>> column_title("p95_e2e_ms"), column_title("chat.output_tokens_per_s")
    ('p95 E2E (ms)', 'chat tokens/s')
    """
    if metric.endswith(".output_tokens_per_s"):
        return unit_of(metric)
    unit = {"share": "%"}.get(_unit(metric), _unit(metric))
    named = unit and not metric.endswith("mean_batch_size")
    return f"{short_label(metric)} ({unit})" if named else short_label(metric)


def _unit(metric: str) -> str:
    return unit_of(metric.rpartition(".")[2])
