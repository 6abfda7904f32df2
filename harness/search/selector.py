# SPDX-License-Identifier: BSD-3-Clause
"""Which load a goal of MLRsearch wants measured next (CSIT's load selection as in the methodology, B2; RFC 9971 leaves
it open). Loads are indices of a grid.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.search.goal import Sample, Target, Verdict, classify
from harness.search.grid import Grid, middle

Samples = Mapping[int, Sequence[Sample]]


@dataclass(frozen=True)
class Bounds:
    """The relevant bounds of a target: the smallest upper bound, and the largest lower bound below it."""

    low: int | None
    high: int | None


def bounds(samples: Samples, target: Target) -> Bounds:
    verdicts = {index: classify(those, target) for index, those in samples.items()}
    high = min((i for i, v in verdicts.items() if v is Verdict.UPPER), default=None)
    low = max((i for i, v in verdicts.items() if v is Verdict.LOWER and (high is None or i < high)), default=None)
    return Bounds(low, high)


@dataclass
class Width:
    """The step of the last trial of any goal, which all goals share."""

    steps: int


@dataclass(frozen=True)
class Offer:
    """A trial that a goal wants. `grows`: "low" or "high" if the step grows when the load becomes that bound."""

    index: int
    duration_ns: int
    width: int
    grows: str = ""


class Selector:
    """The state of one goal."""

    def __init__(self, grid: Grid, chain: Sequence[Target], low: int, high: int, shared: Width, expansion: int) -> None:
        self._grid, self._chain, self._shared, self._expansion = grid, chain, shared, expansion
        self._stage = 0
        self._enter(low, high)

    @property
    def target(self) -> Target:
        return self._chain[self._stage]

    def _enter(self, low: int | None, high: int | None) -> None:
        """Begin with the target of this stage, knowing these bounds of the one before."""
        self._low, self._high = low, high
        known = high - low if low is not None and high is not None else 0
        self._next_width = max(self.target.width, known) * self._expansion

    def nominate(self, samples: Samples) -> Offer | None:
        """The trial to make for this goal; None: it is done."""
        while True:
            now = bounds(samples, self.target)
            for rule in self._rules(now):
                if offer := rule(now):
                    return offer
            if self._stage + 1 == len(self._chain):
                return None
            self._stage += 1
            self._enter(now.low, now.high)

    def measured(self, offer: Offer, samples: Samples) -> None:
        """This goal's offer was taken: larger steps next time, if it has found nothing yet."""
        now = bounds(samples, self.target)
        if offer.grows and offer.index == (now.low if offer.grows == "low" else now.high):
            self._next_width *= self._expansion
            self._shared.steps = self._next_width

    def _rules(self, now: Bounds) -> Iterator[Callable[[Bounds], Offer | None]]:
        """In the order of their rank."""
        yield self._halve
        yield lambda now: self._refine(self._low, now)
        yield lambda now: self._refine(self._high, now)
        if now.low is None:
            yield self._extend_low
        elif now.high is None:
            yield self._extend_high
        else:
            yield self._bisect

    def _width(self) -> int:
        return max(self._next_width, self._shared.steps)

    def _shrink(self, width: int) -> None:
        self._next_width = max(width, self.target.width) * self._expansion

    def _worthless(self, index: int | None, now: Bounds) -> bool:
        """Whether the bounds say already what a trial there could."""
        return (index is None or (now.low is not None and now.low >= index)
                or (now.high is not None and now.high <= index)
                or (now.low is not None and now.high is not None and now.high - now.low <= self.target.width))

    def _offer(self, index: int, width: int, grows: str = "") -> Offer:
        return Offer(index, self.target.duration_ns, width, grows)

    def _halve(self, now: Bounds) -> Offer | None:
        width = self.target.width
        if self._low is None or self._high is None or not width < self._high - self._low <= 2 * width:
            return None
        return self._refine(middle(self._low, self._high, width), now)

    def _refine(self, index: int | None, now: Bounds) -> Offer | None:
        if index is None or self._worthless(index, now):
            return None
        self._shrink(self.target.width)
        return self._offer(index, self.target.width)

    def _extend_low(self, now: Bounds) -> Offer | None:
        if not now.high:            # none, or the lowest load there is
            return None
        width = self._width()
        index = self._grid.limit(now.high - width, self.target.width, None, now.high)
        return None if index is None else self._offer(index, width, "high")

    def _extend_high(self, now: Bounds) -> Offer | None:
        assert now.low is not None
        if now.low >= self._grid.size:
            return None
        width = self._width()
        index = self._grid.limit(now.low + width, self.target.width, now.low, None)
        return None if index is None else self._offer(index, width, "low")

    def _bisect(self, now: Bounds) -> Offer | None:
        assert now.low is not None and now.high is not None
        low, high, goal, width = now.low, now.high, self.target.width, self._width()
        if high - low <= goal:
            return None
        half = middle(low, high, goal)
        if self._high is not None and half < self._high:
            index = self._grid.limit(high - width, goal, low, high)
            if index is not None and half < index < self._high:
                return self._offer(index, width, "high")
        if self._low is not None and half > self._low:
            index = self._grid.limit(low + width, goal, low, high)
            if index is not None and self._low < index < half:
                return self._offer(index, width, "low")
        width = min(half - low, high - half)
        self._shrink(width)
        return self._offer(half, width)
