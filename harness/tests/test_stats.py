# SPDX-License-Identifier: BSD-3-Clause
"""Statistics against models that keep every sample."""

import math
import random
from collections import Counter

from harness import stats
from harness.tests.support import seeded

Bins = list[tuple[int, int, int]]


def histogram(r: random.Random, samples: int, *, exact: bool) -> tuple[Bins, list[int]]:
    """Random samples as a histogram and as a sorted list. `exact`: bins of 1 ns; else up to 1/128 of their value wide,
    as pktgen's are."""
    values = sorted(int(math.exp(r.uniform(0, 18))) for _ in range(samples))
    counts: Counter[tuple[int, int]] = Counter()
    for value in values:
        width = 1 if exact else 1 << max(0, value.bit_length() - 8)
        low = value - value % width
        counts[low, low + width] += 1
    return [(low, high, n) for (low, high), n in sorted(counts.items())], values


def nearest_rank(values: list[int], q: float) -> int:
    """The smallest value that at least a share q of all values does not exceed."""
    return next(v for i, v in enumerate(values, start=1) if i >= q * len(values) - 1e-9)


def test_a_quantile_is_the_nearest_rank_where_bins_are_exact() -> None:
    r = seeded()
    for _ in range(200):
        bins, values = histogram(r, r.randint(20, 3000), exact=True)
        q = r.choice([0.5, 0.9, 0.25, r.random()])
        got = stats.quantile_ns(bins, q)
        if got is not None:
            assert got == nearest_rank(values, q), (q, len(values))


def test_a_quantile_is_off_by_no_more_than_its_bin() -> None:
    r = seeded()
    for _ in range(200):
        bins, values = histogram(r, r.randint(1000, 5000), exact=False)
        for q in (0.5, 0.9, 0.99):
            got, true = stats.quantile_ns(bins, q), nearest_rank(values, q)
            assert got is not None
            low, high = next((low, high) for low, high, _ in bins if low <= true < high)
            assert low <= got < high
            assert abs(got - true) <= max(1, 0.008 * true)


def test_a_quantile_needs_10_samples_beyond_it() -> None:
    for q, needed in ((0.5, 20), (0.9, 100), (0.99, 1000), (0.999, 10_000)):
        for samples in (1, needed // 2, needed - 1):
            assert stats.quantile_ns([(5, 6, samples)], q) is None, (q, samples)
        for samples in (needed, needed + 1, 10 * needed):
            assert stats.quantile_ns([(5, 6, samples)], q) == 5, (q, samples)


def test_no_samples_have_no_quantile() -> None:
    assert stats.quantile_ns([], 0.5) is None
    assert stats.quantile_ns([(0, 1, 0)], 0.5) is None


def test_a_higher_quantile_is_never_smaller() -> None:
    r = seeded()
    for _ in range(100):
        bins, _ = histogram(r, 20_000, exact=False) if r.random() < 0.05 else histogram(r, 2000, exact=False)
        known = [v for q in (0.01, 0.1, 0.5, 0.9, 0.99, 0.999) if (v := stats.quantile_ns(bins, q)) is not None]
        assert known == sorted(known)


def test_empty_bins_change_no_quantile() -> None:
    assert stats.quantile_ns([(0, 1, 0), (5, 6, 100), (9, 10, 0)], 0.5) == stats.quantile_ns([(5, 6, 100)], 0.5) == 5


def test_histograms_add_up_as_their_samples_do() -> None:
    r = seeded()
    for _ in range(50):
        parts = [histogram(r, r.randint(0, 300), exact=False) for _ in range(r.randint(0, 4))]
        every = sorted(v for _, values in parts for v in values)
        total = stats.add_bins([bins for bins, _ in parts])
        assert total == sorted(total)
        assert len({(low, high) for low, high, _ in total}) == len(total)
        for low, high, count in total:
            assert count == sum(low <= v < high for v in every)
        assert sum(count for _, _, count in total) == len(every)


def test_adding_nothing_gives_nothing() -> None:
    assert stats.add_bins([]) == stats.add_bins([[], []]) == []


def test_a_median_does_not_depend_on_the_order() -> None:
    r = seeded()
    for _ in range(50):
        values = [r.uniform(0, 1e7) for _ in range(r.randint(1, 9))]
        below = sum(v < stats.median(values) for v in values)
        above = sum(v > stats.median(values) for v in values)
        assert below <= len(values) / 2 and above <= len(values) / 2
        assert stats.median(values) == stats.median(r.sample(values, len(values)))
