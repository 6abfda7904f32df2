# SPDX-License-Identifier: BSD-3-Clause
"""What all searches share: the contract of a kind of search, a result, and figures of several trials.

A search is a pure generator: it yields a Request, is sent the Trial, and returns what it found. It never sees the
testbed.
"""

import statistics
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness import stats
from harness.schema import Field
from harness.search.settings import Search
from harness.trial import SHORT_RATIO, Request, Trial

UNSTABLE_RATIO = 0.02       # methodology D.3: R+ of a stable machine varies less (coefficient of variation)
ABOVE_RPLUS = 1.5           # where no max_pps is given, loads go up to so many times R+


@dataclass(frozen=True)
class Result:
    """One figure of a cell. `value` None: it could not be had, `flags` say why."""

    metric: str
    value: float | None
    unit: str
    n: int                          # trials behind it
    ci_low: float | None = None     # with fewer than 6 trials: the lowest and highest trial; of a search: its bounds
    ci_high: float | None = None
    flags: tuple[str, ...] = ()
    status: str = "ok"
    goal: str = ""                  # what was searched for: "key=value;..." with all attributes


@dataclass
class Found:
    """What a search gives: figures, and rates by name for latency trials at fractions of them."""

    results: list[Result] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)


Steps = Generator[Request, Trial, list[Result]]
Finding = Generator[Request, Trial, Found]


@dataclass(frozen=True)
class Kind:
    """A kind of search, one file each.

    `find(search, rplus, with_latency)`: the search itself; `rplus` is the result of the R+ trials before it, or None if
    it did not ask for them. `fields`: its own keys of [search]; `defaults`: other defaults for the keys of all kinds.
    `options(where, table)` makes Search.options of its own keys, BadInput where they make no sense together.
    """

    name: str
    find: Callable[[Search, Result | None, bool], Finding]
    headline: Callable[[Search], tuple[str, str]]           # metric that stands for a cell, and its name for people
    fields: Mapping[str, Field] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    options: Callable[[str, Mapping[str, Any]], Any] = lambda where, table: None
    needs_rplus: Callable[[Search], bool] = lambda search: False
    bases: Callable[[Search], Sequence[str]] = lambda search: ()    # further rates that latency can be measured at
    phases: tuple[str, ...] = ()    # what its trials are called; default: its name
    given_rates: bool = False       # takes rate_pps
    own_latency: bool = False       # its trials give latency themselves


def of_trials(metric: str, unit: str, trials: Sequence[Trial], values: Sequence[float | None],
              more_flags: Sequence[str] = ()) -> Result:
    """Median and range over the valid trials that have a value."""
    good = [v for t, v in zip(trials, values) if t.status == "ok" and v is not None]
    flags = union([t.flags for t in trials], more_flags)
    if not good:
        invalid = any(t.status != "ok" for t in trials)
        return Result(metric, None, unit, 0, flags=flags, status="invalid" if invalid else "ok")
    low, high = (min(good), max(good)) if len(good) > 1 else (None, None)
    return Result(metric, stats.median(good), unit, len(good), low, high, flags)


def varies(rates: Sequence[float]) -> bool:
    """More than on a steady machine (methodology D.3). Two rates do not tell."""
    return len(rates) > 2 and statistics.stdev(rates) > UNSTABLE_RATIO * statistics.mean(rates)


def union(parts: Sequence[Sequence[str]], more: Sequence[str] = ()) -> tuple[str, ...]:
    """Flags of several things, each once."""
    return tuple(dict.fromkeys(flag for part in (*parts, more) for flag in part))


def losses(at: str, trials: Sequence[Trial]) -> list[Result]:
    """Lost of sent, and lost or unsent of all that was to be sent, where that is known."""
    lost = of_trials(f"loss_ratio@{at}", "1", trials, [t.loss_ratio for t in trials])
    return [lost] if all(t.unsent_count is None for t in trials) else [lost, missing(at, trials)]


def missing(at: str, trials: Sequence[Trial]) -> Result:
    return of_trials(f"missing_ratio@{at}", "1", trials, [missing_ratio(t) for t in trials])


def missing_count(trial: Trial) -> tuple[int, int]:
    """(frames that did not get through, frames that should have): unsent counts as lost, since to a search it does not
    matter whether the switch dropped a frame or did not take it (methodology B2)."""
    unsent = max(0, trial.unsent_count or 0)
    return trial.lost_count + unsent, trial.sent_count + unsent


def by_generator(trials: Sequence[Trial]) -> bool:
    """Whether the generator set the rate of most of the valid trials: next to nothing was lost, and the port always had
    room, so that the switch may take more than it was given."""
    good = [t for t in trials if t.status == "ok"]
    return 2 * sum(not t.tx_full_count and (t.loss_ratio or 0.0) <= SHORT_RATIO for t in good) > len(good)


def missing_ratio(trial: Trial) -> float | None:
    missing, total = missing_count(trial)
    return missing / total if total else None


def fraction(ratio: float, base: str) -> str:
    """0.5 -> "0.50rplus"; more digits only where two do not tell."""
    short = f"{ratio:.2f}"
    return (short if float(short) == ratio else repr(ratio)) + base


def rate(rate_pps: float | None) -> str:
    """1e6 -> "1000000pps"."""
    return "replay" if rate_pps is None else f"{rate_pps:.12g}pps"


def no_rate(metric: str, rplus: Result | None, goal: str = "") -> Found:
    """Nothing can be searched, for nothing came through under saturating load."""
    assert rplus
    status = rplus.status if rplus.status != "ok" else "invalid"
    return Found([Result(metric, None, "pps", 0, flags=rplus.flags, status=status, goal=goal)])


def top_pps(max_pps: float, rplus: Result | None) -> float:
    """The highest load to try: as given, else above R+; 0 if there is none."""
    return max_pps or ABOVE_RPLUS * ((rplus and rplus.value) or 0.0)


def said(**attributes: object) -> str:
    """For Result.goal."""
    return ";".join(f"{key}={value}" for key, value in attributes.items())


def flagged(results: Sequence[Result], flag: str) -> list[Result]:
    return [replace(r, flags=union([r.flags], [flag])) for r in results]
