"""Labels that overlap nothing: places are tried in a fixed order and the first free one taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from paretobench.report.figures.canvas import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# lower right of a point lies nothing better, so labels of the frontier go there first
_DIRECTIONS = ((1, -1), (0, -1), (1, 0), (-1, 1), (0, 1), (-1, 0), (1, 1), (-1, -1))
_GAPS_PX = (9.0, 15.0, 24.0, 36.0, 54.0, 80.0)
_NEAR = 2  # how many of the gaps a label may take that is not worth a distant place
_NO_LEADER = 3  # how many of the gaps need no leader line
_LINE_COST = 2.5  # crossing a line is worse than standing two gaps further off


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A rectangle in pixels."""

    x0: float
    y0: float
    x1: float
    y1: float

    def overlaps(self, other: Box) -> bool:
        """Return whether the two share any area."""
        return (
            self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1
        )

    def holds(self, other: Box) -> bool:
        """Return whether the other lies wholly inside."""
        return (
            self.x0 <= other.x0
            and self.y0 <= other.y0
            and other.x1 <= self.x1
            and other.y1 <= self.y1
        )


class LabelPlacer:
    """Places labels on axes whose limits and position no longer change."""

    def __init__(self, axes: Axes) -> None:
        frame = axes.get_window_extent()
        self._axes = axes
        self._bounds = Box(x0=frame.x0 + 3, y0=frame.y0 + 3, x1=frame.x1 - 2, y1=frame.y1 - 2)
        self._taken: list[Box] = []
        self._lines: list[Box] = []

    def block_point(self, x: float, y: float, *, radius_px: float = 7.0) -> None:
        """Keep labels off a marker at data coordinates."""
        px, py = self._pixel(x, y)
        self._taken.append(
            Box(x0=px - radius_px, y0=py - radius_px, x1=px + radius_px, y1=py + radius_px)
        )

    def block_steps(self, xs: Sequence[float], ys: Sequence[float]) -> None:
        """Keep labels off lines that run straight across or up, at data coordinates."""
        corners = [self._pixel(x, y) for x, y in zip(xs, ys, strict=True)]
        for (ax, ay), (bx, by) in pairwise(corners):
            self._lines.append(
                Box(x0=min(ax, bx) - 1, y0=min(ay, by) - 1, x1=max(ax, bx) + 1, y1=max(ay, by) + 1)
            )

    def at_point(
        self, text: str, x: float, y: float, *, near_only: bool = False, **look: Any
    ) -> bool:
        """Write the text beside a point, with a leader line where it stands far off.

        Return False, and write nothing, where no place is free. `near_only` allows neither a
        distant place nor one on a line.
        """
        return self.at_points(text, [(x, y)], near_only=near_only, **look)

    def at_points(
        self,
        text: str,
        points: Sequence[tuple[float, float]],
        *,
        near_only: bool = False,
        **look: Any,
    ) -> bool:
        """Write the text as `at_point` does, beside that of several points where it fits best."""
        width, height = self._size(text, look)
        best: tuple[float, Box, tuple[float, float] | None] | None = None
        for x, y in points:
            found = self._best_beside(self._pixel(x, y), width, height, near_only)
            if found is not None and (best is None or found[0] < best[0]):
                best = found
        if best is None:
            return False
        self._write(text, best[1], look, leader_to=best[2])
        return True

    def _best_beside(
        self, pixel: tuple[float, float], width: float, height: float, near_only: bool
    ) -> tuple[float, Box, tuple[float, float] | None] | None:
        """Return the cost of the best free place, the place, and where its leader line ends."""
        best: tuple[float, Box, tuple[float, float] | None] | None = None
        for rank, gap in enumerate(_GAPS_PX[: _NEAR if near_only else None]):
            if best is not None and best[0] <= rank:
                break  # no place further off is better
            for across, up in _DIRECTIONS:
                box = _beside(*pixel, width, height, across, up, gap)
                if not self._is_free(box):
                    continue
                crossed = sum(box.overlaps(line) for line in self._lines)
                if near_only and crossed:
                    continue
                cost = rank + _LINE_COST * crossed
                if best is None or cost < best[0]:
                    best = (cost, box, pixel if rank >= _NO_LEADER else None)
        return best

    def on_level(self, text: str, y: float, **look: Any) -> bool:
        """Write the text just above or below a horizontal line; False where no place is free."""
        width, height = self._size(text, look)
        py = self._pixel(self._axes.get_xlim()[0], y)[1]
        room = self._bounds.x1 - self._bounds.x0 - width - 8
        best: tuple[float, Box] | None = None
        for step in range(21):
            left = self._bounds.x0 + 4 + room * step / 20
            for bottom in (py + 3, py - 3 - height):
                box = Box(x0=left, y0=bottom, x1=left + width, y1=bottom + height)
                if not self._is_free(box):
                    continue
                crossed = sum(box.overlaps(line) for line in self._lines)
                if best is None or crossed < best[0]:
                    best = (crossed, box)
        if best is None:
            return False
        self._write(text, best[1], look, leader_to=None)
        return True

    def in_corner(self, text: str, **look: Any) -> bool:
        """Write the text in a free corner, lower right first; False where none is free."""
        width, height = self._size(text, look)
        b = self._bounds
        right, left = b.x1 - width - 4, b.x0 + 6
        low, top = b.y0 + 5, b.y1 - height - 5
        for x0, y0 in ((right, low), (left, top), (left, low), (right, top)):
            box = Box(x0=x0, y0=y0, x1=x0 + width, y1=y0 + height)
            if self._is_free(box) and not any(box.overlaps(line) for line in self._lines):
                self._write(text, box, look, leader_to=None)
                return True
        return False

    def _is_free(self, box: Box) -> bool:
        return self._bounds.holds(box) and not any(box.overlaps(taken) for taken in self._taken)

    def _pixel(self, x: float, y: float) -> tuple[float, float]:
        px, py = self._axes.transData.transform((x, y))
        return float(px), float(py)

    def _size(self, text: str, look: dict[str, Any]) -> tuple[float, float]:
        artist = self._axes.text(0.5, 0.5, text, transform=self._axes.transAxes, **look)
        extent = artist.get_window_extent()
        artist.remove()
        return extent.width + 4, extent.height + 3

    def _write(
        self, text: str, box: Box, look: dict[str, Any], *, leader_to: tuple[float, float] | None
    ) -> None:
        # axes fractions, so that the label stays put when the figure is saved at another size
        inverse = self._axes.transAxes.inverted()
        x, y = inverse.transform((box.x0 + 2, (box.y0 + box.y1) / 2))
        self._axes.text(
            x, y, text, transform=self._axes.transAxes, ha="left", va="center", gid="label", **look
        )
        self._taken.append(box)
        if leader_to is not None:
            near_x = min(max(leader_to[0], box.x0), box.x1)
            near_y = min(max(leader_to[1], box.y0), box.y1)
            ends = inverse.transform([leader_to, (near_x, near_y)])
            self._axes.plot(
                ends[:, 0], ends[:, 1], transform=self._axes.transAxes, color=INK, lw=0.6, zorder=3
            )


def _beside(
    px: float, py: float, width: float, height: float, across: int, up: int, gap: float
) -> Box:
    reach = 0.75 * gap if across and up else gap  # a diagonal is longer than its sides
    x0 = px + reach if across > 0 else px - reach - width if across < 0 else px - width / 2
    y0 = py + reach if up > 0 else py - reach - height if up < 0 else py - height / 2
    return Box(x0=x0, y0=y0, x1=x0 + width, y1=y0 + height)
