"""The records of a trial as columns: a million requests are a few arrays, not a million objects.

Columns are a sequence of the records that they stand for, made when somebody asks for one. A time
or count that was never reached is NaN in a column and None in a record.
"""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import (
    Any,
    ClassVar,
    Generic,
    Literal,
    NamedTuple,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

import numpy as np
from numpy.typing import NDArray

from paretobench.core.values import RequestRecord, StepRecord

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
R = TypeVar("R")
_CHUNK = 10_000  # records made at a time while iterating
_NONE = -1  # the code of None


class Shape(NamedTuple):
    """What a field of a record holds: a value of `base`, or none, or a sequence of such."""

    base: type
    is_optional: bool
    is_listed: bool


def shapes_of(kind: type[Any]) -> Mapping[str, Shape]:
    """Return the shape of each field of a record, in order.

    >>> shapes_of(RequestRecord)["admitted_s"]
    Shape(base=<class 'float'>, is_optional=True, is_listed=False)
    """
    return _shapes_of(kind)  # type: ignore[arg-type]  # every class has a hash


@cache
def _shapes_of(kind: type[Any]) -> Mapping[str, Shape]:
    hints = get_type_hints(kind)
    return {each.name: _shape(hints[each.name]) for each in fields(kind)}


def _shape(hint: Any) -> Shape:
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (member for member in get_args(hint) if member is not type(None))
        return _shape(hint)._replace(is_optional=True)
    if get_origin(hint) in (tuple, Sequence):
        return _shape(get_args(hint)[0])._replace(is_listed=True)
    return Shape(str if get_origin(hint) is Literal else hint, is_optional=False, is_listed=False)


@dataclass(frozen=True, slots=True, eq=False)
class Texts:
    """A column of few different texts, each one a number into `names`; −1 stands for None."""

    codes: NDArray[np.int32]  # [records]
    names: tuple[str, ...]

    @classmethod
    def of(cls, values: Sequence[str | None]) -> Texts:
        """Return the column of these values."""
        numbers: dict[str | None, int] = {None: _NONE}
        codes = [numbers.setdefault(value, len(numbers) - 1) for value in values]
        return cls(np.array(codes, dtype=np.int32), tuple(n for n in numbers if n is not None))

    def __getitem__(self, where: Any) -> Texts:
        return Texts(self.codes[where], self.names)

    def says(self, name: str | None) -> Bools:
        """Return where the column says `name`."""
        known = name is None or name in self.names
        code = _NONE if name is None else self.names.index(name) if known else len(self.names)
        says: Bools = self.codes == code
        return says

    def present(self) -> list[str | None]:
        """Return what stands in the column, each once, in the order of first use.

        >>> Texts.of(["b", None, "a", "b"]).present()
        ['b', None, 'a']
        """
        codes, first = np.unique(self.codes, return_index=True)
        return [self._text(code) for code in codes[np.argsort(first)].tolist()]

    def tolist(self) -> list[str | None]:
        """Return the texts."""
        return [self._text(code) for code in self.codes.tolist()]

    def _text(self, code: int) -> str | None:
        return None if code == _NONE else self.names[code]


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """A column of rows of numbers: row i is `values[starts[i] : starts[i] + lengths[i]]`.

    Some of the rows share the values of all.
    """

    values: Floats
    starts: Ints  # [records]
    lengths: Ints  # [records]

    @classmethod
    def of(cls, rows: Sequence[Sequence[float]]) -> Lists:
        """Return the column of these rows."""
        lengths = np.fromiter((len(row) for row in rows), dtype=np.int64, count=len(rows))
        parts = [np.asarray(row, dtype=np.float64) for row in rows]
        values = np.concatenate(parts) if parts else np.empty(0)
        return cls(values, np.cumsum(lengths) - lengths, lengths)

    def __getitem__(self, where: Any) -> Lists:
        return Lists(self.values, self.starts[where], self.lengths[where])

    def flat(self) -> Floats:
        """Return the values of all rows, one row after the other; a view where they lie so."""
        if not self.lengths.size:
            return np.empty(0)
        ends = self.starts + self.lengths
        if np.array_equal(ends[:-1], self.starts[1:]):
            return self.values[self.starts[0] : ends[-1]]
        before = np.cumsum(self.lengths) - self.lengths
        return self.values[np.repeat(self.starts - before, self.lengths) + np.arange(self.total)]

    def gaps(self) -> Floats:
        """Return the differences of neighbours in each row, pooled over rows.

        >>> Lists.of([[1.0, 3.0], [], [4.0], [5.0, 6.0, 9.0]])[np.array([3, 0])].gaps()
        array([1., 3., 2.])
        """
        gaps = np.diff(self.flat())
        ends = np.cumsum(self.lengths[self.lengths > 0])[:-1]
        within = np.ones(gaps.size, dtype=bool)
        within[ends - 1] = False  # from a row's last value to the next one's first
        return gaps[within]

    @property
    def total(self) -> int:
        """How many values all rows have."""
        return int(self.lengths.sum())

    def tolist(self) -> list[tuple[float, ...]]:
        """Return the rows."""
        rows = zip(self.starts.tolist(), self.lengths.tolist(), strict=True)
        return [tuple(self.values[start : start + length].tolist()) for start, length in rows]


Column = Floats | Ints | Bools | Texts | Lists


@dataclass(frozen=True, slots=True, eq=False)
class Columns(Sequence[R], Generic[R]):
    """Records of one kind; every column is [records]."""

    kind: ClassVar[type[Any]]

    @classmethod
    def of(cls, records: Sequence[R]) -> Self:
        """Return the records as columns; columns are returned as they are."""
        if isinstance(records, cls):
            return records
        return cls(
            **{
                name: column_of([getattr(record, name) for record in records], shape)
                for name, shape in shapes_of(cls.kind).items()
            }
        )

    def where(self, chosen: Bools | Ints) -> Self:
        """Return some of the records: those that a mask or numbers choose."""
        return type(self)(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})

    def __len__(self) -> int:
        first: Column = getattr(self, fields(self)[0].name)
        return len(first.codes) if isinstance(first, Texts) else len(first)  # type: ignore[arg-type]

    @overload
    def __getitem__(self, index: int) -> R: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[R, ...]: ...
    def __getitem__(self, index: int | slice) -> R | tuple[R, ...]:
        if isinstance(index, slice):
            return tuple(self._records(index))
        at = range(len(self))[index]
        return self._records(slice(at, at + 1))[0]

    def __iter__(self) -> Iterator[R]:
        for start in range(0, len(self), _CHUNK):
            yield from self._records(slice(start, start + _CHUNK))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or len(other) != len(self):
            return NotImplemented if not isinstance(other, Sequence) else False
        return all(own == its for own, its in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def _records(self, where: slice) -> list[R]:
        shapes = shapes_of(self.kind)
        listed = [_plain(getattr(self, name)[where], shape) for name, shape in shapes.items()]
        rows = zip(*listed, strict=True)
        return [self.kind(**dict(zip(shapes, row, strict=True))) for row in rows]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RequestColumns(Columns[RequestRecord]):
    """Requests: the fields of `RequestRecord`."""

    kind: ClassVar[type[Any]] = RequestRecord

    request_id: Ints
    class_name: Texts
    arrival_s: Floats
    prompt_tokens: Ints
    output_tokens: Ints
    measured: Bools
    kv_blocked_s: Floats
    admitted_s: Floats
    first_token_s: Floats
    finished_s: Floats
    status: Texts
    error: Texts
    num_preemptions: Ints
    preempted_s: Floats
    recomputed_tokens: Ints
    taken_in_s: Floats
    token_times_s: Lists


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepColumns(Columns[StepRecord]):
    """Steps: the fields of `StepRecord`."""

    kind: ClassVar[type[Any]] = StepRecord

    phase: Texts
    start_s: Floats
    duration_s: Floats
    batch_size: Ints
    joined: Ints
    decode_rows: Ints
    prompt_tokens: Ints
    new_tokens: Ints
    kv_tokens: Ints
    padded_tokens: Ints
    queue_depth: Ints
    close_reason: Texts
    num_steps: Ints
    num_prompts: Floats  # a count, or NaN
    decode_kv_tokens: Floats  # a count, or NaN
    engine: Texts

    @property
    def end_s(self) -> Floats:
        """When each step ended."""
        return self.start_s + self.duration_s


def column_of(values: Sequence[Any], shape: Shape) -> Column:
    """Return the values of one field as its column."""
    if shape.is_listed:
        return Lists.of(values)
    if shape.base is str:
        return Texts.of(values)
    if shape.is_optional:
        known = (np.nan if value is None else value for value in values)
        return np.fromiter(known, dtype=np.float64, count=len(values))
    return np.array(values, dtype={int: np.int64, float: np.float64, bool: np.bool_}[shape.base])


def _plain(column: Column, shape: Shape) -> list[Any]:
    """Return a column's values as a record has them."""
    values: list[Any] = column.tolist()
    if not shape.is_optional or shape.base is str:
        return values
    return [None if value != value else shape.base(value) for value in values]
