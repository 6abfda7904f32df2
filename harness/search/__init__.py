# SPDX-License-Identifier: BSD-3-Clause
"""Searches: which trials a cell gets. Pure generators: they yield a Request, are sent the Trial, and return the
results. They never see the testbed. A kind of search is one file and one word in SEARCHES.
"""

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from harness.search import b2b, bswlv, fixed, mlr, rfc2544, rplus, soak, sweep
from harness.search.base import Found, Kind, Result, Steps, flagged
from harness.search.latency import latency
from harness.search.settings import Search
from harness.search.telemetry import telemetry
from harness.trial import Request, Trial

SEARCHES: tuple[Kind, ...] = tuple(module.KIND for module in (rplus, fixed, mlr, rfc2544, bswlv, b2b, sweep, soak))

__all__ = ["SEARCHES", "Kind", "Result", "Search", "Steps", "find", "headline", "run"]


def find(name: str) -> Kind:
    """The kind of this name; KeyError if there is none."""
    return {kind.name: kind for kind in SEARCHES}[name]


def headline(search: Search) -> tuple[str, str]:
    """The metric that stands for a cell, and what to call it."""
    return find(search.kind).headline(search)


def run(search: Search, with_latency: bool) -> Steps:
    """The search of a scenario: warm-up, R+ where it is needed, the search itself, latency where sender and receiver
    have one clock, telemetry where it is asked for. Invalid trials are repeated, for being invalid only, never for what
    they measured."""
    return (yield from _disciplined(search, _all(search, with_latency)))


def _disciplined(search: Search, steps: Steps) -> Steps:
    """The search's own waits for every trial, and a bounded number of repeats of one that is invalid, or that has a
    flag of repeat_on; never for its figures. If all are so the search is given the last one."""
    def again(trial: Trial) -> bool:
        request = trial.request
        spoilt = trial.status != "ok" or not set(search.repeat_on).isdisjoint(trial.flags)
        return spoilt and request.phase != "warmup" and request.attempt <= search.invalid_repeats

    try:
        request = next(steps)
        while True:
            asked = replace(request, drain_s=search.drain_s, settle_s=search.settle_s)
            trial = yield asked
            while again(replace(trial, request=asked)):
                asked = replace(asked, attempt=asked.attempt + 1)
                trial = yield asked
            request = steps.send(trial)
    except StopIteration as done:
        results: list[Result] = done.value
        return results


def _all(search: Search, with_latency: bool) -> Steps:
    kind = find(search.kind)
    with_latency_trials = with_latency and not kind.own_latency
    if search.warmup_s > 0:
        given = search.rate_pps[0] if kind.given_rates and search.rate_pps else None
        yield Request("warmup", given, search.warmup_s)
    found = Found()
    measured, stable = None, True
    fractions = (with_latency_trials and search.latency_at_rplus
                 or search.telemetry_trials and search.telemetry_at_rplus)
    if kind.needs_rplus(search) or fractions or search.stability_trials:
        measured, stable = yield from _rplus(search, found)
    spent_s: list[float] = []
    more = yield from _timed(kind.find(search, measured, with_latency), spent_s)
    results = found.results + more.results
    if with_latency_trials:
        results += yield from _timed(latency(search, found.rates | more.rates), spent_s)
    if measured and measured.value and sum(spent_s) >= rplus.DRIFT_AFTER_S:
        end, drifted = yield from rplus.drift(search, measured)
        results = [*(flagged(results, "drift") if drifted else results), end]
    results += yield from telemetry(search, found.rates)
    return results if stable else flagged(results, "unstable")


def _timed(steps: Generator[Request, Trial, Any], spent_s: list[float]) -> Generator[Request, Trial, Any]:
    """The same steps; how long their trials are goes to `spent_s`."""
    try:
        request = next(steps)
        while True:
            spent_s.append(request.duration_s)
            request = steps.send((yield request))
    except StopIteration as done:
        return done.value


def _rplus(search: Search, found: Found) -> Generator[Request, Trial, tuple[Result, bool]]:
    """R+, into `found`; and whether the machine is stable, where that is to be seen."""
    found.results += yield from rplus.rplus(search)
    measured = found.results[0]
    if not measured.value:
        return measured, True
    found.rates["rplus"] = measured.value
    return measured, (yield from rplus.stability(search, measured.value))
