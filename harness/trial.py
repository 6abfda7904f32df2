# SPDX-License-Identifier: BSD-3-Clause
"""A trial: one load for one duration, and what can be said of it. Pure: made from the replies of the C programs.

Counts are sums over the directions of the trial; `intended_pps` and `rx_pps` are per direction (RFC 9971 4.5.2), the
mean of the directions. Always sent = received + lost, where received counts every sequence number once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness import stats

CLOCK_LIMIT_PPM = 100.0     # RFC 9971 has none; above this rates and latencies are off by more than 0.01 %
SHORT_RATIO = 0.001         # unsent share above which a trial did not get its load

# Every flag, what it means and what to do about it. README's table is checked against this one.
FLAGS: Mapping[str, tuple[str, str]] = {
    "oversubscribed": ("two or more pollers shared a CPU",
                       "use a machine with more CPUs; compare only among such cells"),
    "tcg": ("the guest ran under software emulation", "use a machine with a working /dev/kvm"),
    "generator_limited": ("less than 99.9 % of the load was sent although the port had room",
                          "give the generator a CPU of its own, lower the load"),
    "backpressure": ("less than 99.9 % of the load was sent because the switch's port was full",
                     "nothing is wrong: the switch takes no more; unsent counts as not carried"),
    "clock": (f"TSC and CLOCK_MONOTONIC_RAW disagreed by over {CLOCK_LIMIT_PPM:g} ppm",
              "the trial is invalid; check the machine's clock source"),
    "tester_drops": ("the receiving port of the tester dropped frames", "not the switch's loss: lower the load"),
    "not_drained": ("frames still came when the wait for silence ended", "lower the load, or give every poller a CPU of its own"),
    "foreign_frames": ("frames that are not ours were received", "find out who else sends on these ports"),
    "stale_frames": ("frames of an earlier trial came after its end: they count as lost there, and not at all here",
                     "give every poller a CPU of its own"),
    "window_exceeded": ("frames came so late that a duplicate could not be told from a late one",
                        "fewer flows remember longer"),
    "identity": ("more frames were received than sent", "the trial is invalid: report it as a bug"),
}
INVALIDATING = ("clock", "identity")


@dataclass(frozen=True)
class Request:
    """What a search asks for. `rate_pps` is per direction; None saturates."""

    phase: str              # "warmup", "rplus", "latency@0.50rplus", ...
    rate_pps: float | None
    duration_s: float


@dataclass(frozen=True)
class Trial:
    """A finished trial. None where a figure does not exist (saturating load has no intended count)."""

    request: Request
    started_utc: str
    intended_pps: float | None
    sent_count: int
    received_count: int
    lost_count: int
    unsent_count: int | None
    duplicate_count: int
    reordered_count: int
    stale_count: int
    foreign_count: int
    rx_pps: float
    loss_ratio: float | None
    latency_min_ns: int | None = None
    latency_max_ns: int | None = None
    bins: Sequence[tuple[int, int, int]] = ()
    status: str = "ok"
    flags: tuple[str, ...] = ()
    loop: Mapping[str, Any] = field(default_factory=dict)   # the generator's report of itself

    def latency_ns(self, q: float) -> int | None:
        """Quantile of the one-way latency, None without enough samples."""
        value = stats.quantile_ns(self.bins, q)
        if value is None or self.latency_min_ns is None or self.latency_max_ns is None:
            return None
        return min(max(value, self.latency_min_ns), self.latency_max_ns)


@dataclass(frozen=True)
class Direction:
    """What was counted of one direction of traffic."""

    intended_count: int | None
    sent_count: int
    tx_full_count: int
    meter: Mapping[str, Any]        # account_json() of pktgen/account.h
    with_latency: bool              # sender and receiver are one process


def make(request: Request, started_utc: str, tx_span_s: float, directions: Sequence[Direction], *,
         missed_count: int, clock_error_ppm: float, drained: bool, cell_flags: Sequence[str],
         loop: Mapping[str, Any]) -> Trial:
    """A trial from the counts of its directions."""
    def total(key: str) -> int:
        return sum(d.meter[key] for d in directions)

    sent, received = sum(d.sent_count for d in directions), total("received_count")
    intended = [d.intended_count for d in directions]
    unsent = None if None in intended else sum(i for i in intended if i is not None) - sent
    flags = list(cell_flags)
    if unsent is not None and unsent > SHORT_RATIO * (sent + unsent):
        flags.append("backpressure" if any(d.tx_full_count for d in directions) else "generator_limited")
    conditions = {
        "clock": abs(clock_error_ppm) > CLOCK_LIMIT_PPM,
        "tester_drops": missed_count > 0,
        "not_drained": not drained,
        "foreign_frames": total("foreign_count") > 0,
        "stale_frames": total("stale_count") > 0,
        "window_exceeded": total("old_count") > 0,
        "identity": any(d.meter["received_count"] > d.sent_count for d in directions),
    }
    flags += [flag for flag, raised in conditions.items() if raised]
    latencies = [d.meter["latency"] for d in directions if d.with_latency and d.meter["latency"]]
    return Trial(
        request=request, started_utc=started_utc, intended_pps=request.rate_pps, sent_count=sent,
        received_count=received, lost_count=sent - received, unsent_count=unsent,
        duplicate_count=total("duplicate_count"), reordered_count=total("reordered_count"),
        stale_count=total("stale_count"), foreign_count=total("foreign_count"),
        rx_pps=sum(_rx_pps(d.meter, tx_span_s) for d in directions) / len(directions),
        loss_ratio=(sent - received) / sent if sent else None,
        latency_min_ns=min((h["min_ns"] for h in latencies), default=None),
        latency_max_ns=max((h["max_ns"] for h in latencies), default=None),
        bins=stats.add_bins([[tuple(b) for b in h["bins"]] for h in latencies]),
        status="invalid" if any(flag in INVALIDATING for flag in flags) else "ok",
        flags=tuple(dict.fromkeys(flags)), loop=loop)


def _rx_pps(meter: Mapping[str, Any], tx_span_s: float) -> float:
    """Received frames over the time they took: sending, or from first to last arrival where that is longer, so that
    what waits in queues when sending ends does not make a switch look faster."""
    span_s = max(tx_span_s, meter["span_s"])
    return float(meter["received_count"] / span_s) if span_s > 0 else 0.0
