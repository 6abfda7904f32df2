# SPDX-License-Identifier: BSD-3-Clause
"""How far two samples lie apart: Hodges-Lehmann estimates with exact confidence intervals from ranks. Pure.

A Shift is a sorted list of points (Walsh averages of paired differences, or all pairwise differences) and the null
distribution of how many of them lie below the true shift (Wilcoxon's signed-rank or Mann-Whitney's statistic).
Estimate, interval and p-values are all read off these two, so that they never contradict each other, and equal values
count against whatever is claimed. SciPy has the p-values only, and gives up exactness where values are equal; the tests
check ours against it. Sources: Hollander & Wolfe, Nonparametric Statistical Methods, 3.1 to 3.3 and 4.1 to 4.3.
"""

import functools
import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy
from numpy.typing import NDArray

ALPHA = 0.05


@dataclass(frozen=True)
class Shift:
    """What can be said of a shift. `below[k]`: the probability that at most k points lie below the true one."""

    points: Sequence[float]
    below: NDArray[numpy.float64]

    @property
    def estimate(self) -> float:
        return statistics.median(self.points)

    def interval(self, alpha: float = ALPHA) -> tuple[float, float] | None:
        """With a confidence of at least 1 - alpha; None where so few values cannot give one."""
        k = int(numpy.searchsorted(2 * self.below, alpha * (1 + 1e-12), side="right")) - 1
        return None if k < 0 else (self.points[k], self.points[-1 - k])

    def p_above(self, bound: float) -> float:
        """One-sided p-value of "the shift is above this"."""
        return self._p(sum(point <= bound for point in self.points))

    def p_below(self, bound: float) -> float:
        """One-sided p-value of "the shift is below this"."""
        return self._p(sum(point >= bound for point in self.points))

    def _p(self, contrary_count: int) -> float:
        return float(self.below[min(contrary_count, len(self.below) - 1)])

    def p_zero(self, least: float = 0.0, most: float = 0.0) -> float:
        """Two-sided p-value of a shift that lies in [least, most], by default of none: at most alpha exactly where the
        interval does not reach into that."""
        return min(1.0, 2 * min(self.p_above(most), self.p_below(least)))

    def p_within(self, margin: float, least: float = 0.0, most: float = 0.0) -> float:
        """p-value of "whatever of [least, most] is taken off, what is left lies within +-margin" (two one-sided tests):
        at most alpha exactly where the interval does."""
        return min(1.0, 2 * max(self.p_above(most - margin), self.p_below(margin + least)))


def paired(differences: Sequence[float]) -> Shift:
    """Of differences within pairs, at least one."""
    walsh = sorted((a + b) / 2 for a, b in itertools.combinations_with_replacement(differences, 2))
    return Shift(walsh, _signed_rank(len(differences)))


def unpaired(a: Sequence[float], b: Sequence[float]) -> Shift:
    """Of b against a, at least one value each."""
    return Shift(sorted(y - x for x in a for y in b), _mann_whitney(len(a), len(b)))


@functools.cache
def _signed_rank(n: int) -> NDArray[numpy.float64]:
    """P(W <= k): every rank 1..n is in W with probability 1/2."""
    density = numpy.ones(1)
    for rank in range(1, n + 1):
        more = numpy.zeros(len(density) + rank)
        more[:len(density)] += density / 2
        more[rank:] += density / 2
        density = more
    return numpy.cumsum(density)


@functools.cache
def _mann_whitney(n: int, m: int) -> NDArray[numpy.float64]:
    """P(U <= k). The counts are the coefficients of a Gaussian binomial: the product of (1 - x^(m+i)) / (1 - x^i), in
    whole numbers, since dividing floating ones would lose what is small."""
    counts = [1] + [0] * (n * m)
    for i in range(1, n + 1):
        for k in range(n * m, m + i - 1, -1):
            counts[k] -= counts[k - m - i]
        for k in range(i, n * m + 1):
            counts[k] += counts[k - i]
    total = math.comb(n + m, n)
    return numpy.array([c / total for c in itertools.accumulate(counts)])


def fewest(alpha: float, is_paired: bool) -> int:
    """The fewest values on each side that can give a p-value of at most alpha."""
    n = 1
    while 2 * (0.5 ** n if is_paired else 1 / math.comb(2 * n, n)) > alpha:
        n += 1
    return n


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted for the number of tests (Holm 1979): the share of families with any false claim stays at most alpha."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for done, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - done) * p_values[i]))
        adjusted[i] = highest
    return adjusted
