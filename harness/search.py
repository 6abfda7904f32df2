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
    """The search of a scenario. Latency trials only where one process holds both ends."""
    results, rplus_pps = yield from rplus(search)
    if with_latency and rplus_pps:
        for fraction in search.latency_at_rplus:
            results += yield from latency(search, f"{_digits(fraction)}rplus", fraction * rplus_pps)
    return results


def _digits(fraction: float) -> str:
    """0.50, 0.99; all digits of a fraction that has more, so that every metric has a name of its own."""
    short = f"{fraction:.2f}"
    return short if float(short) == fraction else repr(fraction)


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


def latency(search: Search, at: str, rate_pps: float) -> Steps:
    """One-way latency of every packet at one load."""
    trial = yield Request(f"latency@{at}", rate_pps, search.latency_trial_s)
    values: list[tuple[str, int | None]] = [(name, trial.latency_ns(q)) for name, q in QUANTILES]
    values += [("min", trial.latency_min_ns), ("max", trial.latency_max_ns)]
    results = [_of_trials(f"latency_{name}_ns@{at}", "ns", [trial], [value]) for name, value in values]
    return [*results, _of_trials(f"loss_ratio@{at}", "1", [trial], [trial.loss_ratio])]


def _of_trials(metric: str, unit: str, trials: Sequence[Trial], values: Sequence[float | None]) -> Result:
    """Median and range over the valid trials that have a value."""
    good = [v for t, v in zip(trials, values) if t.status == "ok" and v is not None]
    flags = tuple(dict.fromkeys(flag for t in trials for flag in t.flags))
    if not good:
        invalid = any(t.status != "ok" for t in trials)
        return Result(metric, None, unit, 0, flags=flags, status="invalid" if invalid else "ok")
    low, high = (min(good), max(good)) if len(good) > 1 else (None, None)
    return Result(metric, stats.median(good), unit, len(good), low, high, flags)
