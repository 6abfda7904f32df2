# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of trials. Pure. Histograms are lists of (low_ns, high_ns, count) with [low, high) bins, as of pktgen."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Bins = Sequence[tuple[int, int, int]]

# A quantile q is given only with this many samples beyond it on average (methodology D.2: n >= 10 / (1 - q)).
SAMPLES_BEYOND = 10


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def quantile_ns(bins: Bins, q: float) -> int | None:
    """The q-quantile (nearest rank) in nanoseconds as the middle of its bin, at most 0.4 % off; None if there are too
    few samples to support it."""
    total = sum(count for _, _, count in bins)
    if total == 0 or total * (1 - q) < SAMPLES_BEYOND * (1 - 1e-9):
        return None
    rank = max(1, math.ceil(q * total - 1e-9))
    seen = 0
    for low, high, count in bins:
        seen += count
        if seen >= rank:
            return (low + high - 1) // 2
    return None


def add_bins(parts: Sequence[Bins]) -> list[tuple[int, int, int]]:
    """Histograms of one layout added up."""
    total: dict[tuple[int, int], int] = {}
    for bins in parts:
        for low, high, count in bins:
            total[low, high] = total.get((low, high), 0) + count
    return [(low, high, count) for (low, high), count in sorted(total.items())]


@dataclass(frozen=True)
class Histogram:
    """Samples of a trial, all directions together. `beyond` are those above the last bin."""

    bins: Bins
    min_ns: int
    max_ns: int
    count: int
    sum_ns: int
    beyond: int = 0

    def quantile_ns(self, q: float) -> int | None:
        """As quantile_ns() above, never outside of what was seen; None too where it lies beyond the bins."""
        value = quantile_ns([*self.bins, (self.max_ns, self.max_ns + 1, self.beyond)], q)
        if value is None or math.ceil(q * self.count - 1e-9) > self.count - self.beyond:
            return None
        return min(max(value, self.min_ns), self.max_ns)

    def share(self, low_ns: float, high_ns: float) -> float:
        """Share of the samples in bins whose middle lies in [low_ns, high_ns]."""
        inside = sum(count for low, high, count in self.bins if low_ns <= (low + high - 1) / 2 <= high_ns)
        return inside / self.count if self.count else 0.0

    @property
    def mean_ns(self) -> float:
        return self.sum_ns / self.count if self.count else 0.0


def merged(parts: Sequence[Mapping[str, Any] | None]) -> Histogram | None:
    """Histograms as the C programs write them, added up; None if none of them has a sample."""
    some = [p for p in parts if p and (p["bins"] or p.get("overflow_count"))]
    if not some:
        return None
    bins = add_bins([[tuple(b) for b in p["bins"]] for p in some])
    beyond = sum(p.get("overflow_count", 0) for p in some)
    return Histogram(bins, min(p["min_ns"] for p in some), max(p["max_ns"] for p in some),
                     sum(count for _, _, count in bins) + beyond, sum(p.get("sum_ns", 0) for p in some), beyond)
