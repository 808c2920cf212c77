"""Records and columns as Parquet, a column a field; every page carries its checksum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from paretobench.core.columns import (
    Column,
    Columns,
    Floats,
    Lists,
    Shape,
    Texts,
    column_of,
    shapes_of,
)

if TYPE_CHECKING:
    import pyarrow as pa

R = TypeVar("R")
C = TypeVar("C", bound=Columns[Any])


def write_records(path: Path, records: Sequence[R], kind: type[R]) -> None:
    """Write dataclass records to a Parquet file whose columns are the fields of `kind`."""
    import pyarrow as pa

    _write(
        path,
        {
            name: pa.array([getattr(record, name) for record in records], _arrow_type(shape))
            for name, shape in shapes_of(kind).items()
        },
    )


def write_columns(path: Path, columns: Columns[Any]) -> None:
    """Write columns to a Parquet file, as `write_records` does their records."""
    shapes = shapes_of(columns.kind)
    _write(path, {name: _to_arrow(getattr(columns, name), shape) for name, shape in shapes.items()})


def read_records(path: Path, kind: type[R], *, complete: bool = False) -> tuple[R, ...]:
    """Return the records that `write_records` wrote.

    A field that an earlier version did not know has its default, unless the file must be
    `complete`. Raises MissingColumnsError where a column is not there that must be, another
    ValueError or OSError where the file is damaged.
    """
    table = _read(path, kind, complete=complete)
    shapes = shapes_of(kind)
    columns = {
        name: list(map(tuple, column.to_pylist())) if shapes[name].is_listed else column.to_pylist()
        for name, column in table.items()
    }
    rows = zip(*columns.values(), strict=True)
    return tuple(kind(**dict(zip(columns, row, strict=True))) for row in rows)


def read_columns(path: Path, kind: type[C], *, complete: bool = False) -> C:
    """Return the columns of a file of records, under the same conditions as `read_records`."""
    shapes = shapes_of(kind.kind)
    table = _read(path, kind.kind, complete=complete)
    size = len(next(iter(table.values())))
    columns: dict[str, Column] = {}
    for name, default in _defaults(kind.kind).items():
        if name not in table:
            columns[name] = column_of([default] * size, shapes[name])
    while table:  # what has been read need not be held twice
        name, column = table.popitem()
        columns[name] = _from_arrow(column, shapes[name])
    return kind(**columns)


def _write(path: Path, columns: Mapping[str, Any]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(dict(columns))
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def _read(path: Path, kind: type[Any], *, complete: bool) -> dict[str, pa.ChunkedArray]:
    """Return the columns of a file that are fields of `kind`, each of the type it must have."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, page_checksum_verification=True)
    except pa.ArrowException as error:  # some of these are no ValueError
        raise ValueError(str(error)) from error
    shapes, defaults = shapes_of(kind), {} if complete else _defaults(kind)
    missing = [name for name in shapes if name not in table.column_names and name not in defaults]
    if missing:
        raise MissingColumnsError(f"there is no column {', '.join(missing)}")
    found = {name: table.column(name) for name in shapes if name in table.column_names}
    for name, column in found.items():
        if column.type != _arrow_type(shapes[name]):
            raise ValueError(f"column {name} holds {column.type}")
        if column.null_count and not shapes[name].is_optional:
            raise ValueError(f"column {name} has gaps")
    return found


class MissingColumnsError(ValueError):
    """A file lacks columns: a version that did not know them wrote it, or it is damaged."""


def _defaults(kind: type[Any]) -> dict[str, Any]:
    return {each.name: each.default for each in fields(kind) if each.default is not MISSING}


def _arrow_type(shape: Shape) -> Any:
    import pyarrow as pa

    of_base = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    base = of_base[shape.base]
    return pa.list_(base) if shape.is_listed else base


def _to_arrow(column: Column, shape: Shape) -> Any:
    import pyarrow as pa

    if isinstance(column, Lists):
        ends = np.concatenate(([0], np.cumsum(column.lengths))).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(column.flat()))
    if isinstance(column, Texts):
        names = pa.array(column.names, pa.string())
        return names.take(pa.array(column.codes, mask=column.codes < 0))
    if not shape.is_optional:
        return pa.array(column)
    missing = np.isnan(column)
    whole = np.where(missing, 0.0, column).astype({int: np.int64, float: np.float64}[shape.base])
    return pa.array(whole, mask=missing)


def _from_arrow(column: pa.ChunkedArray, shape: Shape) -> Column:
    import pyarrow.compute as pc

    if shape.is_listed:
        lengths = np.asarray(pc.list_value_length(column), dtype=np.int64)
        values = np.asarray(pc.list_flatten(column), dtype=np.float64)
        return Lists(values, np.cumsum(lengths) - lengths, lengths)
    if shape.base is str:
        coded = column.combine_chunks().dictionary_encode()
        codes = np.asarray(pc.fill_null(coded.indices, -1), dtype=np.int32)
        return Texts(codes, tuple(coded.dictionary.to_pylist()))
    plain: Floats = column.to_numpy()
    return plain.astype(np.float64) if shape.is_optional else plain
