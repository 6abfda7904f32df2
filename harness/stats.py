# SPDX-License-Identifier: BSD-3-Clause
"""Statistics of trials. Pure. Histograms are lists of (low_ns, high_ns, count) with [low, high) bins, as of pktgen."""

import math
import statistics
from collections.abc import Sequence

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
