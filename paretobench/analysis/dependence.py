"""Where a run is too short for its load: its intervals are narrower than they say.

A queue forgets how long it was in about load / (1 - load)² requests: near saturation even thousands
of requests are few independent ones, and no method sees in a run what the run did not show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from paretobench.core.points import Point

# requests × (1 - slots in use)²: below it `scripts/bench_coverage.py` finds nominal 95% intervals
# of the mean to cover less than 90%, those of p95 less than 85%
_FEWEST_MEMORIES = 60


def interval_notes(runs: Sequence[Point], figures: Mapping[str, float | None]) -> tuple[str, ...]:
    """Return why the intervals of a configuration should not be believed; empty where they may be.

    The slots in use are busy fraction × batch occupancy, which is the load where the device is near
    saturation and less elsewhere. A closed loop has no queue that grows: it is never noted.
    """
    busy, occupancy = figures.get("busy_fraction"), figures.get("batch_occupancy")
    if busy is None or occupancy is None or runs[0].settings.load_kind == "closed_loop":
        return ()
    in_use = min(busy * occupancy, 1.0)
    requests = sum(run.figures.get("num_measured") or 0 for run in runs)
    if requests * (1 - in_use) ** 2 >= _FEWEST_MEMORIES:
        return ()
    enough = _FEWEST_MEMORIES / (1 - in_use) ** 2 if in_use < 0.999 else None
    wanted = "" if enough is None else f", about {_rounded_up(enough):,} are needed"
    return (
        f"utilisation too high for this length: {in_use:.0%} of the slots in use, "
        f"{requests:,.0f} requests{wanted}",
    )


def _rounded_up(requests: float) -> int:
    step = 10 ** max(len(str(int(requests))) - 2, 0)
    return int(-(-requests // step) * step)
