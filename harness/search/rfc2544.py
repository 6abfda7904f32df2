# SPDX-License-Identifier: BSD-3-Clause
"""rfc2544: the highest load without any loss in trials of 60 s (RFC 2544 section 26.1), by MLRsearch with the goal of
RFC 9971 section 4.10.2, with the waits of RFC 2544 section 23 around every trial.

The figure is called rfc2544_throughput_pps only where trials and waits are as long as the RFC asks for; else ndr_pps.
On a machine that is shared it measures the machine's stalls rather than the switch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.schema import Field
from harness.search.base import Finding, Found, Kind, Result, no_rate, top_pps
from harness.search.goal import Goal
from harness.search.mlr import GOAL, RANGE, check_range, controller, goal_results
from harness.search.settings import Search

TRIAL_S, DRAIN_S, SETTLE_S = 60.0, 2.0, 5.0     # sections 24, 23 d, 23 e


@dataclass(frozen=True)
class Options:
    """Keys of [search]."""

    min_pps: float
    max_pps: float
    width_ratio: float
    search_max_s: float


def _goal(search: Search) -> Goal:
    return Goal("ndr", 0.0, 0.0, search.trial_s, search.trial_s, search.trial_s, search.options.width_ratio, 0)


def _metric(search: Search) -> str:
    whole = search.trial_s >= TRIAL_S and search.drain_s >= DRAIN_S and search.settle_s >= SETTLE_S
    return "rfc2544_throughput" if whole else "ndr"


def rfc2544(search: Search, rplus: Result | None, with_latency: bool) -> Finding:
    options: Options = search.options
    goal, name, top = _goal(search), _metric(search), top_pps(options.max_pps, rplus)
    if top <= options.min_pps:
        return no_rate(f"{name}_pps", rplus, goal.said())
    measured = yield from controller("rfc2544", [goal], options.min_pps, top, options.search_max_s)
    results = goal_results(measured, goal, name)
    traffic = Result("search_traffic_s", measured.traffic_s, "s", sum(map(len, measured.trials.values())))
    low = results[1].value
    return Found([*results, traffic], {"ndr": low} if low else {})


def _options(where: str, table: Mapping[str, Any]) -> Options:
    check_range(where, table)
    return Options(table["min_pps"], table["max_pps"], table["width_ratio"], table["search_max_s"])


KIND = Kind("rfc2544", rfc2544, lambda search: (f"{_metric(search)}_pps", "throughput without loss"),
            fields={**RANGE, "width_ratio": GOAL["width_ratio"],
                    "search_max_s": Field(float, 7200.0, low=1, high=1e6)},
            defaults={"trial_s": TRIAL_S, "drain_s": DRAIN_S, "settle_s": SETTLE_S}, options=_options,
            needs_rplus=lambda search: not search.options.max_pps, bases=lambda search: ["ndr"])
