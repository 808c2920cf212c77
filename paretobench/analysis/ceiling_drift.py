"""Whether a device could do at the end of a sweep what it could at its beginning."""

from __future__ import annotations

from dataclasses import dataclass

from paretobench.core.ceilings import Ceilings, Quantity

GPU_TOLERANCE = 0.02
CPU_TOLERANCE = 0.10  # shared caches and neighbours move it more


@dataclass(frozen=True, slots=True, kw_only=True)
class CeilingChange:
    """One ceiling before and after: in B/s, or in FLOP/s of `dtype`; None: not measured then.

    Reading has no dtype: the fastest of several ways may be another one each time.
    """

    quantity: Quantity
    dtype: str | None
    before_per_s: float | None
    after_per_s: float | None

    @property
    def relative(self) -> float | None:
        """The change as a share of what was before, None where either was not measured."""
        if not self.before_per_s or self.after_per_s is None:
            return None
        return self.after_per_s / self.before_per_s - 1

    def is_apart(self, tolerance: float) -> bool:
        """Return whether the two are further apart than that share.

        >>> change = CeilingChange(quantity="read_bandwidth", dtype=None, before_per_s=100.0,
        ...                        after_per_s=97.0)
        >>> change.is_apart(0.02), change.is_apart(0.10)
        (True, False)
        """
        return self.relative is not None and abs(self.relative) > tolerance


def ceiling_changes(before: Ceilings | None, after: Ceilings | None) -> tuple[CeilingChange, ...]:
    """Return every ceiling that was measured at least once, by its best repeat."""
    sides = [_best_rates(ceilings) for ceilings in (before, after)]
    return tuple(
        CeilingChange(
            quantity=quantity,
            dtype=dtype,
            before_per_s=sides[0].get((quantity, dtype)),
            after_per_s=sides[1].get((quantity, dtype)),
        )
        for quantity, dtype in dict.fromkeys([*sides[0], *sides[1]])
    )


def _best_rates(ceilings: Ceilings | None) -> dict[tuple[Quantity, str | None], float]:
    return {
        (row.quantity, None if row.quantity == "read_bandwidth" else row.dtype): row.best_per_s
        for row in (() if ceilings is None else ceilings.rows)
        if row.best_per_s is not None
    }


def drift_tolerance(ceilings: Ceilings) -> float:
    """Return how far apart the ceilings of that device may be found: 2% on a GPU, 10% on a CPU."""
    is_gpu = str(ceilings.system.get("device")).startswith("cuda")
    return GPU_TOLERANCE if is_gpu else CPU_TOLERANCE
