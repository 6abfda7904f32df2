# SPDX-License-Identifier: BSD-3-Clause
"""Figure 4: is the rate the one asked for, and are the gaps? Into a ring, which never makes the generator wait.

The rate is that of the gaps between first and last packet, on CLOCK_MONOTONIC_RAW: the TSC's error over the trial,
which pktgen reports, is taken out. The gaps are pktgen's own histogram of them, of trials that its stall check calls
clean: the worker's gaps above 10 us sum up to at most CLEAN_RATIO of the trial. A kernel's timer takes the CPU some 250
times a second, in a virtual machine for tens of microseconds, so a clean second is rare: trials are as short as the
time between two ticks, and many. What the gaps of whole seconds look like, ticks included, stands beside it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from harness import stats
from harness.bench import lab
from harness.bench.lab import Lab
from harness.bench.rows import Row, absent, at_least, at_most, below, row

NUMBER = 4
MIB = 128
PORT = (lab.RING_PORTS[0],)
RATES_PPS = ((1e3, "1 k"), (1e5, "100 k"), (1e6, "1 M"))
RATE_S = 10.0
GAP_PPS, GAP_NS, WITHIN_NS = 1e6, 1000, 256
BACK_TO_BACK_NS = 68        # a 64-byte frame with preamble and gap takes 67.2 ns at 10 Gbit/s
GAP_S = 0.002               # half of the time between two ticks of a kernel with 250 of them a second
TRIALS_A_ROUND = 100        # clean ones are the fewer the busier the machine
CLEAN_RATIO = 0.0002        # 0.02 %: a stall of 10 us costs 10 gaps of a million

Bins = Sequence[Sequence[int]]


def measure(the_lab: Lab) -> list[Row]:
    return [*_rates(the_lab), *_gaps(the_lab)]


def _stream(rate_pps: float) -> list[dict[str, Any]]:
    return lab.streams([(0, 0)], rate_pps=rate_pps)


# ---- rate ----------------------------------------------------------------------------------------------------------

def _rates(the_lab: Lab) -> list[Row]:
    rows = []
    with lab.ours(the_lab, "pktgen", PORT) as pktgen:
        pktgen.trial(_stream(1e6), the_lab.warmup_s)
        for rate, name in RATES_PPS:
            what = f"rate error over {RATE_S:g} s at {name} pps"
            got = the_lab.in_rounds(what, {"pktgen": lambda: pktgen.trial(_stream(rate), RATE_S)})
            errors = [100 * rate_error(reply, rate) for reply in got["pktgen"]]
            rows.append(row(NUMBER, what, errors, "%", at_most(0.01)))
    return rows


def rate_error(reply: Mapping[str, Any], rate_pps: float) -> float:
    """Relative error of the rate, or the share that was not sent if that is more."""
    stream = reply["streams"][0]
    span_s = reply["tx_span_s"] / (1 + reply["clock_error_ppm"] * 1e-6)
    rate = abs((stream["sent_count"] - 1) / span_s / rate_pps - 1)
    return float(max(rate, abs(stream["sent_count"] / stream["intended_count"] - 1)))


# ---- gaps ----------------------------------------------------------------------------------------------------------

def _gaps(the_lab: Lab) -> list[Row]:
    """Rows of the gaps: the share within, the share back to back, and how many trials were clean."""
    whats = (f"gaps within +-{WITHIN_NS} ns of {GAP_NS} ns at 1 M pps",
             f"gaps back to back (< {BACK_TO_BACK_NS} ns) at 1 M pps")
    bars = (at_least(99), below(0.1))
    with lab.ours(the_lab, "pktgen", PORT) as pktgen:
        if why := pktgen.refuses(_stream(GAP_PPS), gaps=True):
            return [absent(NUMBER, what, "%", bar, why) for what, bar in zip(whats, bars)]
        pktgen.trial(_stream(GAP_PPS), the_lab.warmup_s)
        the_lab.say(f"{whats[0]}: {the_lab.rounds} x {TRIALS_A_ROUND} trials of {GAP_S * 1e3:g} ms, "
                    f"{the_lab.rounds} of {the_lab.measure_s:g} s")
        rounds = [[pktgen.trial(_stream(GAP_PPS), GAP_S, gaps=True, drain_s=0) for _ in range(TRIALS_A_ROUND)]
                  for _ in range(the_lab.rounds)]
        long = [pktgen.trial(_stream(GAP_PPS), the_lab.measure_s, gaps=True) for _ in range(the_lab.rounds)]
    good = [[reply for reply in replies if clean(reply, GAP_S)] for replies in rounds]
    count = sum(map(len, good))
    note = f"{count} of {TRIALS_A_ROUND * the_lab.rounds} trials were clean"
    gaps = [stats.add_bins([_bins(reply) for reply in replies]) for replies in good if replies]
    low, high = GAP_NS - WITHIN_NS, GAP_NS + WITHIN_NS + 1
    return [row(NUMBER, whats[0], [100 * share(bins, low, high) for bins in gaps], "%", bars[0], note),
            row(NUMBER, whats[1], [100 * share(bins, 0, BACK_TO_BACK_NS) for bins in gaps], "%", bars[1], note),
            row(NUMBER, f"trials of {GAP_S * 1e3:g} ms that were clean (stalls <= {CLEAN_RATIO:.2%} of the time)",
                [100 * count / (TRIALS_A_ROUND * the_lab.rounds)], "%"),
            row(NUMBER, f"{whats[0]}, whole seconds, stalls included",
                [100 * share(_bins(reply), low, high) for reply in long], "%")]


def _bins(reply: Mapping[str, Any]) -> list[tuple[int, int, int]]:
    return [tuple(one) for one in reply["streams"][0]["departure_gap"]["bins"]]


def clean(reply: Mapping[str, Any], duration_s: float) -> bool:
    """Did the sender keep its CPU?"""
    return bool(reply["workers"][0]["stall_ns"] <= CLEAN_RATIO * duration_s * 1e9)


def share(bins: Bins, low: int, high: int) -> float:
    """Share of a histogram's values in [low, high); of a bin that reaches over an edge the part inside, as if its
    values were spread evenly."""
    total = sum(count for _, _, count in bins)
    inside = sum(count * max(0, min(b, high) - max(a, low)) / (b - a) for a, b, count in bins)
    return inside / total if total else 0.0
