# SPDX-License-Identifier: BSD-3-Clause
"""mlr: MLRsearch (RFC 9971): the highest loads within several loss goals, in one search of many short trials.

The effective duration of a trial (section 4.5.8) is its duration. Unsent frames count as lost. A search that runs into
its limit of time, and one that finds no bound, give what they have, marked `irregular` (section 4.8.4.2).
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import BadInput
from harness.schema import Field, check_table
from harness.search.base import Finding, Found, Kind, Result, missing_count, no_rate, top_pps, union
from harness.search.goal import BILLION, Goal, Sample, Target, quantile_loss, targets
from harness.search.grid import Grid
from harness.search.selector import Bounds, Offer, Selector, Width, bounds
from harness.search.settings import Search
from harness.trial import Request, Trial

UNSTABLE_SHARE = 0.5        # a goal below this share of what was forwarded at all is no property of a switch's speed


@dataclass(frozen=True)
class Options:
    """Keys of [search]. Loads per direction; max_pps 0: 1.5 times R+."""

    min_pps: float
    max_pps: float
    search_max_s: float
    expansion: int
    goals: tuple[Goal, ...]


@dataclass
class Measured:
    """All trials of a search by load, and why it ended before it was done (a flag, or "")."""

    grid: Grid
    trials: dict[int, list[Trial]] = field(default_factory=dict)
    samples: dict[int, list[Sample]] = field(default_factory=dict)
    traffic_s: float = 0.0
    cut_short: str = ""
    invalid: tuple[str, ...] = ()       # the flags of the trial that stayed invalid, where that ended it

    def add(self, index: int, duration_ns: int, trial: Trial) -> Sample:
        sample = Sample(*missing_count(trial), duration_ns, duration_ns)
        self.trials.setdefault(index, []).append(trial)
        self.samples.setdefault(index, []).append(sample)
        self.traffic_s += duration_ns / BILLION * trial.request.attempt
        return sample


class _Cut(Exception):
    """The search ends before it is done; its argument is the flag that says why."""


Measuring = Generator[Request, Trial, Measured]


def controller(phase: str, goals: Sequence[Goal], min_pps: float, max_pps: float, search_max_s: float,
               expansion: int = 2) -> Measuring:
    """The trials of one search; `phase` is what they are called. Loads are given to the goal that wants the lowest."""
    grid = Grid(min_pps, max_pps, [g.width_ratio for g in goals])
    chains = [targets(g, grid.steps(g.width_ratio)) for g in goals]
    so_far = Measured(grid)

    def measure(index: int, duration_ns: int) -> Generator[Request, Trial, Sample]:
        if so_far.traffic_s + duration_ns / BILLION > search_max_s:
            raise _Cut("search_limit")
        trial = yield Request(phase, grid.load(index), duration_ns / BILLION)
        if trial.status != "ok":
            so_far.invalid = trial.flags
            raise _Cut("invalid")
        return so_far.add(index, duration_ns, trial)

    try:
        low, high = yield from _first(grid, chains, measure)
        width = Width(high - low)
        selectors = [Selector(grid, chain, low, high, width, expansion) for chain in chains]
        while offers := [(o, s) for s in selectors if (o := s.nominate(so_far.samples))]:
            offer, winner = min(offers, key=lambda pair: _rank(pair[0]))
            yield from measure(offer.index, offer.duration_ns)
            width.steps = offer.width
            winner.measured(offer, so_far.samples)
    except _Cut as why:
        so_far.cut_short = str(why)
    return so_far


def _rank(offer: Offer) -> tuple[int, int, int]:
    """The lowest load wins, then the longer trial, then the larger step; min() keeps the earlier goal."""
    return offer.index, -offer.duration_ns, -offer.width


def _first(grid: Grid, chains: Sequence[Sequence[Target]], measure: Any) -> Generator[Request, Trial, tuple[int, int]]:
    """Up to three trials that say about where the bounds are: at the highest load, at what it let through, and a step
    from there."""
    coarsest = [chain[0] for chain in chains]
    ratio = min(t.loss_ppb for t in coarsest) / BILLION
    duration_ns, width = max(t.duration_ns for t in coarsest), max(t.width for t in coarsest)

    def carried(index: int, sample: Sample) -> int:
        return grid.below(grid.load(index) * (1 - float(sample.loss)) / (1 - ratio))

    sample = yield from measure(grid.size, duration_ns)
    if sample.loss <= ratio or (at := carried(grid.size, sample)) >= grid.size:
        return grid.size, grid.size
    one = grid.limit(at, width, None, grid.size)
    assert one is not None
    sample = yield from measure(one, duration_ns)
    if sample.loss > ratio:
        other = grid.limit(carried(one, sample), width, None, one)
    else:
        other = grid.limit(one + width, width, one, grid.size)
    if other is None:
        return one, one
    yield from measure(other, duration_ns)
    return min(one, other), max(one, other)


# ---- results -------------------------------------------------------------------------------------------------------

def goal_results(measured: Measured, goal: Goal, name: str) -> list[Result]:
    """NAME_pps, the conditional throughput (appendix B), between the relevant bounds, which follow by themselves."""
    grid = measured.grid
    target = targets(goal, grid.steps(goal.width_ratio))[-1]
    now = bounds(measured.samples, target)
    low = None if now.low is None else grid.load(now.low)
    high = None if now.high is None else grid.load(now.high)
    value = None
    if now.low is not None:
        value = grid.load(now.low) * (1 - float(quantile_loss(measured.samples[now.low], target)))
    at_bounds = [t for i in (now.low, now.high) if i is not None for t in measured.trials[i]]
    flags = union([measured.invalid, *(t.flags for t in at_bounds)], _marks(measured, target, now))
    said = goal.said(min_pps=grid.min_pps, max_pps=grid.max_pps)
    status = "invalid" if measured.cut_short == "invalid" else "ok"
    n = 0 if now.low is None else len(measured.trials[now.low])
    ci_low = None if value is None or low is None or high is None else min(value, low)    # an interval has two ends
    return [Result(f"{name}_pps", value, "pps", n, ci_low, high, flags, status, said),
            Result(f"{name}_rlb_pps", low, "pps", n, flags=flags, status=status, goal=said),
            Result(f"{name}_rub_pps", high, "pps", 0 if now.high is None else len(measured.trials[now.high]),
                   flags=flags, status=status, goal=said)]


def _marks(measured: Measured, target: Target, now: Bounds) -> list[str]:
    """What there is to be said against the bounds."""
    flags = []
    if now.low is None or now.high is None or now.high - now.low > target.width:
        flags.append("irregular")
    if measured.cut_short == "search_limit":
        flags.append("search_limit")
    if now.low == measured.grid.size or _generator_is_the_limit(measured, target, now):
        flags.append("capped")
    if _unstable(measured, target, now):
        flags.append("unstable")
    return flags


def _generator_is_the_limit(measured: Measured, target: Target, now: Bounds) -> bool:
    """Whether the load above would be no upper bound if unsent frames, for which the port had room, were forgiven."""
    if now.high is None:
        return False
    forgiven = [replace(s, missing=t.lost_count, total=t.sent_count) if not t.tx_full_count else s
                for t, s in zip(measured.trials[now.high], measured.samples[now.high])]
    return bounds({now.high: forgiven}, target).high is None


def _unstable(measured: Measured, target: Target, now: Bounds) -> bool:
    """A higher load is clean where a lower one is not, or far more is forwarded than is forwarded without loss."""
    if now.high is None:
        return False
    above = {i: those for i, those in measured.samples.items() if i > now.high}
    if bounds(above, target).low is not None:
        return True
    best = max(measured.grid.load(i) * (1 - float(s.loss)) for i, those in measured.samples.items() for s in those)
    return measured.grid.load(now.high) * (1 - target.loss_ppb / BILLION) < UNSTABLE_SHARE * best


def indistinct(results: list[Result], goals: Sequence[Goal]) -> list[Result]:
    """Goals whose bounds are not even the larger width apart cannot be told from each other: `below_width`."""
    values = {r.metric: r.value for r in results}
    near: set[str] = set()
    for one in goals:
        for other in goals:
            a, b = values[f"{one.name}_rlb_pps"], values[f"{other.name}_rlb_pps"]
            if one != other and a and b and abs(a - b) <= max(a, b) * max(one.width_ratio, other.width_ratio):
                near.add(f"{one.name}_pps")
    return [Result(**{**vars(r), "flags": (*r.flags, "below_width")}) if r.metric in near else r for r in results]


def mlr(search: Search, rplus: Result | None, with_latency: bool) -> Finding:
    options: Options = search.options
    top = top_pps(options.max_pps, rplus)
    if top <= options.min_pps:
        return no_rate(f"{options.goals[0].name}_pps", rplus, options.goals[0].said())
    measured = yield from controller("mlr", options.goals, options.min_pps, top, options.search_max_s,
                                     options.expansion)
    results = [r for goal in options.goals for r in goal_results(measured, goal, goal.name)]
    rates = {r.metric.removesuffix("_rlb_pps"): r.value for r in results if r.metric.endswith("_rlb_pps") and r.value}
    count = sum(map(len, measured.trials.values()))
    traffic = Result("search_traffic_s", measured.traffic_s, "s", count)
    return Found([*indistinct(results, options.goals), traffic], rates)


# ---- the scenario's keys -------------------------------------------------------------------------------------------

RANGE = {
    "min_pps": Field(float, 10_000.0, low=1, high=1e10),
    "max_pps": Field(float, 0.0, low=0, high=1e10),
}
LIMITS = {
    **RANGE,
    "search_max_s": Field(float, 1200.0, low=1, high=1e6),
    "expansion": Field(int, 2, low=1, high=64),
}
GOAL = {
    "loss_ratio": Field(float, 0.0, low=0, high=0.99),
    "exceed_ratio": Field(float, 0.5, low=0, high=0.99),
    "initial_s": Field(float, 1.0, low=0.01, high=86_400),
    "final_s": Field(float, 1.0, low=0.01, high=86_400),
    "sum_s": Field(float, 21.0, low=0.01, high=1e6),
    "width_ratio": Field(float, 0.005, low=0.00001, high=0.5),
    "preceding": Field(int, 2, low=0, high=8),
}
DEFAULT_GOALS: Mapping[str, Mapping[str, float]] = {"ndr": {"loss_ratio": 0.0}, "pdr": {"loss_ratio": 0.005}}


def check_range(where: str, table: Mapping[str, Any]) -> None:
    if table["max_pps"] and table["max_pps"] <= table["min_pps"]:
        raise BadInput(f"{where}: key 'max_pps' is {table['max_pps']:g}: it must be above min_pps = "
                       f"{table['min_pps']:g}, or 0 for 1.5 times R+")


def _options(where: str, table: Mapping[str, Any]) -> Options:
    check_range(where, table)
    if table["goals"] == {}:
        raise BadInput(f"{where}: [goals] is empty: leave it out for ndr and pdr, or add [search.goals.NAME]")
    asked = DEFAULT_GOALS if table["goals"] is None else table["goals"]
    goals = tuple(_goal(f"{where[:-1]}.goals.{name}]", name, of) for name, of in asked.items())
    return Options(table["min_pps"], table["max_pps"], table["search_max_s"], table["expansion"], goals)


def _goal(where: str, name: str, table: Any) -> Goal:
    if not name.isidentifier() or name in ("rplus", "rx", "search"):
        raise BadInput(f"{where}: '{name}' cannot be the name of a goal: it must be a word of letters, digits and '_', "
                       "and none of rplus, rx, search")
    goal = Goal(name, **check_table(where, table, GOAL))
    if goal.sum_s < goal.final_s:
        raise BadInput(f"{where}: key 'sum_s' is {goal.sum_s:g}: it must hold at least one trial of final_s = "
                       f"{goal.final_s:g}")
    if goal.initial_s > goal.final_s:
        raise BadInput(f"{where}: key 'initial_s' is {goal.initial_s:g}: it must not be above final_s = "
                       f"{goal.final_s:g}")
    return goal


def _bases(search: Search) -> list[str]:
    return [goal.name for goal in search.options.goals]


def _headline(search: Search) -> tuple[str, str]:
    goal = search.options.goals[0]
    return f"{goal.name}_pps", f"{goal.name.upper()} (loss {goal.loss_ratio:g})"


KIND = Kind("mlr", mlr, _headline, fields={**LIMITS, "goals": Field(dict)}, options=_options,
            needs_rplus=lambda search: not search.options.max_pps, bases=_bases)
