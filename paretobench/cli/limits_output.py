"""What `paretobench limits` prints, warns of and writes."""

from __future__ import annotations

import csv
import io
import json as json_module
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rich.markup import escape

from paretobench.cli import limits_tables as tables
from paretobench.cli.limits_model import ModelLimits
from paretobench.cli.limits_run import RunSteps
from paretobench.cli.tables import print_table
from paretobench.core.ceilings import Ceiling, Ceilings
from paretobench.core.errors import RunFolderError
from paretobench.results.atomic import write_atomically, write_json_atomically

_STEADY = 0.8  # a median below this share of the best repeat is no quiet machine's


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Everything that one call found out."""

    ceilings: Ceilings
    models: Sequence[ModelLimits]
    steps: RunSteps | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold: the content of limits.json."""
        return {
            **self.ceilings.to_dict(),
            "models": [model.to_dict() for model in self.models],
            "run": None if self.steps is None else self.steps.to_dict(),
        }


def ceiling_line(ceiling: Ceiling) -> str:
    """Return one ceiling on one line, for the progress."""
    what = f"{tables.quantity_text(ceiling)} {ceiling.dtype}".strip()
    how = ceiling.note or f"{ceiling.method}, {ceiling.shape}, {ceiling.repeats} repeats"
    return f"  {what}: {tables.with_prefix(ceiling.best_per_s, ceiling.unit)} ({how})"


def warn(found: Found) -> None:
    """Say on stderr what must not be believed, and what is missing."""
    for row in found.ceilings.rows:
        if row.per_s is not None and row.per_s < _STEADY * (row.best_per_s or 0.0):
            _warn(
                f"{tables.quantity_text(row)} {row.dtype}: the median is "
                f"{row.per_s / (row.best_per_s or 1.0):.0%} of the best repeat, so something else "
                "used the device and the limits may be too low; measure on a quiet machine"
            )
    dtypes = {model.counts.dtype for model in found.models}
    if found.steps is not None:
        dtypes.add(found.steps.counts.dtype)
    if found.ceilings.read_bytes_per_s is None and dtypes:
        _warn("the read bandwidth could not be measured, so no step has a limit")
    for dtype in sorted(dtypes):
        if found.ceilings.flop_per_s(dtype) is None:
            _warn(f"no limit in {dtype}: {found.ceilings.note(dtype)}")
    for trial in () if found.steps is None else found.steps.trials:
        for phase, medians in (("decode", trial.decode), ("prefill", trial.prefill)):
            if medians is not None and medians.share_of_limit > 1:
                _warn(
                    f"{phase} steps of trial {trial.settings.trial_id} took LESS than the least "
                    f"time (share {medians.share_of_limit:.2f}). DO NOT TRUST these shares: bytes "
                    "or FLOPs are counted wrong, or the device was busier when its limits were "
                    "measured, or the weights fit its caches"
                )


def make_folder(path: Path) -> None:
    """Make the folder for limits.json before anything is measured. Raises RunFolderError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(
            f"{path}: cannot be made: {error.strerror or error}; give another --output-dir"
        ) from error


def write(folder: Path, found: Found) -> None:
    """Write limits.json, and the ceilings as limits.csv. Raises IncompleteError."""
    text = io.StringIO()
    names = [field.name for field in fields(Ceiling)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in found.ceilings.rows)
    write_json_atomically(folder / "limits.json", found.to_dict())
    write_atomically(folder / "limits.csv", text.getvalue().encode())


def show(found: Found, output_dir: Path | None, *, json: bool) -> None:
    """Print the tables, or one JSON document, on stdout."""
    if json:
        print(json_module.dumps(found.to_dict(), indent=1, allow_nan=False))
        return
    print_table(tables.ceilings_table(found.ceilings))
    for model in found.models:
        print_table(tables.model_table(model))
        print(tables.prefill_line(model))
        if model.requests is not None:
            print_table(model.requests.table(f"Best of {escape(model.name)}"))
    if found.steps is not None:
        print_table(tables.run_table(found.steps))
    print(_next_step(found, output_dir))


def _next_step(found: Found, output_dir: Path | None) -> str:
    wrote = "" if output_dir is None else f"Wrote {output_dir / 'limits.json'}. "
    if found.steps is not None:
        return f"{wrote}Which of these to run: paretobench report {found.steps.path}"
    if found.models:
        return f"{wrote}Hold a sweep against it: paretobench limits --run RUN_FOLDER"
    return f"{wrote}What it leaves a model: paretobench limits --model mini"


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
