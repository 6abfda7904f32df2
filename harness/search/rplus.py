# SPDX-License-Identifier: BSD-3-Clause
"""rplus: what is received under saturating load, median of the valid trials (the published comparison's R+; RFC 2285's
forwarding rate at maximum offered load). Per direction. Other searches begin with it where they need a scale.
"""

from collections.abc import Generator

from harness.search.base import Finding, Found, Kind, Result, by_generator, flagged, of_trials, varies
from harness.search.settings import Search
from harness.trial import Request, Trial

STABILITY_LOAD = 0.1        # of R+: a load that every switch must carry without loss
DRIFT_AFTER_S = 30.0        # traffic behind R+ from which on it is worth a trial to see whether it still holds
DRIFT_RATIO = 0.03          # a single trial that is off by less than this may be so by chance
STABILITY_LOSSES = 30       # one lossy trial in so many is forgiven (methodology D.3: 29 of 30)


def rplus(search: Search) -> Generator[Request, Trial, list[Result]]:
    """R+ and the loss under it; R+ of trials that differ much is flagged `unstable`, R+ that the generator
    set is flagged `capped`."""
    trials = []
    for _ in range(search.trials):
        trials.append((yield Request("rplus", None, search.trial_s)))
    rates = [t.rx_pps for t in trials]
    more = ["unstable"] if varies([t.rx_pps for t in trials if t.status == "ok"]) else []
    more += ["capped"] if by_generator(trials) else []
    return [of_trials("rplus_pps", "pps", trials, rates, more),
            of_trials("rplus_loss_ratio", "1", trials, [t.loss_ratio for t in trials])]


def stability(search: Search, rplus_pps: float) -> Generator[Request, Trial, bool]:
    """Does the machine carry a tenth of R+ without loss? Some environments do not, and no search for a rate without
    loss means anything there."""
    lossy = 0
    for _ in range(search.stability_trials):
        trial = yield Request("stability", STABILITY_LOAD * rplus_pps, search.trial_s)
        lossy += trial.lost_count > 0
    return lossy <= search.stability_trials // STABILITY_LOSSES


def drift(search: Search, before: Result) -> Generator[Request, Trial, tuple[Result, bool]]:
    """R+ once more, at the end of a search that took minutes, and whether it moved: by more than DRIFT_RATIO, and out
    of the range of the trials at the beginning, whose scatter is no drift."""
    assert before.value
    trial = yield Request("drift", None, search.trial_s)
    end = of_trials("rplus_end_pps", "pps", [trial], [trial.rx_pps])
    if end.value is None:
        return end, False
    outside = not (before.ci_low or before.value) <= end.value <= (before.ci_high or before.value)
    drifted = outside and abs(end.value / before.value - 1) > DRIFT_RATIO
    return (flagged([end], "drift")[0] if drifted else end), drifted


def _nothing_more(search: Search, rplus: Result | None, with_latency: bool) -> Finding:
    return Found()
    yield       # makes it a generator


KIND = Kind("rplus", _nothing_more, headline=lambda search: ("rplus_pps", "R+"), needs_rplus=lambda search: True)
