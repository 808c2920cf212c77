"""What is known of the machine beside a trial's own trace: it decides verdicts and shares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from paretobench.analysis.counts import ModelCounts
from paretobench.core.ceilings import Ceilings


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The conditions of one system's trials; what is not known is empty or None.

    `loop_cost_s` is what a step of the serving loop itself takes, by batch size, measured with the
    null runner. `ceilings` are the device's, of each rate the better of before and after the
    trials; `counts` are the model's.
    """

    loop_cost_s: Mapping[int, float] = field(default_factory=dict)
    ceilings: Ceilings | None = None
    counts: ModelCounts | None = None

    @classmethod
    def from_manifest(cls, manifest: Mapping[str, Any], variant: str | None) -> Conditions:
        """Return the conditions that a manifest's `conditions` holds for a variant.

        Raises KeyError, TypeError or ValueError where that section is damaged.
        """
        found = manifest.get("conditions") or {}
        cost_us = found.get("loop_cost_us") or {}
        measured = [found.get(f"ceilings_{when}") for when in ("before", "after")]
        before, after = (None if c is None else Ceilings.from_dict(c) for c in measured)
        counts = (found.get("counts") or {}).get(variant or "")
        return cls(
            loop_cost_s={int(size): float(us) * 1e-6 for size, us in cost_us.items()},
            ceilings=after if before is None else before.or_better(after),
            counts=None if counts is None else ModelCounts(**counts),
        )

    def loop_cost_at(self, batch_size: float) -> float | None:
        """Return the loop's seconds a step at a batch size, linear between those measured.

        >>> Conditions(loop_cost_s={1: 6e-6, 64: 32e-6}).loop_cost_at(64)
        3.2e-05
        """
        if not self.loop_cost_s:
            return None
        import numpy as np

        sizes = sorted(self.loop_cost_s)
        return float(np.interp(batch_size, sizes, [self.loop_cost_s[size] for size in sizes]))


def counts_entry(counts: ModelCounts | None) -> dict[str, Any] | None:
    """Return a model's counts as the manifest holds them."""
    return None if counts is None else asdict(counts)
