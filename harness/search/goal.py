# SPDX-License-Identifier: BSD-3-Clause
"""Goals of MLRsearch (RFC 9971 sections 4.6 and 6, appendices A and B): what all trials at one load say of that load.

In integers: nanoseconds, frames, loss in parts per billion, exceed ratio in parts per million. Floating point leaves
residues here that make a rate of nothing out of a clean load.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from fractions import Fraction

from harness.search.base import said

BILLION, MILLION = 10**9, 10**6


class Verdict(Enum):
    """Of a load: what it is a bound of."""

    LOWER = "lower"
    UPPER = "upper"
    UNDECIDED = "undecided"


@dataclass(frozen=True)
class Goal:
    """The attributes of RFC 9971 section 4.6, and how often a coarser goal comes before it. Times in seconds."""

    name: str
    loss_ratio: float = 0.0
    exceed_ratio: float = 0.5
    initial_s: float = 1.0
    final_s: float = 1.0
    sum_s: float = 21.0
    width_ratio: float = 0.005
    preceding: int = 2

    def said(self, **more: object) -> str:
        """All attributes, for a result."""
        return said(**{key: value for key, value in asdict(self).items() if key != "name"}, **more)


@dataclass(frozen=True)
class Target:
    """A goal, or a coarser one before it, in integers. `width` in steps of the grid."""

    loss_ppb: int
    exceed_ppm: int
    duration_ns: int
    sum_ns: int
    width: int


@dataclass(frozen=True)
class Sample:
    """A trial as the goals see it. `missing` frames of `total` did not get through; `effective_ns` is its weight."""

    missing: int
    total: int
    duration_ns: int
    effective_ns: int

    @property
    def loss(self) -> Fraction:
        return Fraction(self.missing, self.total) if self.total else Fraction(0)


def classify(samples: Iterable[Sample], target: Target) -> Verdict:
    """What the samples of one load make it. Their order does not matter."""
    sums = {(full, high): 0 for full in (True, False) for high in (True, False)}
    for s in samples:
        high = s.missing * BILLION > target.loss_ppb * s.total
        sums[s.duration_ns >= target.duration_ns, high] += s.effective_ns
    exceed, rest = target.exceed_ppm, MILLION - target.exceed_ppm
    good = sums[True, False] * rest
    bad = sums[True, True] * rest + max(0, sums[False, True] * rest - sums[False, False] * exceed)
    whole = max(good + bad, target.sum_ns * rest)
    optimistic = bad * MILLION <= whole * exceed
    pessimistic = (whole - good) * MILLION <= whole * exceed
    if optimistic != pessimistic:
        return Verdict.UNDECIDED
    return Verdict.LOWER if optimistic else Verdict.UPPER


def quantile_loss(samples: Sequence[Sample], target: Target) -> Fraction:
    """The loss ratio of appendix B: that of the worst trial which the exceed ratio does not forgive; time that was not
    measured counts as loss of everything."""
    full = sorted((s for s in samples if s.duration_ns >= target.duration_ns), key=lambda s: s.loss)
    left = max(target.sum_ns, sum(s.effective_ns for s in full)) * (MILLION - target.exceed_ppm)
    for s in full:
        left -= s.effective_ns * MILLION
        if left <= 0:
            return s.loss
    return Fraction(1)


def targets(goal: Goal, width: int) -> list[Target]:
    """The goal's chain, coarsest first. `width`: of the goal, in steps of the grid."""
    chain = []
    scale = (goal.initial_s / goal.sum_s) ** (1 / goal.preceding) if goal.preceding else 1.0
    for k in range(goal.preceding, -1, -1):
        sum_s = goal.initial_s if k and k == goal.preceding else goal.sum_s * scale**k
        duration_s = min(goal.final_s, sum_s) if k else goal.final_s
        chain.append(Target(round(goal.loss_ratio * BILLION), round(goal.exceed_ratio * MILLION), _ns(duration_s),
                            _ns(sum_s), width * 2**k))
    return chain


def _ns(seconds: float) -> int:
    return round(seconds * BILLION)
