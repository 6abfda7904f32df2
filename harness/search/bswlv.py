# SPDX-License-Identifier: BSD-3-Clause
"""bswlv: Binary Search with Loss Verification (ETSI GS NFV-TST 009, section 12.3.3) over loads that are multiples of a
step. A lossy trial is made again at the same load, max_r times in all, before the load is given up; a loss above max_z
frames is too large to be an accident and decides at once. With max_r = 1 it is the plain binary search (12.3.2).

The load at which the interval closes is measured too if it has not been, so that the answer is one that was seen.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from harness.errors import BadInput
from harness.schema import Field
from harness.search.base import Finding, Found, Kind, Result, missing_count, no_rate, said, top_pps, union
from harness.search.settings import Search
from harness.trial import Request, Trial

STEP_RATIO = 0.005          # of max_pps, where no step is given


@dataclass(frozen=True)
class Options:
    """Keys of [search]. step_pps 0: 0.5 % of the highest load; max_z 0: any loss is verified."""

    max_pps: int
    step_pps: int
    max_r: int
    max_z: int


@dataclass
class _Load:
    """The trials at one load, and whether the last one was clean."""

    trials: list[Trial]
    clean: bool


def bswlv(search: Search, rplus: Result | None, with_latency: bool) -> Finding:
    options: Options = search.options
    top = int(top_pps(options.max_pps, rplus))
    step = options.step_pps or max(1, ceil(top * STEP_RATIO))
    goal = said(loss_ratio=0, max_r=options.max_r, max_z=options.max_z or "any", step_pps=step, max_pps=top,
                trial_s=search.trial_s)
    if top < step:
        return no_rate("ndr_pps", rplus, goal)
    loads: dict[int, _Load] = {}
    low, high = 0, ceil(top / step) - 1
    end = high
    while low < high:
        at = (low + high) // 2
        loads[at] = yield from _verified(search, options, (at + 1) * step)
        low, high = (at + 1, high) if loads[at].clean else (low, max(at - 1, low))
    if low not in loads:
        loads[low] = yield from _verified(search, options, (low + 1) * step)
    return _found(search, goal, step, loads, capped=loads[low].clean and low == end)


def _verified(search: Search, options: Options, load_pps: int) -> Generator[Request, Trial, _Load]:
    load = _Load([], False)
    while len(load.trials) < options.max_r and not load.clean:
        trial = yield Request("bswlv", float(load_pps), search.trial_s)
        load.trials.append(trial)
        missing = missing_count(trial)[0]
        load.clean = missing == 0 and trial.status == "ok"
        if options.max_z and missing > options.max_z:
            break
    return load


def _found(search: Search, goal: str, step: int, loads: Mapping[int, _Load], capped: bool) -> Found:
    trials = [t for load in loads.values() for t in load.trials]
    best = max((at for at, load in loads.items() if load.clean), default=None)
    above = min((at for at, load in loads.items() if not load.clean and (best is None or at > best)), default=None)
    at_bounds = [t.flags for at in (best, above) if at is not None for t in loads[at].trials]
    unsent_only = above is not None and not any(t.lost_count or t.tx_full_count for t in loads[above].trials)
    flags = union(at_bounds, [*(["capped"] if capped or unsent_only else []),
                              *(["irregular"] if best is None or capped else [])])
    value = None if best is None else float((best + 1) * step)
    high = None if above is None else float((above + 1) * step)
    status = "invalid" if any(t.status != "ok" for t in trials) else "ok"      # it decided nothing, and spoilt the rest
    n = 0 if best is None else len(loads[best].trials)
    results = [Result("ndr_pps", value, "pps", n, None if high is None else value, high, flags, status, goal),
               Result("search_traffic_s", len(trials) * search.trial_s, "s", len(trials))]
    return Found(results, {"ndr": value} if value else {})


def _options(where: str, table: Mapping[str, Any]) -> Options:
    if table["max_pps"] and table["step_pps"] > table["max_pps"]:
        raise BadInput(f"{where}: key 'step_pps' is {table['step_pps']}: it must not be above max_pps = "
                       f"{table['max_pps']:.12g}")
    return Options(ceil(table["max_pps"]), table["step_pps"], table["max_r"], table["max_z"])


KIND = Kind("bswlv", bswlv, lambda search: ("ndr_pps", "NDR (loss 0)"),
            fields={"max_pps": Field(float, 0.0, low=0, high=1e10), "step_pps": Field(int, 0, low=0, high=10**9),
                    "max_r": Field(int, 2, low=1, high=100), "max_z": Field(int, 0, low=0, high=10**12)},
            options=_options, needs_rplus=lambda search: not search.options.max_pps, bases=lambda search: ["ndr"])
