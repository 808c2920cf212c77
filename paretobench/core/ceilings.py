"""What a device can do at most, as measured on it: the ceilings that every share is a share of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

Quantity = Literal["read_bandwidth", "matmul"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceiling:
    """One measured rate, in `unit` of bytes or FLOP a second; None where it was not measured.

    `per_s` is the median of the repeats, `best_per_s` the fastest; `note` says why there is none.
    """

    quantity: Quantity
    dtype: str  # of what was read or multiplied: float32, bfloat16, tf32, float8_e4m3fn, int8, …
    method: str
    shape: str
    unit: str
    per_s: float | None = None
    best_per_s: float | None = None
    repeats: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """The ceilings of one device.

    `system` describes it under the keys of a manifest's `provenance.system`: device, device_name,
    torch, threads, environment and more.
    """

    system: Mapping[str, Any]
    rows: tuple[Ceiling, ...]

    @property
    def read_bytes_per_s(self) -> float | None:
        """How fast memory is read at most: the best repeat. None if it was not measured."""
        return self._best("read_bandwidth", None)

    def flop_per_s(self, dtype: str) -> float | None:
        """Return how fast `dtype` is multiplied at most: the best repeat. None if not measured.

        >>> row = Ceiling(quantity="matmul", dtype="float32", method="", shape="", unit="FLOP/s",
        ...               per_s=9e9, best_per_s=1e10)
        >>> ceilings = Ceilings(system={"device": "cpu"}, rows=(row,))
        >>> ceilings.flop_per_s("float32"), ceilings.flop_per_s("float16")
        (10000000000.0, None)
        """
        return self._best("matmul", dtype)

    def note(self, dtype: str) -> str:
        """Return why there is no matmul rate of `dtype`."""
        rows = (row for row in self.rows if (row.quantity, row.dtype) == ("matmul", dtype))
        return next((row.note for row in rows), "not measured on this device")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold; `from_dict` reads them back."""
        return {"system": dict(self.system), "limits": [asdict(row) for row in self.rows]}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Ceilings:
        """Return what `to_dict` wrote. Raises KeyError or TypeError for anything else.

        >>> ceilings = Ceilings(system={"device": "cpu"}, rows=())
        >>> Ceilings.from_dict(ceilings.to_dict()) == ceilings
        True
        """
        names = [field.name for field in fields(Ceiling)]
        rows = (Ceiling(**{name: row[name] for name in names}) for row in content["limits"])
        return cls(system=dict(content["system"]), rows=tuple(rows))

    def or_better(self, other: Ceilings | None) -> Ceilings:
        """Return the ceilings with those of another measurement of the same device beside them:
        of each rate the better counts, for a limit is what can be reached at best.

        >>> row = Ceiling(quantity="read_bandwidth", dtype="float32", method="", shape="",
        ...               unit="B/s", best_per_s=1e9)
        >>> before = Ceilings(system={}, rows=(row,))
        >>> before.or_better(before).read_bytes_per_s, before.or_better(None) == before
        (1000000000.0, True)
        """
        return self if other is None else replace(self, rows=(*self.rows, *other.rows))

    def _best(self, quantity: Quantity, dtype: str | None) -> float | None:
        rates = (
            row.best_per_s
            for row in self.rows
            if row.quantity == quantity and dtype in (None, row.dtype)
        )
        return max((rate for rate in rates if rate is not None), default=None)
