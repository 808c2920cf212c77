"""Several runs in one picture: their names, their curves, and how far these lie apart."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from paretobench.analysis.configurations import Configuration
from paretobench.core.errors import UserInputError
from paretobench.report.manifest import latency_metric, throughput_metric
from paretobench.report.model import Report
from paretobench.report.shift import VariantShift, curve_points, shifts_from_first
from paretobench.report.text import joined, one_line
from paretobench.results.reader import RunFolder

_LONG_LABEL = 20  # characters: a shorter one needs no shortening
_LONGEST_FOLDER = 100  # bytes; a file system allows 255


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """What has one colour in the picture: a run, or one variant of a run that has several.

    `curves` has the frontier of each workload, by rising throughput; `short_label` lacks what the
    labels of all series begin with, where they are long.
    """

    label: str
    short_label: str
    report: Report
    variant: str | None
    curves: Mapping[str, Sequence[Configuration]]

    @property
    def configurations(self) -> list[Configuration]:
        """All that was measured of it, in the report's order."""
        every = self.report.configurations
        return [c for c in every if self.variant in (None, c.settings.variant)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlay:
    """Reports with the names that tell them apart; their objectives are the same."""

    names: tuple[str, ...]
    reports: tuple[Report, ...]

    @property
    def throughput(self) -> str:
        """The metric across."""
        return self.reports[0].throughput

    @property
    def latency(self) -> str:
        """The metric up."""
        return self.reports[0].latency

    @property
    def workloads(self) -> tuple[str, ...]:
        """The workload shapes of all runs, in the order met."""
        return tuple(dict.fromkeys(w for report in self.reports for w in report.workloads))

    @property
    def series(self) -> tuple[Series, ...]:
        """Every run, each variant of it where it has several, in order."""
        every = [
            (name if variant is None else f"{name} · {variant}", report, variant)
            for name, report in zip(self.names, self.reports, strict=True)
            for variant in report.variants or (None,)
        ]
        short = shortened([label for label, _, _ in every])
        return tuple(_series(*one, short[one[0]]) for one in every)

    @property
    def shared_workloads(self) -> tuple[str, ...]:
        """The workloads that the first run and another were measured under."""
        first, *others = (report.workloads for report in self.reports)
        return tuple(w for w in first if any(w in other for other in others))

    @property
    def shifts(self) -> list[VariantShift]:
        """How far each series lies from the first one, under each workload that both served."""
        series = self.series
        curves = {
            (s.label, workload): curve_points(s.report, front)
            for s in series
            for workload, front in s.curves.items()
        }
        met = {(s.label, w) for s in series for w in s.report.workloads}
        every = shifts_from_first([s.label for s in series], self.workloads, curves)
        return [s for s in every if {(s.variant, s.workload), (s.baseline, s.workload)} <= met]


def _series(label: str, report: Report, variant: str | None, short_label: str) -> Series:
    return Series(
        label=label,
        short_label=short_label,
        report=report,
        variant=variant,
        curves={
            workload: front
            for (of_variant, workload), front in report.curves.items()
            if variant in (None, of_variant)
        },
    )


def shortened(labels: Sequence[str]) -> dict[str, str]:
    """Return each label, long ones without the words that all of them begin with.

    >>> shortened(["llama-3.1-8b_chat_bfloat16", "llama-3.1-8b_chat_int8"])
    {'llama-3.1-8b_chat_bfloat16': 'bfloat16', 'llama-3.1-8b_chat_int8': 'int8'}
    """
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*labels, strict=False))
    words = re.match(r".*[-_ /·]", "".join(letters[0] for letters in alike))
    shared = words.end() if words and min(map(len, labels)) > _LONG_LABEL else 0
    return {label: label[shared:] or label for label in labels}


def check_alike(runs: Sequence[RunFolder]) -> None:
    """Raise UserInputError unless the runs are different folders with the same objectives."""
    first, *others = runs
    seen = {first.path.resolve()}
    for run in others:
        if run.path.resolve() in seen:
            raise UserInputError(f"{run.path}: is given twice; give each run once")
        seen.add(run.path.resolve())
        for axis, metric in (("throughput", throughput_metric), ("latency", latency_metric)):
            if metric(run) != metric(first):
                raise UserInputError(
                    f"{run.path}: cannot be drawn over {first.path}: expected its objective of "
                    f"{axis} to be {metric(first)}, found {metric(run)}; report them apart, or "
                    f"change objectives.{axis} in the scenario and measure again"
                )


def run_names(runs: Sequence[RunFolder], given: Sequence[str] = ()) -> tuple[str, ...]:
    """Return a name for each run: those given, else the manifests', else, of equal ones, as much
    of the folders' paths as tells them apart.

    Raises UserInputError where as many names are not given as runs, or two are equal.
    """
    if given:
        names = [one_line(name) for name in given]
        if len(names) != len(runs):
            raise UserInputError(
                f"--name: expected one for each of {len(runs)} runs or none at all, found "
                f"{len(names)}"
            )
        if "" in names or len(set(names)) < len(names):
            raise UserInputError(
                f"--name: expected names that tell the runs apart, found {joined(names)}"
            )
        return tuple(names)
    names = [one_line(str(run.manifest.get("name") or run.path.resolve().name)) for run in runs]
    counts = Counter(names)
    alike = [i for i, name in enumerate(names) if counts[name] > 1]
    parts = [run.path.resolve().parts for run in runs]
    for length in range(1, max(map(len, parts)) + 1):
        candidates = list(names)
        for i in alike:
            candidates[i] = one_line("/".join(parts[i][-length:]))
        if len(set(candidates)) == len(candidates):
            return tuple(candidates)
    raise UserInputError(f"the runs' names {joined(names)} do not tell them apart; give --name")


def default_folder(names: Sequence[str]) -> Path:
    """Return where an overlay is written unless told otherwise.

    >>> default_folder(["chat", "chat int8"]).as_posix()
    'results/chat_and_chat-int8'
    """
    plain = [re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "run" for name in names]
    folder = "_and_".join(plain)
    content = folder.encode()
    if len(content) > _LONGEST_FOLDER:
        digits = hashlib.sha256(content).hexdigest()[:8]
        folder = f"{content[:_LONGEST_FOLDER].decode(errors='ignore')}-{digits}"
    return Path("results") / folder
