# SPDX-License-Identifier: BSD-3-Clause
"""The loads that a search may try: a geometric grid, on which all arithmetic of widths is exact (methodology B2)."""

import math
from collections.abc import Sequence

LEAST, MOST = 0.99, 0.999999    # a goal's width must be a whole number of steps, this much of it at least


class Grid:
    """Loads 0..size, load(i) = min x (max / min)^(i / size)."""

    def __init__(self, min_pps: float, max_pps: float, widths: Sequence[float]) -> None:
        """`widths`: those of the goals, as ratios; each becomes a whole number of steps, at most 1 % narrower."""
        self.min_pps, self.max_pps = min_pps, max_pps
        self._log = math.log(max_pps / min_pps)
        self.size = self._smallest(widths)

    def _smallest(self, widths: Sequence[float]) -> int:
        size = 1
        while (skip := max((self._skip(w, size) for w in widths), default=size)) > size:
            size = skip
        return size

    def _skip(self, width: float, size: int) -> int:
        """`size` if it suits this width, else the next that may."""
        units = -math.log1p(-width) * size / self._log
        whole = math.floor(units)
        if units * LEAST <= whole <= units * MOST:
            return size
        nearest = whole if whole > units * MOST else whole + 1
        return max(size + 1, math.ceil(nearest / MOST / units * size - 1e-9))

    def steps(self, width: float) -> int:
        """A width in steps, rounded down."""
        return max(1, math.floor(-math.log1p(-width) * self.size / self._log))

    def load(self, index: int) -> float:
        if index in (0, self.size):
            return self.max_pps if index else self.min_pps
        return self.min_pps * (self.max_pps / self.min_pps) ** (index / self.size)

    def below(self, pps: float) -> int:
        """The highest index whose load is not above `pps`, within the grid."""
        if pps <= self.min_pps:
            return 0
        index = min(self.size, math.floor(math.log(pps / self.min_pps) * self.size / self._log))
        while index < self.size and self.load(index + 1) <= pps:
            index += 1
        while index > 0 and self.load(index) > pps:
            index -= 1
        return index

    def limit(self, index: int, width: int, low: int | None, high: int | None) -> int | None:
        """`index`, moved so that it is neither nearer than `width` to a bound nor beyond it; None if that leaves none.
        The ends of the grid may be tried themselves, bounds may not: they have been."""
        index = min(max(index, 0), self.size)
        if (low is not None and index <= low) or (high is not None and index >= high):
            return None
        return _limit(index, width, 0 if low is None else low, self.size if high is None else high, low is None,
                      high is None)


def _limit(index: int, width: int, low: int, high: int, keep_low: bool, keep_high: bool) -> int | None:
    if width >= high - low:
        return low if keep_low else high if keep_high else None
    soft_low, soft_high = low + width, high - width
    if soft_low > soft_high:
        soft_low = soft_high = middle(low, high, width)
    if index < soft_low:
        return low if keep_low else soft_low
    if index > soft_high:
        return high if keep_high else soft_high
    return index


def middle(low: int, high: int, goal: int) -> int:
    """Where to halve an interval wider than `goal`: such that halving its parts again ends at `goal` exactly."""
    width = high - low
    if width == 2 * goal:
        return low + goal
    if width < 2 * goal:
        return middle(low, high, goal // 2) if goal % 2 == 0 else low + width // 2
    part = goal
    while width - 2 * part > 2 * part:
        part *= 2
    return low + (part if part * (width - part) > 2 * part * (width - 2 * part) else width - 2 * part)
