# SPDX-License-Identifier: BSD-3-Clause
"""b2b: the longest burst at the highest rate that gets through without loss, and the buffer it tells of (RFC 9004).

A virtual port has no line rate: bursts go at burst_pps, and frames that a full port did not take count as lost. A burst
that the generator itself could not send as fast fills no buffer: it says `generator_limited`. The throughput that
corrects the buffer is that of an MLRsearch without loss, unless throughput_pps gives it.
"""

import statistics
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.errors import BadInput
from harness.schema import Field
from harness.search.base import Finding, Found, Kind, Result, flagged, no_rate, said, top_pps, union
from harness.search.goal import Goal
from harness.search.mlr import RANGE, controller, goal_results
from harness.search.settings import Search
from harness.trial import Request, Trial

NEAR_LIMIT = 0.98           # RFC 9004 section 6.2: a burst near the limit of the search is no result
GOAL = Goal("ndr", sum_s=11.0)      # of the throughput: no loss in most of 11 trials of 1 s


@dataclass(frozen=True)
class Options:
    """Keys of [search]. burst_pps 0: 1.5 times R+; throughput_pps 0: is searched for."""

    min_pps: float
    burst_pps: float
    throughput_pps: float
    burst_max_s: float
    step_frames: int
    searches: int


def b2b(search: Search, rplus: Result | None, with_latency: bool) -> Finding:
    options: Options = search.options
    rate_pps = top_pps(options.burst_pps, rplus)
    goal = said(burst_pps=rate_pps, burst_max_s=options.burst_max_s, step_frames=options.step_frames,
                searches=options.searches)
    if rate_pps <= options.min_pps:
        return no_rate("b2b_frames", rplus, goal)
    found = yield from _throughput(options, rate_pps)
    throughput_pps = options.throughput_pps or found.rates.get("ndr", 0.0)
    if throughput_pps >= rate_pps or any("capped" in r.flags for r in found.results):
        return Found([*found.results, Result("b2b_frames", None, "1", 0, flags=("capped",), goal=goal)], found.rates)
    bursts: list[int] = []
    trials: list[Trial] = []
    for _ in range(options.searches):
        bursts.append((yield from _longest(options, rate_pps, trials)))
    found.results += _results(options, rate_pps, throughput_pps, bursts, trials, goal)
    return found


def _throughput(options: Options, rate_pps: float) -> Finding:
    if options.throughput_pps:
        return Found()
    measured = yield from controller("throughput", [GOAL], options.min_pps, rate_pps, 1200.0)
    results = goal_results(measured, GOAL, "ndr")
    return Found(results, {"ndr": results[1].value} if results[1].value else {})


def _longest(options: Options, rate_pps: float, trials: list[Trial]) -> Generator[Request, Trial, int]:
    """Binary search over the frames of a burst, in steps; 0 if the smallest burst loses already."""
    low, high = 0, max(1, int(rate_pps * options.burst_max_s) // options.step_frames)
    while low < high:
        at = (low + high + 1) // 2
        trial = yield Request("b2b", rate_pps, at * options.step_frames / rate_pps)
        trials.append(trial)
        low, high = (at, high) if _clean(trial) else (low, at - 1)
    return low * options.step_frames


def _clean(trial: Trial) -> bool:
    """Nothing was lost, and whatever was not sent was not held up by a full port."""
    held_up = "backpressure" in trial.flags or (trial.counts.get("tx_full_ns") or 0) > 0
    return trial.status == "ok" and not trial.lost_count and not (trial.unsent_count and held_up)


def _results(options: Options, rate_pps: float, throughput_pps: float, bursts: Sequence[int], trials: Sequence[Trial],
             goal: str) -> list[Result]:
    """RFC 9004 section 6.4: the average is the result; extremes, deviation and buffer times belong to it."""
    mean, n = statistics.mean(bursts), len(bursts)
    spread = statistics.stdev(bursts) if n > 1 else None
    low, high = (min(bursts), max(bursts)) if n > 1 else (None, None)
    implied_s = mean / rate_pps
    corrected_s = implied_s * (1 - throughput_pps / rate_pps)
    flags = tuple(flag for flag in union([t.flags for t in trials]) if flag != "backpressure")     # is the point of it
    if any(t.status != "ok" for t in trials):
        return [Result("b2b_frames", None, "1", 0, flags=flags, status="invalid", goal=goal)]
    results = [Result("b2b_frames", float(mean), "1", n, low, high, flags, goal=goal),
               Result("b2b_frames_stdev", spread, "1", n, flags=flags, goal=goal),
               Result("b2b_implied_buffer_s", implied_s, "s", n, flags=flags, goal=goal),
               Result("b2b_buffer_s", corrected_s, "s", n, flags=flags, goal=goal)]
    if min(bursts) == 0:        # the smallest burst lost already: the answer is less than a step, not nothing
        results = flagged(results, "below_width")
    near = max(bursts) >= NEAR_LIMIT * rate_pps * options.burst_max_s
    return flagged([replace(r, value=None) for r in results], "capped") if near else results


def _options(where: str, table: Mapping[str, Any]) -> Options:
    for key in ("min_pps", "throughput_pps"):
        if table["burst_pps"] and table[key] >= table["burst_pps"]:
            raise BadInput(f"{where}: key '{key}' is {table[key]:g}: it must be below burst_pps = "
                           f"{table['burst_pps']:g}")
    return Options(*(table[key] for key in FIELDS))


FIELDS = {"min_pps": RANGE["min_pps"], "burst_pps": Field(float, 0.0, low=0, high=1e10),
          "throughput_pps": Field(float, 0.0, low=0, high=1e10),
          "burst_max_s": Field(float, 2.0, low=0.0001, high=3600),
          "step_frames": Field(int, 16, low=1, high=10**6), "searches": Field(int, 5, low=1, high=1000)}
KIND = Kind("b2b", b2b, lambda search: ("b2b_frames", "longest burst"), fields=FIELDS,
            defaults={"settle_s": 2.0}, options=_options, needs_rplus=lambda search: not search.options.burst_pps,
            bases=lambda search: ["ndr"], phases=("throughput", "b2b"))
