# SPDX-License-Identifier: BSD-3-Clause
"""soak: one long trial at a load that the switch carries, and its loss per interval (RFC 8204: traffic is not stopped
between the intervals). The intervals themselves are in series.csv.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness import stats
from harness.errors import BadInput
from harness.schema import Field
from harness.search.base import Finding, Found, Kind, Result, losses, no_rate, of_trials, said
from harness.search.latency import latency_results
from harness.search.settings import Search
from harness.trial import Point, Request, Trial

INTERVALS_MAX = 100_000


@dataclass(frozen=True)
class Options:
    """Keys of [search]: how long, in which intervals, and the share of R+ where no rate_pps is given."""

    soak_s: float
    interval_s: float
    load_ratio: float


def soak(search: Search, rplus: Result | None, with_latency: bool) -> Finding:
    options: Options = search.options
    load_pps = search.rate_pps[0] if search.rate_pps else options.load_ratio * ((rplus and rplus.value) or 0.0)
    goal = said(load_pps=load_pps, soak_s=options.soak_s, interval_s=options.interval_s)
    if not load_pps:
        return no_rate("rx_pps@soak", rplus, goal)
    trial = yield Request("soak", load_pps, options.soak_s, interval_s=options.interval_s)
    results = [of_trials("rx_pps@soak", "pps", [trial], [trial.rx_pps]), *_intervals(trial, goal)]
    more = latency_results("soak", [trial]) if with_latency else losses("soak", [trial])
    return Found(results + [replace(r, goal=goal) if r.metric == "missing_ratio@soak" else r for r in more])


def _intervals(trial: Trial, goal: str) -> list[Result]:
    losses = interval_losses(trial.series)
    if not losses or trial.status != "ok":
        return [Result("interval_loss_ratio@soak", None, "1", 0, flags=trial.flags, status=trial.status, goal=goal)]
    ratios = [lost / sent if sent else 0.0 for sent, lost in losses]
    return [Result("interval_loss_ratio@soak", stats.median(ratios), "1", len(ratios), min(ratios), max(ratios),
                   trial.flags, goal=goal),
            Result("lossy_intervals_count@soak", float(sum(lost > 0 for _, lost in losses)), "1", len(ratios),
                   flags=trial.flags, goal=goal)]


def interval_losses(series: Sequence[Point]) -> list[tuple[int, int]]:
    """(sent, lost) of each interval, all directions together.

    A frame sent at the end of an interval arrives in the next: what is outstanding then is not lost. Lost up to the end
    of an interval is therefore the least that is outstanding there or at any later end.
    """
    times = sorted({p.time_s for p in series})
    sent = [sum(p.sent_count or 0 for p in series if p.time_s == t) for t in times]
    received = [sum(p.received_count or 0 for p in series if p.time_s == t) for t in times]
    outstanding, lost = [], 0
    for s, r in zip(sent, received):
        lost += s - r
        outstanding.append(lost)
    for i in range(len(outstanding) - 2, -1, -1):
        outstanding[i] = min(outstanding[i], outstanding[i + 1])
    losses = [(s, now - before) for s, now, before in zip(sent, outstanding, [0, *outstanding])]
    while losses and losses[-1] == (0, 0):          # the drain behind the sending
        losses.pop()
    return losses


def _options(where: str, table: Mapping[str, Any]) -> Options:
    if table["soak_s"] / table["interval_s"] > INTERVALS_MAX:
        raise BadInput(f"{where}: key 'interval_s' is {table['interval_s']:g}: that is more than {INTERVALS_MAX} "
                       f"intervals in soak_s = {table['soak_s']:g}")
    if len(table["rate_pps"]) > 1:
        raise BadInput(f"{where}: key 'rate_pps' lists several rates: a soak has one")
    return Options(table["soak_s"], table["interval_s"], table["load_ratio"])


KIND = Kind("soak", soak, lambda search: ("rx_pps@soak", "received"), given_rates=True, own_latency=True,
            fields={"soak_s": Field(float, 3600.0, low=0.1, high=86_400),
                    "interval_s": Field(float, 60.0, low=0.001, high=3600),
                    "load_ratio": Field(float, 0.9, low=0.001, high=2)},
            options=_options, needs_rplus=lambda search: not search.rate_pps)
