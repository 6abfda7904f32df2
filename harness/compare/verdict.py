# SPDX-License-Identifier: BSD-3-Clause
"""What the blocks of two cells say of each other. Pure.

The unit is the block: a fresh start of the switch. Values are compared as ratios, on logarithms: in one run, whose
blocks hold both sides, by pairs within each block (signed ranks); of two runs, which have no blocks in common, without
pairs (Mann-Whitney), and with an interval that is widened by what the machine itself changed between them, as their
anchors show it (blocks.py). A verdict over all rows of a comparison is wrong in at most 5 % of comparisons (Holm's
correction):

    equivalent      the whole interval lies within the margin, never narrower than the search that gave the value
    faster, slower  the interval does not hold 1, and is not within the margin
    capped          what limits the value is the tester, so that nothing can be said of the switch
    inconclusive    none of these; `more_blocks` is how many more would probably do
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness import ranks
from harness.results import Value, width_ratio

# Differences up to this do not matter, unless told otherwise. With BLOCKS blocks 1 % is too narrow to show that equal
# versions are equal (`make bench-search`).
MARGIN = 0.02
BLOCKS = 14                 # the fewest that meet figure 2 of `make bench-search`
CAPPING = ("lower_bound", "generator_limited", "capped", "not_saturated")    # flags: not the switch set the value
MORE_MAX = 1000             # above this the number of further blocks is no help
FASTER, SLOWER, EQUIVALENT, INCONCLUSIVE, CAPPED = "faster", "slower", "equivalent", "inconclusive", "capped"
BOOTSTRAPS, BOOTSTRAP_SEED = 9999, 1


@dataclass(frozen=True)
class Pair:
    """One figure of one cell on both sides, by block. `reason`: why it cannot be compared; empty if it can."""

    cell: str                       # the cell's id, without its switch where the sides are one switch each
    metric: str
    columns: Mapping[str, str]      # that describe the cell
    a: Mapping[int, Value]
    b: Mapping[int, Value]
    paired: bool                    # blocks of one run
    reason: str = ""
    drift: tuple[float, float] = (0.0, 0.0)     # how far the machine moved from A to B, at least and at most: logarithms
    switch: str = ""                # the same on both sides, where each has several


@dataclass(frozen=True)
class Row:
    """The result. ratio is B / A, its interval of 95 % confidence for this row alone; p values are of "no difference",
    for this row alone and adjusted for all rows. None where there is none."""

    pair: Pair
    n_a: int
    n_b: int
    median_a: float | None
    median_b: float | None
    ratio: float | None
    ci_low: float | None
    ci_high: float | None
    p_raw: float
    p_within_raw: float
    p_adjusted: float
    p_within_adjusted: float
    verdict: str
    reason: str
    more_blocks: int | None
    median_ratio: float | None
    median_ratio_low: float | None
    median_ratio_high: float | None
    cv_a: float | None
    cv_b: float | None
    flags: tuple[str, ...]
    margin: float                   # as asked for, or the width of the search, where that is more

    @property
    def better(self) -> str:
        return better(self.pair.metric)

    @property
    def method(self) -> str:
        return "signed-rank" if self.pair.paired else "mann-whitney"


def better(metric: str) -> str:
    """"higher" for rates and bursts; "lower" for latency, loss, and what a packet costs; empty for what is neither."""
    name = metric.partition("@")[0]
    low = ("latency_", "loss", "lossy_", "missing_", "reorder", "pdv_", "ipdv_", "departure_gap", "replay_gap_error_")
    if name.startswith(low) or "_loss_" in name or name.endswith("_per_packet"):
        return "lower"
    return "higher" if name.endswith("_pps") or name == "b2b_frames" else ""


def judge(pairs: Sequence[Pair], margin: float = MARGIN, cross_check: bool = True) -> list[Row]:
    """A row for each pair, with verdicts over all of them but those that too few blocks leave undecided anyway."""
    measured = [_measure(pair, margin, cross_check) for pair in pairs]
    rows = [row for row, _ in measured]
    shifts = {i: shift for i, (_, shift) in enumerate(measured) if shift}
    tested = [i for i in shifts if min(rows[i].n_a, rows[i].n_b) >= ranks.fewest(ranks.ALPHA, rows[i].pair.paired)]
    differ = ranks.holm([rows[i].p_raw for i in tested])
    within = ranks.holm([rows[i].p_within_raw for i in tested])
    for i, p, q in zip(tested, differ, within):
        rows[i] = replace(rows[i], p_adjusted=p, p_within_adjusted=q)
    for i, shift in shifts.items():
        rows[i] = _judged(rows[i], shift, len(tested) if i in tested else 1)
    return rows


def _measure(pair: Pair, margin: float, cross_check: bool) -> tuple[Row, ranks.Shift | None]:
    """Everything but the verdict; no Shift where there is nothing to compare."""
    a, b = _good(pair.a), _good(pair.b)
    reason = pair.reason or _why_not(pair, a, b)
    margin = max(margin, _width(pair))
    if pair.paired and not reason:
        blocks = sorted(a.keys() & b.keys())
        a, b = {k: a[k] for k in blocks}, {k: b[k] for k in blocks}
        reason = "" if blocks else "A and B have values in different blocks only"
    flags = tuple(dict.fromkeys(f for v in (*pair.a.values(), *pair.b.values()) for f in v.flags))
    row = Row(pair, len(a), len(b), _median(a), _median(b), None, None, None, 1.0, 1.0, 1.0, 1.0, INCONCLUSIVE,
              reason, None, None, None, None, _cv(a), _cv(b), flags, margin)
    if reason:
        return row, None
    logs_a, logs_b = ([math.log(v) for _, v in sorted(side.items())] for side in (a, b))
    shift = ranks.paired([y - x for x, y in zip(logs_a, logs_b)]) if pair.paired else ranks.unpaired(logs_a, logs_b)
    low, high = shift.interval() or (None, None)
    assert row.median_a and row.median_b
    checked = _bootstrap(pair.paired, logs_a, logs_b) if cross_check else (None, None)
    least, most = pair.drift
    return replace(row, ratio=math.exp(shift.estimate), ci_low=_exp(low, most), ci_high=_exp(high, least),
                   p_raw=shift.p_zero(least, most), p_within_raw=shift.p_within(math.log1p(margin), least, most),
                   median_ratio=row.median_b / row.median_a, median_ratio_low=checked[0],
                   median_ratio_high=checked[1]), shift


def _width(pair: Pair) -> float:
    """Below the width of a search nothing can be told."""
    return max((width_ratio(v) for side in (pair.a, pair.b) for v in side.values()), default=0.0)


def _why_not(pair: Pair, a: Mapping[int, float], b: Mapping[int, float]) -> str:
    """The reason if there are no values to compare."""
    if not better(pair.metric):
        return f"more of {pair.metric} is neither better nor worse"
    for name, side, values in (("A", pair.a, a), ("B", pair.b, b)):
        if not values:
            bad = next((v for v in side.values() if v.status != "ok"), None)
            zero = any(v.value is not None and v.value <= 0 for v in side.values())
            return f"{name} has no value" + (f": {bad.status}: {bad.reason}" if bad else
                                             ": 0 has no ratio" if zero else "")
    return ""


def _judged(row: Row, shift: ranks.Shift, tests: int) -> Row:
    faster = (shift.estimate > 0) == (row.better == "higher")
    capped_a, capped_b = _capped(row.pair.a), _capped(row.pair.b)
    if capped_a or capped_b:
        # a capped side is at least so fast: the other one may be shown to be faster than what it was, no more
        outdone = capped_a != capped_b and row.p_adjusted <= ranks.ALPHA and faster == capped_b
        if not outdone:
            who = "both sides are" if capped_a and capped_b else f"{'A' if capped_a else 'B'} is"
            return replace(row, verdict=CAPPED, reason=f"{who} {_ceiling(row)}")
        return replace(row, verdict=FASTER if faster else SLOWER, reason=f"at least: one side is {_ceiling(row)}")
    if row.p_within_adjusted <= ranks.ALPHA:
        return replace(row, verdict=EQUIVALENT)
    if row.p_adjusted <= ranks.ALPHA:
        return replace(row, verdict=FASTER if faster else SLOWER)
    more, why = _needed(row, shift, math.log1p(row.margin), ranks.ALPHA / tests)
    return replace(row, more_blocks=more, reason=why)


def _ceiling(row: Row) -> str:
    per_packet = row.pair.metric.partition("@")[0].endswith("_per_packet")
    return "not saturated: an upper bound" if per_packet else "at the tester's own ceiling"


def _needed(row: Row, shift: ranks.Shift, margin: float, alpha: float) -> tuple[int | None, str]:
    """How many more blocks would probably give a verdict, and why there is none now. The interval's width falls with
    the root of their number; it must come to exclude 1, or to fit into the margin, whichever is nearer."""
    n, fewest = min(row.n_a, row.n_b), ranks.fewest(alpha, row.pair.paired)
    if n < fewest:
        only = f"{n} block{'s'[:n > 1]}"
        many = "" if alpha == ranks.ALPHA else f" among {round(ranks.ALPHA / alpha)} rows"
        return fewest - n, f"only {only}: a verdict{many} takes at least {fewest}"
    low, high = shift.interval(alpha) or (min(shift.points), max(shift.points))
    half, off = (high - low) / 2, abs(shift.estimate)
    least, most = row.pair.drift
    if most - least > margin:
        return None, (f"the machine itself moved between the runs, by {math.exp(least):.3f} to {math.exp(most):.3f} "
                      "(anchor): measure both in one run")
    targets = [t for t in (off, margin - off) if t > 0]
    needed = math.ceil(n * (half / max(targets)) ** 2) if targets else MORE_MAX + n + 1
    more = max(1, needed - n)
    why = "the interval holds both no difference and one that matters"
    if min(row.p_raw, row.p_within_raw) <= ranks.ALPHA:
        p = row.p_adjusted if row.p_raw <= ranks.ALPHA else row.p_within_adjusted
        why = f"not significant among {round(ranks.ALPHA / alpha)} rows (p = {p:.2g})"
    return (more if more <= MORE_MAX else None), why


def _good(side: Mapping[int, Value]) -> dict[int, float]:
    return {block: v.value for block, v in side.items() if v.status == "ok" and v.value is not None and v.value > 0}


def _capped(side: Mapping[int, Value]) -> bool:
    """Most of its blocks were set by the tester."""
    good = [v for v in side.values() if v.value is not None]
    return 2 * sum(any(flag in CAPPING for flag in v.flags) for v in good) > len(good)


def _median(side: Mapping[int, float]) -> float | None:
    return statistics.median(side.values()) if side else None


def _cv(side: Mapping[int, float]) -> float | None:
    """Coefficient of variation between blocks."""
    return statistics.stdev(side.values()) / statistics.mean(side.values()) if len(side) > 1 else None


def _exp(value: float | None, drift: float) -> float | None:
    return None if value is None else math.exp(value - drift)


def _bootstrap(paired: bool, a: Sequence[float], b: Sequence[float]) -> tuple[float | None, float | None]:
    """Percentile interval of the ratio of medians: a cross-check, no verdict rests on it."""
    if min(len(a), len(b)) < 4:
        return None, None
    import numpy                    # these take half a second, which commands that compare nothing do not spend
    from scipy import stats

    def ratio(x: Any, y: Any, axis: int = -1) -> Any:
        return numpy.median(y, axis=axis) - numpy.median(x, axis=axis)
    done = stats.bootstrap((a, b), ratio, n_resamples=BOOTSTRAPS, vectorized=True, paired=paired, method="percentile",
                           random_state=BOOTSTRAP_SEED)
    return math.exp(done.confidence_interval.low), math.exp(done.confidence_interval.high)


def exit_status(rows: Sequence[Row]) -> int:
    """3: something is slower; 4: something is not decided, or nothing could be; 0 otherwise."""
    verdicts = {row.verdict for row in rows}
    if SLOWER in verdicts:
        return 3
    return 4 if INCONCLUSIVE in verdicts or not verdicts - {CAPPED} else 0
