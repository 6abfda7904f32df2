# SPDX-License-Identifier: BSD-3-Clause
"""sweep: loss against load (RFC 2544 section 26.3): from the highest load down in steps of a tenth until two successive
loads have no loss, then in finer steps around R+, where the curve bends. Unsent frames count as lost.

A load that loses clearly more than a higher one does, is flagged `unstable`: the curve of a switch rises.
"""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.errors import BadInput
from harness.schema import Field
from harness.search.base import (Finding, Found, Kind, Result, by_generator, fraction, missing, no_rate,
                                 of_trials, top_pps)
from harness.search.settings import Search
from harness.trial import Request, Trial

CLEAN_IN_A_ROW = 2
INVERSION_RATIO = 0.005     # more loss than at a higher load by this much is no accident of a trial


@dataclass(frozen=True)
class Options:
    """Keys of [search]. max_pps 0: 1.5 times R+. Fractions: of max_pps (step), of R+ (fine)."""

    max_pps: float
    step_ratio: float
    fine_step_ratio: float
    fine_from_ratio: float
    fine_to_ratio: float


@dataclass
class _Load:
    at: str
    load_pps: float
    trials: list[Trial]

    def loss(self) -> Result:
        return missing(self.at, self.trials)


def sweep(search: Search, rplus: Result | None, with_latency: bool) -> Finding:
    options: Options = search.options
    top = top_pps(options.max_pps, rplus)
    if top <= 0:
        return no_rate("mfr_pps", rplus)
    loads: list[_Load] = []
    clean = 0
    for k in range(int(1 / options.step_ratio + 1e-9)):
        ratio = round(1 - k * options.step_ratio, 6)
        done = yield from _load(search, fraction(ratio, "max"), ratio * top)
        loads.append(done)
        clean = clean + 1 if done.loss().value == 0 else 0
        if clean == CLEAN_IN_A_ROW:
            break
    for ratio in _fine(options, rplus):
        assert rplus and rplus.value
        loads.append((yield from _load(search, fraction(ratio, "rplus"), ratio * rplus.value)))
    return Found(_results(loads))


def _fine(options: Options, rplus: Result | None) -> list[float]:
    if not options.fine_step_ratio or not (rplus and rplus.value):
        return []
    count = int((options.fine_to_ratio - options.fine_from_ratio) / options.fine_step_ratio + 1e-9) + 1
    return [round(options.fine_from_ratio + k * options.fine_step_ratio, 6) for k in range(count)]


def _load(search: Search, at: str, load_pps: float) -> Generator[Request, Trial, _Load]:
    """The trials at one load."""
    done = _Load(at, load_pps, [])
    for _ in range(search.trials):
        done.trials.append((yield Request(f"sweep@{at}", load_pps, search.trial_s)))
    return done


def _results(loads: Sequence[_Load]) -> list[Result]:
    losses = [load.loss() for load in loads]
    trials = [t for load in loads for t in load.trials]
    fastest = max((t.rx_pps for t in trials if t.status == "ok"), default=None)
    capped = all(by_generator(load.trials) for load in loads if any(t.status == "ok" for t in load.trials))
    results = [Result("mfr_pps", fastest, "pps", len(trials), status="ok" if fastest is not None else "invalid",
                      flags=("capped",) if capped else ())]
    for load, lost in zip(loads, losses):
        higher = [r.value for other, r in zip(loads, losses) if other.load_pps > load.load_pps and r.value is not None]
        inverted = lost.value is not None and higher and lost.value > min(higher) + INVERSION_RATIO
        more = ["unstable"] if inverted else []
        results.append(Result(**{**vars(lost), "flags": (*lost.flags, *more)}))
        results.append(of_trials(f"rx_pps@{load.at}", "pps", load.trials, [t.rx_pps for t in load.trials], more))
    return results


def _options(where: str, table: Mapping[str, Any]) -> Options:
    if table["fine_from_ratio"] > table["fine_to_ratio"]:
        raise BadInput(f"{where}: key 'fine_from_ratio' is {table['fine_from_ratio']:g}: it must not be above "
                       f"fine_to_ratio = {table['fine_to_ratio']:g}")
    return Options(*(table[key] for key in FIELDS))


FIELDS = {"max_pps": Field(float, 0.0, low=0, high=1e10), "step_ratio": Field(float, 0.1, low=0.001, high=1),
          "fine_step_ratio": Field(float, 0.02, low=0, high=1), "fine_from_ratio": Field(float, 0.8, low=0.001, high=2),
          "fine_to_ratio": Field(float, 1.1, low=0.001, high=2)}
KIND = Kind("sweep", sweep, lambda search: ("mfr_pps", "highest rate forwarded"), fields=FIELDS, defaults={"trials": 1},
            options=_options,
            needs_rplus=lambda search: not search.options.max_pps or search.options.fine_step_ratio > 0)
