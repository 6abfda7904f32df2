# SPDX-License-Identifier: BSD-3-Clause
"""Searches: which trials a cell gets. Pure generators: they yield a Request, are sent the Trial, and return the
results. They never see the testbed.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from harness import stats
from harness.scenario import Search
from harness.trial import Request, Trial

QUANTILES = (("p50", 0.50), ("p99", 0.99), ("p999", 0.999))
# Further figures of a latency trial: name, histogram, quantile. Delay variation is PDV (RFC 5481: above the smallest
# latency) and IPDV (RFC 3393: between neighbours of a flow).
MORE_QUANTILES = (("latency_intended_p50", "latency_intended", 0.50),
                  ("latency_intended_p99", "latency_intended", 0.99),
                  ("ipdv_p50", "ipdv", 0.50), ("ipdv_p99", "ipdv", 0.99))


@dataclass(frozen=True)
class Result:
    """One figure of a cell. `value` None: it could not be had, `flags` say why."""

    metric: str
    value: float | None
    unit: str
    n: int                          # trials behind it
    ci_low: float | None = None     # with fewer than 6 trials: the lowest and highest trial
    ci_high: float | None = None
    flags: tuple[str, ...] = ()
    status: str = "ok"


Steps = Generator[Request, Trial, list[Result]]


def run(search: Search, with_latency: bool) -> Steps:
    """The search of a scenario. Latency trials only where sender and receiver have one clock."""
    if search.kind == "fixed":
        return (yield from fixed(search, with_latency))
    results, rplus_pps = yield from rplus(search)
    if with_latency and rplus_pps:
        results += yield from latency(search, rplus_pps)
    return results


def rplus(search: Search) -> Generator[Request, Trial, tuple[list[Result], float]]:
    """R+: what is received under saturating load, median of the valid trials (the published comparison's R+; RFC 2285's
    forwarding rate at maximum offered load). Per direction."""
    if search.warmup_s > 0:
        yield Request("warmup", None, search.warmup_s)
    trials = []
    for _ in range(search.trials):
        trials.append((yield Request("rplus", None, search.trial_s)))
    results = [_of_trials("rplus_pps", "pps", trials, [t.rx_pps for t in trials]),
               _of_trials("rplus_loss_ratio", "1", trials, [t.loss_ratio for t in trials])]
    return results, results[0].value or 0.0


def fixed(search: Search, with_latency: bool) -> Steps:
    """Trials at given rates, or as fast as a replayed file says: what is received, lost and how late. In rounds, as the
    latency trials of R+ are."""
    rates: Sequence[float | None] = search.rate_pps or (None,)
    if search.warmup_s > 0:
        yield Request("warmup", rates[0], search.warmup_s)
    trials: dict[str, list[Trial]] = {_at_rate(rate): [] for rate in rates}
    for _ in range(search.trials):
        for rate, (at, done) in zip(rates, trials.items()):
            done.append((yield Request(f"fixed@{at}", rate, search.trial_s)))
    results = []
    for at, done in trials.items():
        results.append(_of_trials(f"rx_pps@{at}", "pps", done, [t.rx_pps for t in done]))
        results += _latency_results(at, done) if with_latency else [_loss(at, done)]
        if any("replay_gap_error" in t.histograms for t in done):
            results += [_of_trials(f"replay_gap_error_{name}_ns@{at}", "ns", done,
                                   [t.quantile_ns("replay_gap_error", q) for t in done]) for name, q in QUANTILES[:2]]
    return results


def _at_rate(rate_pps: float | None) -> str:
    return "replay" if rate_pps is None else f"{rate_pps:.12g}pps"


def latency(search: Search, rplus_pps: float) -> Steps:
    """One-way latency of every packet at fractions of R+: rounds of one trial at each fraction, so that a slow moment
    of the machine meets all fractions alike; of each percentile the median over the rounds."""
    trials: dict[str, list[Trial]] = {_at(fraction): [] for fraction in search.latency_at_rplus}
    for _ in range(search.latency_trials):
        for fraction, (at, done) in zip(search.latency_at_rplus, trials.items()):
            done.append((yield Request(f"latency@{at}", fraction * rplus_pps, search.latency_trial_s)))
    return [result for at, done in trials.items() for result in _latency_results(at, done)]


def _at(fraction: float) -> str:
    """0.5 -> "0.50rplus"; more digits only where two do not tell."""
    short = f"{fraction:.2f}"
    return (short if float(short) == fraction else repr(fraction)) + "rplus"


def _latency_results(at: str, trials: Sequence[Trial]) -> list[Result]:
    values: dict[str, list[int | None]] = {name: [t.latency_ns(q) for t in trials] for name, q in QUANTILES}
    values |= {"min": [t.latency_min_ns for t in trials], "max": [t.latency_max_ns for t in trials]}
    named = {f"latency_{name}": of_trials for name, of_trials in values.items()}
    named |= {name: [t.quantile_ns(kind, q) for t in trials] for name, kind, q in MORE_QUANTILES}
    named |= {f"pdv_{name}": [t.pdv_ns(q) for t in trials] for name, q in QUANTILES[1:]}
    results = [_of_trials(f"{name}_ns@{at}", "ns", trials, of_trials) for name, of_trials in named.items()]
    return [*results, _loss(at, trials)]


def _loss(at: str, trials: Sequence[Trial]) -> Result:
    return _of_trials(f"loss_ratio@{at}", "1", trials, [t.loss_ratio for t in trials])


def _of_trials(metric: str, unit: str, trials: Sequence[Trial], values: Sequence[float | None]) -> Result:
    """Median and range over the valid trials that have a value."""
    good = [v for t, v in zip(trials, values) if t.status == "ok" and v is not None]
    flags = tuple(dict.fromkeys(flag for t in trials for flag in t.flags))
    if not good:
        invalid = any(t.status != "ok" for t in trials)
        return Result(metric, None, unit, 0, flags=flags, status="invalid" if invalid else "ok")
    low, high = (min(good), max(good)) if len(good) > 1 else (None, None)
    return Result(metric, stats.median(good), unit, len(good), low, high, flags)
