"""Records as Parquet, a column a field."""

from __future__ import annotations

import collections.abc
import types
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

R = TypeVar("R")
_LISTS = (tuple, collections.abc.Sequence)


def write_records(path: Path, records: Sequence[R], kind: type[R]) -> None:
    """Write dataclass records to a Parquet file whose columns are the fields of `kind`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    hints = get_type_hints(kind)
    columns = {
        field.name: pa.array([getattr(r, field.name) for r in records], _arrow(hints[field.name]))
        for field in _fields(kind)
    }
    pq.write_table(pa.table(columns), path, compression="zstd")


def read_records(path: Path, kind: type[R]) -> tuple[R, ...]:
    """Return the records that `write_records` wrote; a field that an earlier version did not know
    has its default. Raises OSError, ValueError or TypeError if it cannot."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    names = [field.name for field in _fields(kind) if field.name in columns]
    listed = {name for name in names if get_origin(get_type_hints(kind)[name]) in _LISTS}
    rows = zip(*(columns[name] for name in names), strict=True)
    return tuple(
        kind(**{n: tuple(v) if n in listed else v for n, v in zip(names, row, strict=True)})
        for row in rows
    )


def _fields(kind: type[Any]) -> tuple[Any, ...]:
    return fields(kind)


def _arrow(hint: Any) -> Any:
    import pyarrow as pa

    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        (hint,) = (member for member in get_args(hint) if member is not type(None))
        origin = get_origin(hint)
    if origin in _LISTS:
        return pa.list_(_arrow(get_args(hint)[0]))
    if origin is Literal:
        return pa.string()
    return {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}[hint]
