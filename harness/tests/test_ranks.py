# SPDX-License-Identifier: BSD-3-Clause
"""Rank statistics against SciPy's tests, against counting by hand, and against what an interval promises."""

import itertools
import math

import pytest
from scipy import stats as scipy_stats

from harness import ranks
from harness.tests.support import seeded

PAIRED_K = {6: 0, 7: 2, 8: 3, 9: 5, 10: 8, 12: 13, 15: 25, 20: 52}      # tables of the signed-rank statistic, 95 %
UNPAIRED_K = {4: 0, 5: 2, 6: 5, 7: 8, 8: 13, 9: 17, 10: 23, 12: 37, 15: 64, 20: 127}


@pytest.mark.parametrize("n, k", PAIRED_K.items())
def test_the_paired_interval_ends_at_the_tabulated_walsh_averages(n: int, k: int) -> None:
    shift = ranks.paired([3.0 ** i for i in range(n)])
    assert shift.interval() == (shift.points[k], shift.points[-1 - k])


@pytest.mark.parametrize("n, k", UNPAIRED_K.items())
def test_the_unpaired_interval_ends_at_the_tabulated_differences(n: int, k: int) -> None:
    shift = ranks.unpaired([3.0 ** i for i in range(n)], [2.9 ** i for i in range(n)])
    assert shift.interval() == (shift.points[k], shift.points[-1 - k])


def test_too_few_values_have_no_interval() -> None:
    assert ranks.paired([1.0, 2.0, 3.0, 4.0, 5.0]).interval() is None
    assert ranks.unpaired([1.0, 2.0, 3.0], [7.0, 8.0, 9.0]).interval() is None
    assert ranks.paired([1.0]).interval() is None and ranks.paired([1.0]).p_zero() == 1.0


def test_p_values_are_those_of_scipy() -> None:
    r = seeded()
    for _ in range(300):
        n, m = r.randint(2, 14), r.randint(2, 14)
        a = [r.gauss(0, 1) for _ in range(n)]
        b = [r.gauss(r.uniform(-1, 1), 1) for _ in range(m)]
        assert ranks.paired(a).p_zero() == pytest.approx(scipy_stats.wilcoxon(a, method="exact").pvalue)
        assert ranks.paired(a).p_above(-0.5) == pytest.approx(
            scipy_stats.wilcoxon([x + 0.5 for x in a], method="exact", alternative="greater").pvalue)
        shift = ranks.unpaired(a, b)
        assert shift.p_zero() == pytest.approx(scipy_stats.mannwhitneyu(b, a, method="exact").pvalue)
        assert shift.p_below(0.3) == pytest.approx(
            scipy_stats.mannwhitneyu([y - 0.3 for y in b], a, method="exact", alternative="less").pvalue)


def test_the_null_distributions_are_those_of_counting_all_cases() -> None:
    for n in range(1, 9):
        sums = [sum(i for i, sign in enumerate(signs, start=1) if sign)
                for signs in itertools.product((0, 1), repeat=n)]
        for k, p in enumerate(ranks._signed_rank(n)):
            assert p == pytest.approx(sum(s <= k for s in sums) / 2 ** n)
    for n, m in itertools.product(range(1, 5), range(1, 6)):
        us = [sum(i - j for j, i in enumerate(places)) for places in itertools.combinations(range(n + m), n)]
        for k, p in enumerate(ranks._mann_whitney(n, m)):
            assert p == pytest.approx(sum(u <= k for u in us) / math.comb(n + m, n))


def test_p_value_and_interval_never_contradict_each_other() -> None:
    """Also where values are equal, as those of a search on a grid are."""
    r = seeded()
    for _ in range(500):
        n, m = r.randint(4, 12), r.randint(4, 12)
        values = [round(r.gauss(0.4, 1), r.choice([0, 1, 9])) for _ in range(n + m)]
        for shift in (ranks.paired(values[:n]), ranks.unpaired(values[:n], values[n:])):
            if (interval := shift.interval()) is None:
                assert shift.p_zero() > ranks.ALPHA
                continue
            low, high = interval
            assert (shift.p_zero() <= ranks.ALPHA) == (low > 0 or high < 0)
            assert (shift.p_within(1.0) <= ranks.ALPHA) == (low > -1 and high < 1)
            assert low <= shift.estimate <= high


def test_equal_samples_have_no_shift() -> None:
    for shift in (ranks.paired([0.0] * 10), ranks.unpaired([2.0] * 10, [2.0] * 10)):
        assert (shift.estimate, shift.interval(), shift.p_zero()) == (0.0, (0.0, 0.0), 1.0)
        assert shift.p_within(0.01) < ranks.ALPHA


def test_intervals_hold_the_true_shift_as_often_as_promised() -> None:
    """Skewed noise: one value in five is far too low."""
    r = seeded()
    held = {"paired": 0, "unpaired": 0}
    for _ in range(1500):
        a, b = ([r.gauss(0, 1) - (10 if r.random() < 0.2 else 0) for _ in range(10)] for _ in range(2))
        for name, shift in (("paired", ranks.paired([y + 3 - x for x, y in zip(a, b)])),
                            ("unpaired", ranks.unpaired(a, [y + 3 for y in b]))):
            low, high = shift.interval() or (math.nan, math.nan)
            held[name] += low <= 3 <= high
    for count in held.values():
        assert 0.93 < count / 1500 < 0.985       # promised: at least 0.95; four standard errors


def test_the_fewest_values_that_can_tell() -> None:
    assert ranks.fewest(0.05, is_paired=True) == 6 and ranks.fewest(0.05, is_paired=False) == 4
    for alpha in (0.05, 0.01, 0.05 / 16):
        n = ranks.fewest(alpha, is_paired=True)
        assert ranks.paired([1.0] * n).p_zero() <= alpha < ranks.paired([1.0] * (n - 1)).p_zero()
        n = ranks.fewest(alpha, is_paired=False)
        assert ranks.unpaired([1.0] * n, [2.0] * n).p_zero() <= alpha
        assert ranks.unpaired([1.0] * (n - 1), [2.0] * (n - 1)).p_zero() > alpha


def test_holm_by_hand() -> None:
    assert ranks.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert ranks.holm([]) == [] and ranks.holm([0.2]) == [0.2] and ranks.holm([0.9, 0.8]) == [1.0, 1.0]
