# SPDX-License-Identifier: BSD-3-Clause
"""Telemetry trials, the last of a cell: what a packet costs the switch. They are trials of their own, whose rates count
for nothing: reading counters, and perf, disturb.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from harness.cost import NOT_SATURATED, OWN, SOURCES
from harness.search.base import Result, Steps, fraction, of_trials, said
from harness.search.settings import Search
from harness.trial import Request, Trial

PHASE = "telemetry"
OFF_RATIO = 0.1         # reading counters costs a switch less of its rate than that


def telemetry(search: Search, rates: Mapping[str, float]) -> Steps:
    """Rounds of one trial at each load; of each figure the median. A figure that no trial has is left out."""
    asked = list(_loads(search, rates)) if search.telemetry_trials else []
    trials: dict[str, list[Trial]] = {at: [] for at, _ in asked}
    for _ in range(search.telemetry_trials):
        for at, pps in asked:
            trials[at].append((yield Request(PHASE + at, pps, search.telemetry_trial_s, telemetry=True)))
    return [result for at, done in trials.items() for result in _results(at, done, rates.get("rplus"))]


def _loads(search: Search, rates: Mapping[str, float]) -> Iterator[tuple[str, float | None]]:
    """(what stands behind the name, rate): saturating load, then fractions of R+ if that was found."""
    yield "", None
    for ratio in search.telemetry_at_rplus:
        if rates.get("rplus"):
            yield f"@{fraction(ratio, 'rplus')}", ratio * rates["rplus"]


def _results(at: str, trials: Sequence[Trial], rplus_pps: float | None) -> list[Result]:
    """`unstable` where a saturating trial's own rate is far off R+: what it cost then is not what it cost otherwise."""
    off = any(rplus_pps and abs(t.rx_pps / rplus_pps - 1) > OFF_RATIO for t in trials if t.request.rate_pps is None)
    more = ["unstable"] if off else []
    results = []
    for name in SOURCES:
        values = [t.cost.values.get(name) if t.cost else None for t in trials]
        if any(v is not None for v in values):
            unit = "cycles" if "cycles" in name else "1"
            results.append(_said(name, trials, of_trials(name + at, unit, trials, values, more)))
    return results


def _said(name: str, trials: Sequence[Trial], result: Result) -> Result:
    """With its source. That the switch had time to spare does not matter to its own count of busy cycles."""
    source = next(t.cost.sources[name] for t in trials if t.cost and t.cost.values.get(name) is not None)
    flags = tuple(flag for flag in result.flags if not (flag == NOT_SATURATED and name == OWN))
    return replace(result, flags=flags, goal=said(source=source))
