# SPDX-License-Identifier: BSD-3-Clause
"""Latency trials behind a search: at fractions of what it found, at no load, and at absolute loads."""

from collections.abc import Iterator, Mapping, Sequence

from harness.search.base import Result, Steps, fraction, losses, of_trials, rate
from harness.search.settings import Search
from harness.trial import Request, Trial

QUANTILES = (("p50", 0.50), ("p99", 0.99), ("p999", 0.999))
# Further figures of a latency trial: name, histogram, quantile. Delay variation is PDV (RFC 5481: above the smallest
# latency) and IPDV (RFC 3393: between neighbours of a flow).
MORE_QUANTILES = (("latency_intended_p50", "latency_intended", 0.50),
                  ("latency_intended_p99", "latency_intended", 0.99),
                  ("ipdv_p50", "ipdv", 0.50), ("ipdv_p99", "ipdv", 0.99))
NO_LOAD_PPS = 10_000.0      # a frame every 100 us meets empty queues, and gives a p99.9 within a second (as CSIT: 9001)


def loads(search: Search, rates: Mapping[str, float]) -> Iterator[tuple[str, float]]:
    """(name, rate) of each load, lowest kind first; fractions of what was not found are left out."""
    if search.latency_no_load:
        yield "no_load", NO_LOAD_PPS
    for pps in search.latency_at_pps:
        yield rate(pps), pps
    for base, ratios in (("rplus", search.latency_at_rplus), ("ndr", search.latency_at_ndr),
                         ("pdr", search.latency_at_pdr)):
        for ratio in ratios:
            if rates.get(base):
                yield fraction(ratio, base), ratio * rates[base]


def latency(search: Search, rates: Mapping[str, float]) -> Steps:
    """One-way latency of every packet: rounds of one trial at each load, so that a slow moment of the machine meets all
    loads alike; of each percentile the median over the rounds."""
    asked = list(loads(search, rates))
    trials: dict[str, list[Trial]] = {at: [] for at, _ in asked}
    for _ in range(search.latency_trials):
        for at, pps in asked:
            trials[at].append((yield Request(f"latency@{at}", pps, search.latency_trial_s)))
    return [result for at, done in trials.items() for result in latency_results(at, done)]


def latency_results(at: str, trials: Sequence[Trial]) -> list[Result]:
    """The figures of latency, delay variation and loss at a load."""
    values: dict[str, list[int | None]] = {name: [t.latency_ns(q) for t in trials] for name, q in QUANTILES}
    values |= {"min": [t.latency_min_ns for t in trials], "max": [t.latency_max_ns for t in trials]}
    named = {f"latency_{name}": of_these for name, of_these in values.items()}
    named |= {name: [t.quantile_ns(kind, q) for t in trials] for name, kind, q in MORE_QUANTILES}
    named |= {f"pdv_{name}": [t.pdv_ns(q) for t in trials] for name, q in QUANTILES[1:]}
    results = [of_trials(f"{name}_ns@{at}", "ns", trials, of_these) for name, of_these in named.items()]
    return [*results, *losses(at, trials)]
