"""Request traces: CSV with the columns TIMESTAMP, ContextTokens and GeneratedTokens."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from paretobench.core.errors import TraceFileError

_COLUMNS = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRows:
    """A trace's rows, each array of shape [rows]; `arrival_s` counts from the first row."""

    arrival_s: NDArray[np.float64]
    prompt_tokens: NDArray[np.int64]
    output_tokens: NDArray[np.int64]


@lru_cache(maxsize=4)
def read_trace_file(path: Path) -> TraceRows:
    """Return the rows of a trace in the order of their timestamps.

    Rows of no prompt or no output tokens count as 1: a request has at least one of each.
    Raises TraceFileError: file, column or line, expected, found.
    """
    import pandas as pd

    try:
        frame = pd.read_csv(path)
    except FileNotFoundError:
        raise TraceFileError(
            f"{path}: expected a request trace, found no file; docs/scenarios.md says where to "
            "get one, --trace PATH names it"
        ) from None
    except (OSError, ValueError) as error:
        raise TraceFileError(f"{path}: expected CSV, found: {error}") from None
    missing = [column for column in _COLUMNS if column not in frame.columns]
    if missing:
        found = ", ".join(map(str, frame.columns[:8]))
        raise TraceFileError(
            f"{path}: expected the columns {', '.join(_COLUMNS)}, "
            f"found no {', '.join(missing)} among: {found}"
        )
    if frame.empty:
        raise TraceFileError(f"{path}: expected at least one request, found none")
    times = pd.to_datetime(frame["TIMESTAMP"], errors="coerce", format="ISO8601", utc=True)
    context = pd.to_numeric(frame["ContextTokens"], errors="coerce")
    generated = pd.to_numeric(frame["GeneratedTokens"], errors="coerce")
    for column, values in zip(_COLUMNS, (times, context, generated), strict=True):
        bad = values.isna() if column == "TIMESTAMP" else ~(values >= 0)
        if bad.any():
            row = int(np.flatnonzero(bad.to_numpy())[0])
            kind = "a time" if column == "TIMESTAMP" else "a number ≥ 0"
            raise TraceFileError(
                f"{path}: line {row + 2}: {column} must be {kind}, found {frame[column][row]!r}"
            )
    order = np.argsort(times.to_numpy(), kind="stable")
    seconds = (times - times.min()).dt.total_seconds().to_numpy()[order]
    return TraceRows(
        arrival_s=seconds.astype(np.float64),
        prompt_tokens=np.maximum(context.to_numpy()[order].astype(np.int64), 1),
        output_tokens=np.maximum(generated.to_numpy()[order].astype(np.int64), 1),
    )
