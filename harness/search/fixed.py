# SPDX-License-Identifier: BSD-3-Clause
"""fixed: trials at given rates, or as fast as a replayed file says: what is received, lost and how late. In rounds, as
latency trials are.
"""

from harness.search.base import Finding, Found, Kind, Result, losses, of_trials, rate
from harness.search.latency import QUANTILES, latency_results
from harness.search.settings import Search
from harness.trial import Request, Trial


def fixed(search: Search, rplus: Result | None, with_latency: bool) -> Finding:
    rates: tuple[float | None, ...] = search.rate_pps or (None,)
    trials: dict[str, list[Trial]] = {rate(pps): [] for pps in rates}
    for _ in range(search.trials):
        for pps, (at, done) in zip(rates, trials.items()):
            done.append((yield Request(f"fixed@{at}", pps, search.trial_s)))
    results = []
    for at, done in trials.items():
        results.append(of_trials(f"rx_pps@{at}", "pps", done, [t.rx_pps for t in done]))
        results += latency_results(at, done) if with_latency else losses(at, done)
        if any("replay_gap_error" in t.histograms for t in done):
            results += [of_trials(f"replay_gap_error_{name}_ns@{at}", "ns", done,
                                  [t.quantile_ns("replay_gap_error", q) for t in done]) for name, q in QUANTILES[:2]]
    return Found(results)


def _headline(search: Search) -> tuple[str, str]:
    return f"rx_pps@{rate(max(search.rate_pps, default=None))}", "received"


KIND = Kind("fixed", fixed, _headline, given_rates=True, own_latency=True)
